"""Faults that show in a mask alone: stray specks, pinholes, and straight cuts where tiles end.

The bounds were chosen on masks that were looked at: docs/validation.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segdata.masks import Mask
from segdata.quality.validate.findings import Fault
from segdata.wording import amount

SPECK_SHARE = 0.0005
SPECK_PIXELS = 4
CUT_SHARE = 0.12
CUT_PIXELS = 48
_CUT_PIECE = 16
TILE = 32
_BORDER = 4


class Part(NamedTuple):
    """A part of a mask, or a hole in it: where its box begins, and its pixels."""

    x: int
    y: int
    area: int


class Cut(NamedTuple):
    """A straight line in an outline, `along` a ``column`` or ``row``; `place` is the first pixel past it.

    `length` is that of all its pieces, as of both legs, the first of which begins at the pixel `start`.
    """

    along: str
    place: int
    start: int
    length: int


def speck_limit(area: int) -> int:
    """Give the most pixels that a speck or a pinhole of a mask of `area` pixels has.

    >>> speck_limit(100_000), speck_limit(500)
    (50, 4)
    """
    return max(SPECK_PIXELS, int(SPECK_SHARE * area))


def specks(mask: Mask) -> list[Part]:
    """Find the tiny parts of a mask, bool (H, W); the largest part is none. Pixels touch at their corners too.

    >>> mask = np.zeros((9, 9), bool); mask[:4, :4] = mask[7, 7] = True
    >>> specks(mask)
    [Part(x=7, y=7, area=1)]
    """
    if not mask.any():  # OpenCV crashes on an image without pixels
        return []
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count <= 2:
        return []
    areas = boxes[1:, cv2.CC_STAT_AREA]
    limit = speck_limit(int(areas.sum()))
    largest = int(areas.argmax())
    return [_part(boxes[i + 1]) for i in np.flatnonzero(areas <= limit).tolist() if i != largest]


def pinholes(mask: Mask) -> list[Part]:
    """Find the tiny holes of a mask, bool (H, W). A gap that is open to the outside, if only at a corner, is none.

    >>> mask = np.ones((5, 5), bool); mask[2, 2] = False
    >>> pinholes(mask)
    [Part(x=2, y=2, area=1)]
    """
    outside = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(outside, connectivity=8)
    if count <= 2:
        return []
    limit = speck_limit(int(np.count_nonzero(mask)))
    holes = [_part(box, shift=1) for box in boxes[1:] if box[cv2.CC_STAT_LEFT] or box[cv2.CC_STAT_TOP]]
    return [hole for hole in holes if hole.area <= limit]


def _part(box: npt.NDArray[np.int32], shift: int = 0) -> Part:
    x, y, _, _, area = box.tolist()
    return Part(x - shift, y - shift, area)


def tile_cuts(mask: Mask) -> list[Cut]:
    """Find where the outline of a mask, bool (H, W), runs straight along what may be the edge of a tile.

    That is a line a multiple of 32 pixels from one of the image's borders, as tiles of any usual size and overlap end,
    on which the mask ends in straight pieces of 16 pixels or more, all to the same side, that add up to 48 pixels and
    12 % of the image's side along it. The image's own border is no cut.

    >>> mask = np.zeros((300, 300), bool); mask[10:100, 20:256] = True
    >>> tile_cuts(mask)
    [Cut(along='column', place=256, start=10, length=90)]
    """
    return [*_cuts(mask, "column"), *_cuts(np.ascontiguousarray(mask.T), "row")]


def _cuts(mask: Mask, along: str) -> Iterator[Cut]:
    height, width = mask.shape
    least = max(CUT_PIXELS, CUT_SHARE * height)
    places = np.arange(_BORDER, width - _BORDER + 1)
    places = places[(places % TILE == 0) | ((width - places) % TILE == 0)]
    steps = mask[:, places].astype(np.int8) - mask[:, places - 1]
    for place, step in zip(places.tolist(), steps.T, strict=True):
        if np.count_nonzero(step) < least:
            continue
        ends = np.flatnonzero(np.diff(step, prepend=2, append=2))
        lengths, sides = np.diff(ends), step[ends[:-1]]
        for side in (1, -1):
            pieces = (sides == side) & (lengths >= _CUT_PIECE)
            if lengths[pieces].sum() >= least:
                yield Cut(along, place, int(ends[:-1][pieces][0]), int(lengths[pieces].sum()))


def mask_faults(mask: Mask, *, tiny: bool = True, cuts: bool = True) -> Iterator[Fault]:
    """Yield what is odd about a mask, bool (H, W): tiny parts and holes, and straight cuts."""
    if tiny and mask.any():
        box = cv2.boundingRect(mask.view(np.uint8))
        inner = np.ascontiguousarray(mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]])
        for code, what, parts in (("speck", "part", specks(inner)), ("pinhole", "hole", pinholes(inner))):
            if parts:
                yield Fault(code, f"has {_tiny(parts, what, box[0], box[1])}")
    for cut in tile_cuts(mask) if cuts else ():
        yield Fault(
            "tile-cut",
            f"ends in a straight line of {cut.length} pixels along {cut.along} {cut.place}, from pixel {cut.start} on",
        )


def _tiny(parts: list[Part], what: str, x: int, y: int) -> str:
    where = f"at {parts[0].x + x}, {parts[0].y + y}"
    if len(parts) == 1:
        return f"a tiny {what} of {amount(parts[0].area, 'pixel')} {where}"
    return f"{len(parts)} tiny {what}s of up to {amount(max(part.area for part in parts), 'pixel')}, the first {where}"
