"""The spatial saliency map: how likely each pixel belongs to a person, from keypoints alone.

Source: ssm_lwpsn.txt, Fig. 2. Its constants are not published; those below were chosen on the COCO val2017 persons of
photos with an even id, and checked on those with an odd one (docs/saliency.md, benchmarks/saliency_auc.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segdata.errors import InputError, SampleError
from segdata.masks import Mask

Saliency = npt.NDArray[np.float32]
_Points = npt.NDArray[np.float64]
_Oval = npt.NDArray[np.int32]

# COCO's order: left and right follow each other. A limb is root, middle, end.
_FACE = (0, 1, 2, 3, 4)
_SHOULDERS, _HIPS = (5, 6), (11, 12)
_ARMS, _LEGS = ((5, 7, 9), (6, 8, 10)), ((11, 13, 15), (12, 14, 16))
_JOINTS = tuple(joint for limb in _ARMS + _LEGS for joint in limb[1:])
_TORSO_LINKS = ((5, 6), (11, 12), (5, 11), (6, 12))
_FACE_LINKS = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4))

# Distances as shares of the stature. Trunk, arms and legs: the body segment table of Drillis and Contini (1966).
# Past an elbow, a knee or across the trunk: what follows from it. Between shoulders, hips, ears, eyes: set by hand for
# an adult's joints. The rest of the head: the 90th percentile against that stature, on COCO photos with even ids.
_LENGTHS = {
    **dict.fromkeys(((5, 11), (6, 12)), 0.288),
    **dict.fromkeys(((5, 12), (6, 11)), 0.345),
    **dict.fromkeys(((5, 7), (6, 8)), 0.186),
    **dict.fromkeys(((7, 9), (8, 10)), 0.146),
    **dict.fromkeys(((5, 9), (6, 10)), 0.332),
    **dict.fromkeys(((11, 13), (12, 14)), 0.245),
    **dict.fromkeys(((13, 15), (14, 16)), 0.246),
    **dict.fromkeys(((11, 15), (12, 16)), 0.491),
    **dict.fromkeys(((3, 5), (4, 6)), 0.132),
    **dict.fromkeys(((0, 5), (0, 6)), 0.160),
    **dict.fromkeys(((0, 3), (0, 4)), 0.077),
    **dict.fromkeys(((1, 3), (2, 4)), 0.056),
    **dict.fromkeys(((0, 1), (0, 2)), 0.032),
    (5, 6): 0.22,
    (11, 12): 0.16,
    (3, 4): 0.09,
    (1, 2): 0.04,
}
_LENGTH_ENDS = np.array(list(_LENGTHS))
_LENGTH_SHARES = np.array(list(_LENGTHS.values()))

# Shares of the stature, from a search for the best AUC on even photo ids (docs/saliency.md), rounded. First half the
# width of the ovals at face, shoulder, elbow, wrist, hip, knee and ankle: they lie well inside the body, so that the
# distance to the frame ranks the pixels near its outline.
_HALF_WIDTHS = np.repeat((0.003, 0.006, 0.007, 0.003, 0.026, 0.018, 0.008), (5, 2, 2, 2, 2, 2, 2))
_CHEST, _BELLY = 0.05, 0.06
_NECK, _NAPE = 0.043, 0.009
_HEAD_UP, _HEAD_HALF_HEIGHT, _HEAD_HALF_WIDTH = 0.007, 0.052, 0.035
_HAND, _FINGERS = 0.027, 0.003
_FOOT, _TOES, _FOOT_DOWN = 0.0125, 0.0175, 0.4
# A hidden hip most often lies behind what covers the lower trunk too: half the trunk ranks as well as the best (0.41).
_HIDDEN_HIP = 0.5
# The head's centre from the face's keypoints. Ears lie nearest to it, the nose farthest; same search.
_FACE_WEIGHTS = np.array((0.05, 0.5, 0.5, 1.0, 1.0))

# s as a share of the stature. AUC depends on it through what falls to 0 alone: 0.03 is the smallest of the shares tried
# that costs at most 0.0003 of AUC, for narrower maps are closer to probabilities (Brier score; docs/saliency.md).
FALL_OFF = 0.03
# Half a step of 16 bits: what is less is stored as 0, and is 0 here already.
_LEAST = 0.5 / 65535
_REACH = math.sqrt(-2 * math.log(_LEAST))
# A person of whom no two keypoints are linked has no scale of their own: half the image's diagonal stands in.
_STATURE_OF_DIAGONAL = 0.5

# Outlines are drawn in sixteenths of a pixel.
_FRACTION_BITS = 4
_FRACTION = 1 << _FRACTION_BITS
_ANGLES = np.arange(24) * (2 * math.pi / 24)
_DOWN = np.array((0.0, 1.0))
_CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)


class _Frame(NamedTuple):
    """The outlines of one person, and the stature in pixels."""

    limbs: list[_Oval]
    fillings: list[_Oval]
    stature: float


def saliency_map(
    persons_keypoints: Sequence[npt.ArrayLike], shape: tuple[int, int], *, fall_off: float = FALL_OFF
) -> Saliency:
    """Give the spatial saliency map of all persons of an image of `shape` (height, width): float32 (H, W) in [0, 1].

    `persons_keypoints` holds one (17, 3) array a person: x, y in pixels and visibility, in COCO's order. The map is 1
    on a person's frame (`frame_map`) and ``exp(-d**2 / (2 s**2))`` at the Euclidean distance d to it, with s the
    share `fall_off` of the person's `stature`; of several persons the maximum counts. What 16 bits store as 0 (below
    1 / 131070, from d = 4.85 s on) is 0. A person without a labelled keypoint, or whose frame lies outside the image,
    adds nothing; no person at all gives zeros.

    Raises `SampleError` (``bad-keypoints``) as `skeleton_map`, and `InputError` for a fall-off that is not above 0.

    >>> keypoints = np.zeros((17, 3))
    >>> keypoints[[5, 6, 11, 12]] = [[40, 20, 2], [60, 20, 2], [42, 50, 2], [58, 50, 2]]
    >>> saliency = saliency_map([keypoints], (80, 100))
    >>> saliency[35, 50], saliency[35, 0], bool(0 < saliency[35, 36] < 1)
    (np.float32(1.0), np.float32(0.0), True)
    """
    if not 0 < fall_off < math.inf:
        raise InputError(f"a map cannot fall off over {fall_off} of the stature", f"give a share such as {FALL_OFF}")
    saliency = np.zeros(shape, np.float32)
    for keypoints in persons_keypoints:
        frame = _frame(keypoints, shape)
        if frame is None:
            continue
        spread = fall_off * frame.stature
        outlines = frame.limbs + frame.fillings
        x0, y0, x1, y1 = _window(outlines, shape, math.ceil(_REACH * spread))
        drawn = _draw(outlines, (x0, y0, x1, y1))
        if not drawn.any():
            continue
        away = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances between pixels are whole numbers: rounding takes away what the square root's last bit,
        # which changes with a pixel's place in memory, would do to the map.
        here = np.exp(np.rint(np.square(away)) * np.float32(-0.5 / spread**2))
        here[here < _LEAST] = 0
        window = saliency[y0:y1, x0:x1]
        np.maximum(window, here, out=window)
    return saliency


def skeleton_map(keypoints: npt.ArrayLike, shape: tuple[int, int]) -> Mask:
    """Draw ovals along the limbs that join associated keypoints of one person: bool (H, W).

    `keypoints` is (17, 3), `shape` the image's height and width. An oval is egg-shaped: the convex hull of two discs
    round its ends, each as wide as the joint is. Hands and feet reach beyond wrist and ankle, for which COCO has no
    keypoint; where an elbow or a knee is not labelled, one oval joins the ends of the limb. At a hidden keypoint
    (visibility 1) the oval has no width, and a limb hidden at both ends is not drawn, unless all of them are hidden.

    A pixel that an outline touches belongs to the oval, so that the smallest person has one. No labelled keypoint
    gives an empty map. Source: ssm_lwpsn.txt, Fig. 2 (c). Raises `SampleError` (``bad-keypoints``) for an array that
    is not (17, 3), or a labelled keypoint that is not finite or more than a million pixels away.

    >>> keypoints = np.zeros((17, 3))
    >>> keypoints[[5, 7]] = [[10, 5, 2], [10, 35, 2]]
    >>> skeleton_map(keypoints, (40, 20))[20].nonzero()[0]
    array([ 9, 10, 11])
    """
    frame = _frame(keypoints, shape)
    limbs = [] if frame is None else frame.limbs
    return _draw(limbs, (0, 0, shape[1], shape[0])).astype(np.bool_)


def frame_map(keypoints: npt.ArrayLike, shape: tuple[int, int]) -> Mask:
    """Draw the skeleton of one person with torso and head filled: bool (H, W), of which `skeleton_map` is a part.

    The torso is the convex hull of shoulders and hips, as deep as a chest where they stand in line or one is missing.
    The head is an ellipse round the labelled keypoints of the face that reaches up along the trunk to the crown.

    Arguments, empty cases and errors are those of `skeleton_map`. Source: ssm_lwpsn.txt, Fig. 2 (d).

    >>> keypoints = np.zeros((17, 3))
    >>> keypoints[[5, 6, 11, 12]] = [[40, 20, 2], [60, 20, 2], [42, 50, 2], [58, 50, 2]]
    >>> bool(skeleton_map(keypoints, (80, 100))[30, 50]), bool(frame_map(keypoints, (80, 100))[30, 50])
    (False, True)
    """
    frame = _frame(keypoints, shape)
    outlines = [] if frame is None else frame.limbs + frame.fillings
    return _draw(outlines, (0, 0, shape[1], shape[0])).astype(np.bool_)


def saliency_preview(image: npt.NDArray[np.uint8], persons_keypoints: Sequence[npt.ArrayLike]) -> npt.NDArray[np.uint8]:
    """Show skeleton map, frame map and saliency map side by side over a photo: uint8 (H, 3 W, 3), RGB.

    `image` is uint8 (H, W, 3), RGB. The maps lie over the photo in orange, as opaque as they are high, up to three
    quarters; maps of several persons are united.

    >>> saliency_preview(np.zeros((4, 6, 3), np.uint8), []).shape
    (4, 18, 3)
    """
    height, width = shape = image.shape[:2]
    whole = (0, 0, width, height)
    frames = [frame for keypoints in persons_keypoints if (frame := _frame(keypoints, shape)) is not None]
    skeleton = _draw([oval for frame in frames for oval in frame.limbs], whole)
    filled = _draw([oval for frame in frames for oval in frame.limbs + frame.fillings], whole)
    orange = np.array((255, 128, 0), np.float32)
    panels = []
    for shown in (skeleton, filled, saliency_map(persons_keypoints, shape)):
        opacity = np.float32(0.75) * shown[..., None].astype(np.float32)
        panels.append(np.rint(image * (1 - opacity) + orange * opacity).astype(np.uint8))
    return np.concatenate(panels, axis=1)


def stature(keypoints: npt.ArrayLike, shape: tuple[int, int]) -> float:
    """Estimate how tall a person would stand, in pixels: the scale of every width and of the fall-off.

    The largest of the distances between two labelled keypoints of a limb, the trunk or the head, each divided by its
    share of the stature: the camera shortens limbs that point at it, and lengthens none. Without any such pair, or
    below one pixel, it is half the diagonal of the image of `shape` (height, width).

    Raises `SampleError` as `skeleton_map`.

    >>> keypoints = np.zeros((17, 3))
    >>> keypoints[[11, 13, 15]] = [[50, 10, 2], [50, 59, 2], [50, 99, 2]]
    >>> round(stature(keypoints, (120, 100)))
    200
    """
    points, seen = _checked(keypoints)
    return _stature(points, seen > 0, shape)


def _checked(keypoints: npt.ArrayLike) -> tuple[_Points, npt.NDArray[np.float64]]:
    """Give the points (17, 2) and the visibilities (17,)."""
    table = np.asarray(keypoints, np.float64)
    if table.shape != (17, 3):
        raise SampleError(
            "bad-keypoints", f"keypoints of shape {table.shape} are not COCO's 17 rows of x, y, visibility"
        )
    labelled = table[:, 2] > 0
    if not (np.abs(table[labelled, :2]) <= 1e6).all():
        raise SampleError("bad-keypoints", "a labelled keypoint is not finite, or more than a million pixels away")
    return np.where(labelled[:, None], table[:, :2], 0), table[:, 2]


def _stature(points: _Points, labelled: Mask, shape: tuple[int, int]) -> float:
    first, second = _LENGTH_ENDS.T
    both = labelled[first] & labelled[second]
    lengths = np.hypot(*(points[first] - points[second]).T)
    tallest = float((lengths / _LENGTH_SHARES)[both].max(initial=0))
    return tallest if tallest >= 1 else _STATURE_OF_DIAGONAL * math.hypot(*shape)


class _Body(NamedTuple):
    """One person's keypoints, the stature and half the width of the ovals at each keypoint, all in pixels."""

    points: _Points
    labelled: Mask
    visible: Mask
    tall: float
    widths: _Points

    def middle(self, pair: tuple[int, int]) -> _Points | None:
        """Give the middle of two keypoints, or the labelled one of them."""
        there = [self.points[i] for i in pair if self.labelled[i]]
        return np.mean(there, axis=0) if there else None

    def disc(self, joint: int) -> _Points:
        return _disc(self.points[joint], self.widths[joint])


