"""Labels drawn into a photo: mask, outline, edges, saliency, keypoints, boxes, and where two masks differ.

Every function takes a photo, uint8 (H, W, 3) RGB, and arrays of its size, and gives a new picture of that size. Lines
have a dark rim, so that they show on any ground. Photos are best brought to the size they are looked at first: lines
are then as thick as they look best.

The colours can be told apart by people who see no difference between red and green (Okabe and Ito, "Color Universal
Design", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segdata.masks import Mask
from segdata.quality.contour import boundary_map, contour_tolerance

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = Sequence[float]

MASK: Colour = (70, 190, 255)
VOID: Colour = (160, 160, 160)
EDGES: Colour = (240, 228, 66)
BOX: Colour = (204, 121, 167)
FACE: Colour = (255, 255, 255)
LEFT: Colour = (0, 200, 145)
RIGHT: Colour = (255, 150, 30)
MIDDLE: Colour = (255, 255, 255)
MISSED: Colour = (230, 90, 0)
SURPLUS: Colour = (40, 140, 255)
AGREED: Colour = (235, 235, 235)
RIM: Colour = (0, 0, 0)

OPACITY = 0.45
_HEAT = 0.75
_RIM = 0.5
_FAR = 4.0
"""The distance from which on a contour error has the last colour, in tolerances."""
_SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with
_FARTHEST = 1 << 20

# COCO's keypoints: 0 nose, 1 2 eyes, 3 4 ears, 5 6 shoulders, 7 8 elbows, 9 10 wrists, 11 12 hips, 13 14 knees,
# 15 16 ankles; odd numbers are the person's left.
LIMBS = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 11), (6, 12), (11, 12)),
    *((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)),
)


def line_width(shape: tuple[int, ...]) -> int:
    """Give the width of a line that looks right in a picture of (height, width), in pixels.

    >>> line_width((300, 200)), line_width((1200, 900, 3))
    (1, 3)
    """
    return max(1, round(min(shape[:2]) / 280))


def tint(image: Image, cover: npt.NDArray[Any], colour: Colour, opacity: float = OPACITY) -> Image:
    """Lay a colour over the pixels of a mask: bool (H, W), or float32 (H, W) in [0, 1] for how much of it.

    >>> tint(np.zeros((1, 2, 3), np.uint8), np.array([[True, False]]), (200, 100, 0), 0.5).tolist()
    [[[100, 50, 0], [0, 0, 0]]]
    """
    share = (np.float32(opacity) * cover.astype(np.float32))[..., None]
    return _levels(image * (1 - share) + np.array(colour, np.float32) * share)


def show_mask(image: Image, mask: npt.NDArray[Any], void: Mask | None = None) -> Image:
    """Tint the persons, and grey out what is neither person nor background. Masks as for `tint`."""
    shown = tint(image, mask, MASK)
    return shown if void is None else tint(shown, void, VOID, 0.7)


def show_outline(image: Image, mask: Mask, colour: Colour = MASK, width: int | None = None) -> Image:
    """Draw the outline of a mask, bool (H, W), holes included."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [contour for contour in contours if len(contour)]

    def draw(picture: Image, painted: Colour, thickness: int) -> None:
        cv2.polylines(picture, lines, isClosed=True, color=painted, thickness=thickness, lineType=cv2.LINE_AA)

    return _rimmed(image, draw, colour, width)


def show_edges(image: Image, edges: npt.NDArray[Any], colour: Colour = EDGES) -> Image:
    """Draw an edge label in a colour of its own; `edges` as for `tint`."""
    return tint(image, edges, colour, 0.95)


def show_saliency(image: Image, saliency: npt.NDArray[np.float32]) -> Image:
    """Lay a map in [0, 1], float32 (H, W), over the photo: dark where it is low, and glowing where it is high."""
    levels = np.rint(np.clip(saliency, 0, 1) * 255).astype(np.uint8)
    glow = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    return _levels(image * (1 - np.float32(_HEAT)) + glow * np.float32(_HEAT))


