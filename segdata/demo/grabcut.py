"""A predictor without a network, for the demo: GrabCut, told where the person is.

It is given the drawn box and keypoints of a person, which a network does not get, and its constants were chosen on
the demo's photos: its scores there are those of an example, and compare with no published figure.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.masks import Mask

# COCO keypoints, counted from 0.
_FACE = slice(0, 5)
_SHOULDERS = slice(5, 7)
_LIMBS = ((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 13), (13, 15), (12, 14), (14, 16))

_WORK_SIDE = 192
_ROUNDS = 3
# In units of the face: the greatest distance of a visible face keypoint from their centre.
_FACE_RADIUS = 0.8
_HEAD_RADIUS = 1.6
_LIMB_WIDTH = 0.4


def predict(
    image: NDArray[np.uint8], keypoints: NDArray[np.float32], box: tuple[float, float, float, float] | None
) -> Mask:
    """Cut one person out of a photo: bool (H, W).

    `image` is uint8 (H, W, 3) RGB, `keypoints` float32 (17, 3) of x, y, visibility in COCO's order, `box` x, y,
    width, height in pixels, or None where there is no person: the mask is empty then. Face and limbs are person,
    what lies outside the box is background, and GrabCut (Rother, Kolmogorov and Blake, 2004) decides the rest, on a
    copy of at most 192 pixels a side. Equal input gives equal masks.

    >>> predict(np.zeros((4, 6, 3), np.uint8), np.zeros((17, 3), np.float32), None).any()
    np.False_
    """
    height, width = image.shape[:2]
    if box is None:
        return np.zeros((height, width), np.bool_)
    scale = min(1.0, _WORK_SIDE / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    labels = _first_guess(small.shape[:2], keypoints * np.array([scale, scale, 1]), np.array(box) * scale)
    if 0 < np.count_nonzero(labels & 1) < labels.size:
        cv2.setRNGSeed(0)  # GrabCut's colour models start from random centres
        colours = np.zeros((2, 1, 65))
        cv2.grabCut(small, labels, (0, 0, 0, 0), colours[0], colours[1], _ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = (labels & 1).astype(np.float32)  # the odd labels: certain and probable foreground
    return np.asarray(cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5)


def _first_guess(shape: tuple[int, int], keypoints: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Label the pixels for GrabCut: uint8 of `shape`.

    In the box, probable person is the head and all below the shoulders, or below the head where none is seen.
    """
    seen = keypoints[:, 2] > 0
    points = keypoints[:, :2].round().astype(int)
    shoulders = points[_SHOULDERS][seen[_SHOULDERS]]
    face = keypoints[_FACE, :2][seen[_FACE]]
    left, top, right, bottom = np.concatenate([box[:2], box[:2] + box[2:]]).round().astype(int).clip(0)

    certain = np.zeros(shape, np.uint8)
    probable = np.zeros(shape, np.uint8)
    unit, first_row = 0.15 * box[2:].min(), top
    if len(face) > 1:
        centre = face.mean(axis=0)
        unit = np.linalg.norm(face - centre, axis=1).max()
        first_row = int(centre[1] + _HEAD_RADIUS * unit)
        middle = centre.round().astype(int).tolist()
        cv2.circle(certain, middle, round(_FACE_RADIUS * unit), 1, cv2.FILLED)
        cv2.circle(probable, middle, round(_HEAD_RADIUS * unit), 1, cv2.FILLED)
        if len(shoulders) == 2:
            cv2.line(certain, middle, shoulders.mean(axis=0).astype(int).tolist(), 1, _width(unit))
    for start, end in _LIMBS:
        if seen[start] and seen[end]:
            cv2.line(certain, points[start].tolist(), points[end].tolist(), 1, _width(unit))
    if len(shoulders):
        first_row = shoulders[:, 1].min()
    probable[max(0, first_row) :] = 1

    labels = np.full(shape, cv2.GC_BGD, np.uint8)
    in_box = (slice(top, bottom), slice(left, right))
    labels[in_box] = np.where(probable[in_box], cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    labels[in_box][certain[in_box] > 0] = cv2.GC_FGD
    return labels


def _width(unit: float) -> int:
    return max(1, round(_LIMB_WIDTH * unit))
