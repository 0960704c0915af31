"""Faults of one person: box, area and keypoints against the image and against the mask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from segdata.masks import Mask, rle_area, rle_box, rle_to_mask
from segdata.quality.validate.findings import Fault
from segdata.quality.validate.mask_faults import mask_faults
from segdata.sample import Rle

BOX_PIXELS = 4.0
BOX_SHARE = 0.02
BOX_OUTSIDE = 1.0
AREA_OUTLINE_SHARE = 0.25
KEYPOINT_PIXELS = 3.0
KEYPOINT_SHARE = 0.05

Box = tuple[float, float, float, float]


def person_faults(
    size: tuple[int, int],
    rle: Rle | None,
    *,
    box: Sequence[float] | None,
    area: float | None,
    keypoints: Sequence[Sequence[float]] | None,
    crowd: bool,
) -> Iterator[Fault]:
    """Yield what is wrong with a person of an image of `size`, (height, width).

    `rle` is the person's mask, of that size, or None where it is not known or cannot be read. `box` is x, y, width,
    height; `keypoints` are rows of x, y, visibility.
    """
    found = rle is not None and rle_area(rle) > 0
    if rle is not None and not found:
        yield Fault("empty-person", "has a mask without pixels")
    if box is not None:
        yield from _box_faults(size, rle if found else None, box)
    mask = rle_to_mask(rle) if found and rle is not None else None
    if rle is not None and area is not None:
        yield from _area_faults(rle_area(rle), mask, area)
    if keypoints:
        yield from _keypoint_faults(size, None if crowd else mask, keypoints)
    if mask is not None and not crowd:
        yield from mask_faults(mask, cuts=False)


def _box_faults(size: tuple[int, int], rle: Rle | None, box: Sequence[float]) -> Iterator[Fault]:
    height, width = size
    if len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
        yield Fault("bad-box", f"has the box {_text(box)}", mendable=rle is not None)
        return
    x, y, w, h = box
    outside = max(-x, -y, x + w - width, y + h - height)
    if outside > BOX_OUTSIDE:
        elsewhere = rle is not None and _box_iou((x, y, w, h), rle_box(rle)) < 0.5
        yield Fault(
            "box-outside",
            f"has a box that reaches {outside:.6g} pixels out of the image",
            mendable=rle is not None and not elsewhere,
        )
    if rle is None:
        return
    tight = rle_box(rle)
    off = max(abs(x - tight[0]), abs(y - tight[1]), abs(x + w - tight[0] - tight[2]), abs(y + h - tight[1] - tight[3]))
    if off <= max(BOX_PIXELS, BOX_SHARE * max(tight[2:])):
        return
    what = f"has the box {_text(box)}, its mask {_text(tight)}"
    if _box_iou((x, y, w, h), tight) < 0.5:
        yield Fault("box-elsewhere", what)
    else:
        yield Fault("box-mismatch", what, mendable=True)


def _box_iou(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _area_faults(pixels: int, mask: Mask | None, area: float) -> Iterator[Fault]:
    """COCO's areas are those of polygons, which differ from the pixels by a share of the outline."""
    if abs(area - pixels) <= 1 or (mask is not None and abs(area - pixels) <= AREA_OUTLINE_SHARE * _outline(mask)):
        return
    yield Fault("area-mismatch", f"has the area {area:,.10g}, its mask {pixels:,} pixels", mendable=True)


def _outline(mask: Mask) -> int:
    """Count the sides of pixels at which a mask ends, inside the image."""
    return int(np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1]))


def _keypoint_faults(size: tuple[int, int], mask: Mask | None, keypoints: Sequence[Sequence[float]]) -> Iterator[Fault]:
    points = np.asarray(keypoints, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        yield Fault("bad-keypoints", "has keypoints that are no rows of x, y and visibility")
        return
    odd = ~np.isin(points[:, 2], (0, 1, 2))
    if odd.any():
        yield Fault("bad-keypoints", f"has a keypoint ({int(odd.argmax())}) of visibility {points[odd][0, 2]:g}")
        return
    height, width = size
    labelled = points[:, 2] > 0
    inside = (points[:, 0] >= 0) & (points[:, 1] >= 0) & (points[:, 0] < width + 1) & (points[:, 1] < height + 1)
    if (labelled & ~inside).any():
        number = int(np.flatnonzero(labelled & ~inside)[0])
        x, y, _ = points[number]
        yield Fault("keypoint-outside", f"has a keypoint ({number}) at {x:g}, {y:g}, outside of the image")
    if mask is None:
        return
    visible = np.flatnonzero((points[:, 2] == 2) & inside)
    pixels = np.minimum(points[visible, :2].astype(np.int64), (width - 1, height - 1))
    off = visible[~mask[pixels[:, 1], pixels[:, 0]]]
    if not len(off):
        return
    ys, xs = np.nonzero(mask)
    bound = max(KEYPOINT_PIXELS, KEYPOINT_SHARE * math.sqrt(len(ys)))
    far = [(number, _distance(points[number], xs, ys)) for number in off.tolist()]
    far = [(number, distance) for number, distance in far if distance > bound]
    if far:
        number, distance = max(far, key=lambda each: each[1])
        more = f", and {len(far) - 1} more" if len(far) > 1 else ""
        yield Fault("keypoint-off-mask", f"has a visible keypoint ({number}) {distance:.0f} pixels off its mask{more}")


def _distance(point: npt.NDArray[np.float64], xs: npt.NDArray[np.int64], ys: npt.NDArray[np.int64]) -> float:
    """Give the distance from a point to the nearest of some pixels, which reach from their place to the next."""
    dx = np.maximum(np.maximum(xs - point[0], point[0] - xs - 1), 0)
    dy = np.maximum(np.maximum(ys - point[1], point[1] - ys - 1), 0)
    return math.sqrt(float((dx * dx + dy * dy).min()))


def _text(box: Sequence[float]) -> str:
    return " ".join(f"{number:.6g}" for number in box)