def show_keypoints(image: Image, persons: Iterable[npt.ArrayLike]) -> Image:
    """Draw the skeletons of persons, each 17 rows of x, y, visibility in pixels.

    The person's left is green, the right orange; a ring is a keypoint that is labelled and hidden. What is not
    finite, or far outside of the photo, is left out.
    """
    width = line_width(image.shape)
    shown = image.copy()
    for person in persons:
        points = _points(person)
        for a, b in LIMBS:
            if a in points and b in points:
                shown = _line(shown, points[a][0], points[b][0], _side(a, b), width)
        radius = max(2.0, 1.6 * width)
        for number, (point, visible) in points.items():
            centre, size = _fixed(*point), round(radius * (1 << _SHIFT))
            rim = round(1.5 * (1 << _SHIFT))
            cv2.circle(shown, centre, size + rim, RIM, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(shown, centre, size, _side(number, number), -1, cv2.LINE_AA, _SHIFT)
            if not visible:
                cv2.circle(shown, centre, max(size - rim, 1), RIM, -1, cv2.LINE_AA, _SHIFT)
    return shown


def show_boxes(image: Image, boxes: Iterable[Box], colour: Colour = BOX) -> Image:
    """Draw boxes of x, y, width, height in pixels; what lies outside of the photo is cut off."""
    corners = []
    for box in boxes:
        x, y, width, height = _finite(box, 4)
        corners.append([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    lines = [np.array([_fixed(*corner) for corner in box], np.int32) for box in corners]

    def draw(picture: Image, painted: Colour, thickness: int) -> None:
        cv2.polylines(picture, lines, True, painted, thickness, cv2.LINE_AA, _SHIFT)

    return _rimmed(image, draw, colour, None)


def show_difference(image: Image, truth: Mask, pred: Mask) -> Image:
    """Show where two masks, bool (H, W), differ: over a grey photo, `MISSED` is in the truth alone, `SURPLUS` in the
    prediction alone, and the persons that both have are bright.
    """
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    shown = tint(grey, ~(truth | pred), RIM, 0.55)
    shown = tint(shown, truth & pred, AGREED, 0.3)
    shown = tint(shown, truth & ~pred, MISSED, 0.75)
    return tint(shown, pred & ~truth, SURPLUS, 0.75)


def show_contour_errors(
    image: Image, truth: Mask, pred: Mask, tolerance: int | None = None, width: int | None = None
) -> Image:
    """Draw both outlines over a dimmed photo, each point in the colour of its distance to the other outline.

    Green is within the `tolerance` in pixels (that of contour accuracy where it is not given), yellow, orange and red
    are further away, red from four times the tolerance on; so is an outline that has no other. Masks are bool (H, W).
    """
    near = max(1, contour_tolerance(truth.shape, 0.008) if tolerance is None else tolerance)
    shown = tint(image, np.ones(truth.shape, np.bool_), RIM, 0.5)
    outlines = boundary_map(truth), boundary_map(pred)
    size = 2 * ((line_width(image.shape) if width is None else width) // 2 + 1) - 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    for own, other in (outlines, outlines[::-1]):
        distance = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        levels = distance if other.any() else np.full(other.shape, np.inf, np.float32)
        # The worst point under the brush decides: an error must not hide behind its neighbours.
        errors = cv2.dilate(np.where(own, levels + 1, 0).astype(np.float32), brush).astype(np.float32, copy=False)
        drawn = errors > 0
        shown[drawn] = error_colours(errors[drawn] - 1, near)
    return shown


def error_colours(distance: npt.NDArray[np.float32], tolerance: float) -> Image:
    """Give the colours (N, 3) of distances (N,) in pixels to the other outline, as `show_contour_errors` draws them.

    >>> error_colours(np.array([0, 3, 6, 99], np.float32), 3).tolist()
    [[0, 200, 145], [0, 200, 145], [255, 225, 60], [255, 40, 40]]
    """
    stops = np.array([0, 1, np.nextafter(1, 2), 2, 3, _FAR]) * tolerance
    colours = np.array([LEFT, LEFT, (200, 225, 60), (255, 225, 60), (255, 150, 30), (255, 40, 40)], np.float64)
    channels = [np.interp(distance, stops, colours[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def shrink_mask(mask: Mask, width: int, height: int) -> npt.NDArray[np.float32]:
    """Bring a mask to another size: float32 (height, width), the share of each pixel that it covers.

    >>> shrink_mask(np.array([[True, True, True, False]]), 2, 1).tolist()
    [[1.0, 0.5]]
    """
    smaller = width * height < mask.size
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=way).astype(np.float32, copy=False)


def shrink_lines(lines: Mask, width: int, height: int) -> npt.NDArray[np.float32]:
    """Bring an edge label to another size: as `shrink_mask`, but thin lines stay as visible as they were."""
    scale = max(1.0, lines.shape[1] / width, lines.shape[0] / height)
    cover: npt.NDArray[np.float32] = np.minimum(shrink_mask(lines, width, height) * np.float32(scale), np.float32(1))
    return cover


def _levels(values: npt.NDArray[Any]) -> Image:
    """Round to the levels of a picture."""
    levels: Image = np.rint(values).astype(np.uint8)
    return levels


def _rimmed(image: Image, draw: Callable[[Image, Colour, int], None], colour: Colour, width: int | None) -> Image:
    """Draw lines over a wider, darker copy of themselves that shines through a little."""
    thickness = line_width(image.shape) if width is None else width
    rim = image.copy()
    draw(rim, RIM, thickness + 2)
    shown = _levels(image * np.float32(1 - _RIM) + rim * np.float32(_RIM))
    draw(shown, colour, thickness)
    return shown


def _line(image: Image, a: tuple[float, float], b: tuple[float, float], colour: Colour, width: int) -> Image:
    cv2.line(image, _fixed(*a), _fixed(*b), RIM, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.line(image, _fixed(*a), _fixed(*b), colour, width, cv2.LINE_AA, _SHIFT)
    return image


def _side(a: int, b: int) -> Colour:
    """Give the colour of a keypoint, or of the limb between two: of the nose and across the body that of neither."""
    if 0 in (a, b) or a % 2 != b % 2:
        return MIDDLE
    return LEFT if a % 2 else RIGHT


def _points(person: npt.ArrayLike) -> dict[int, tuple[tuple[float, float], bool]]:
    """Give the labelled keypoints by number: place, and whether it is visible."""
    table = np.asarray(person, np.float64)
    if table.ndim != 2 or table.shape[1] != 3:
        return {}
    return {
        number: ((float(x), float(y)), bool(seen >= 2))
        for number, (x, y, seen) in enumerate(table[:17])
        if seen > 0 and math.isfinite(x + y) and abs(x) < _FARTHEST and abs(y) < _FARTHEST
    }


def _finite(values: Sequence[float], count: int) -> list[float]:
    """Give numbers that can be drawn; raises `ValueError` for what is none."""
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{values} are not {count} finite numbers")
    return [min(max(number, -_FARTHEST), _FARTHEST) for number in numbers]


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Give a point in the fractions of a pixel that OpenCV draws with; pixel centres have whole numbers there."""
    return round((x - 0.5) * (1 << _SHIFT)), round((y - 0.5) * (1 << _SHIFT))