def _frame(keypoints: npt.ArrayLike, shape: tuple[int, int]) -> _Frame | None:
    """Lay out the ovals of one person; None where no keypoint is labelled."""
    points, visibility = _checked(keypoints)
    labelled = visibility > 0
    if not labelled.any():
        return None
    visible = visibility >= 2 if (visibility >= 2).any() else labelled
    tall = _stature(points, labelled, shape)
    body = _Body(points, labelled, visible, tall, np.where(visible, _HALF_WIDTHS * tall, 0))
    trunk = body._replace(points=_shortened_trunk(body))
    limbs = _links(trunk, _TORSO_LINKS) + _links(body, _FACE_LINKS + _limb_links(labelled)) + _ends(body)
    return _Frame(limbs, _torso(trunk, body) + _head(body), tall)


def _shortened_trunk(body: _Body) -> _Points:
    """Give the keypoints with hidden hips moved towards the shoulders."""
    points = body.points.copy()
    for shoulder, hip in zip(_SHOULDERS, _HIPS, strict=True):
        if body.labelled[shoulder] and body.labelled[hip] and not body.visible[hip]:
            points[hip] = points[shoulder] + _HIDDEN_HIP * (points[hip] - points[shoulder])
    return points


def _limb_links(labelled: Mask) -> tuple[tuple[int, int], ...]:
    """Give the links along arms and legs, past an elbow or a knee that is not labelled."""
    links: tuple[tuple[int, int], ...] = ()
    for root, middle, end in _ARMS + _LEGS:
        links += ((root, middle), (middle, end)) if labelled[middle] else ((root, end),)
    return links


def _links(body: _Body, links: tuple[tuple[int, int], ...]) -> list[_Oval]:
    return [
        _hull([body.disc(one), body.disc(other)])
        for one, other in links
        if body.labelled[one] and body.labelled[other] and (body.visible[one] or body.visible[other])
    ]


def _ends(body: _Body) -> list[_Oval]:
    """Draw hands and feet, and a disc at each joint, which may be the only one of its limb that is labelled."""
    tall = body.tall
    ovals = [_hull([body.disc(joint)]) for joint in _JOINTS if body.visible[joint]]
    for limbs, length, radius, downwards in ((_ARMS, _HAND, _FINGERS, 0.0), (_LEGS, _FOOT, _TOES, _FOOT_DOWN)):
        for _, middle, end in limbs:
            if body.visible[end]:
                along = _direction(body.points[end] - body.points[middle], _DOWN) if body.labelled[middle] else _DOWN
                along = _direction((1 - downwards) * along + downwards * _DOWN, _DOWN)
                ovals.append(_hull([body.disc(end), _disc(body.points[end] + length * tall * along, radius * tall)]))
    return ovals


def _torso(trunk: _Body, body: _Body) -> list[_Oval]:
    corners = [trunk.disc(joint) for joint in _SHOULDERS + _HIPS if trunk.labelled[joint]]
    shoulders, hips = body.middle(_SHOULDERS), body.middle(_HIPS)
    if shoulders is not None:
        corners.append(_disc(shoulders, _CHEST * body.tall))
    if hips is not None and body.visible[list(_HIPS)].any():
        corners.append(_disc(hips, _BELLY * body.tall))
    return [_hull(corners)] if corners else []


def _head(body: _Body) -> list[_Oval]:
    """Draw head and neck, the head along the trunk; where that is not known, away from the shoulders, or upright."""
    weights = _FACE_WEIGHTS * body.labelled[list(_FACE)]
    if not weights.any():
        return []
    tall = body.tall
    face = weights @ body.points[list(_FACE)] / weights.sum()
    shoulders, hips = body.middle(_SHOULDERS), body.middle(_HIPS)
    up = -_DOWN
    if shoulders is not None:
        up = _direction(face - shoulders if hips is None else shoulders - hips, -_DOWN)
    head = face + _HEAD_UP * tall * up
    across = np.array((-up[1], up[0])) * _HEAD_HALF_WIDTH * tall
    parts = [_hull([head + _CIRCLE @ np.stack((_HEAD_HALF_HEIGHT * tall * up, across))])]
    if shoulders is not None:
        parts.append(_hull([_disc(shoulders, _NECK * tall), _disc(head, _NAPE * tall)]))
    return parts


def _direction(vector: _Points, otherwise: _Points) -> _Points:
    length = math.hypot(*vector)
    return vector / length if length > 0 else otherwise


def _disc(centre: _Points, radius: float) -> _Points:
    return centre + radius * _CIRCLE


def _hull(parts: list[_Points]) -> _Oval:
    # In whole fractions of a pixel, which OpenCV compares exactly, however close or far the points are.
    fixed = np.rint(np.concatenate(parts) * _FRACTION).astype(np.int32)
    return np.asarray(cv2.convexHull(fixed)[:, 0], np.int32)


def _window(outlines: list[_Oval], shape: tuple[int, int], reach: int) -> tuple[int, int, int, int]:
    """Give x0, y0, x1, y1 of the part of the image that lies within `reach` pixels of the outlines."""
    points = np.concatenate(outlines) / _FRACTION
    height, width = shape
    x0, y0 = np.floor(points.min(axis=0)).astype(int) - 1 - reach
    x1, y1 = np.ceil(points.max(axis=0)).astype(int) + 2 + reach
    return (*np.clip((x0, y0), 0, (width, height)).tolist(), *np.clip((x1, y1), 0, (width, height)).tolist())


def _draw(outlines: list[_Oval], window: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    """Fill convex outlines: uint8, 1 inside, of the window x0, y0, x1, y1 of the image."""
    x0, y0, x1, y1 = window
    drawn = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if drawn.size:
        for outline in outlines:
            moved = outline - np.array((x0, y0), np.int32) * _FRACTION
            cv2.fillConvexPoly(drawn, moved, 1, shift=_FRACTION_BITS)
    return drawn
