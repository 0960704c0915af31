"""Masks as outlines, for formats that hold polygons, and outlines as masks again.

Coordinates are COCO's: those of pixel edges, so that the pixel in the corner of an image runs from 0 to 1. An outline
runs along pixel edges. Its corners are found with NumPy and joined along rows and columns; cv2.findContours gives the
centres of pixels instead, which loses half a pixel on every side and whole lines of one pixel. Pixels that touch at a
corner are one part, as in OpenCV and in most tools.

pycocotools draws the outline along pixel edges bit for bit. A simplified one leaves the mask's outline by at most the
tolerance, in both directions: the Ramer-Douglas-Peucker algorithm, whose vertices lie half a pixel from the corners of
the outline. Vertices at the corners themselves, as cv2.approxPolyDP gives them, save nothing below 0.7 pixels, for of
two neighbouring corners of a slanting outline one is too far from every line through the other. No pixel's centre is
nearer to the outline than half a pixel; so with a tolerance up to that every centre stays on its side, and the mask
that pycocotools draws is the same, bit for bit. As it draws on a grid of a fifth of a pixel, 0.45 is used for such
tolerances, and the outcome is drawn and compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from segdata.masks import Mask, mask_to_rle, merge_rles, polygons_to_rle, rle_to_mask
from segdata.sample import Rle

Points = npt.NDArray[np.float64]

# What is set round a corner of four pixels: 1 the upper left one, 2 the upper right, 4 the lower left, 8 the lower
# right. A corner joins an edge to the left or right with one upwards or downwards; two pixels that touch make two.
_RIGHT = np.array([0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0], np.bool_)
_DOWN = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0], np.bool_)
_CORNER = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0], np.bool_)
_TOUCHING = np.array([code in (6, 9) for code in range(16)], np.bool_)

# A vertex on either side of a corner, half a pixel from it, cuts it at this distance.
_LEAST_TOLERANCE = math.sqrt(2) / 4
_LOSSLESS = 0.5
_SURELY_LOSSLESS = 0.45


class Outline(NamedTuple):
    """One part of a mask: flat lists x0, y0, x1, y1, ... in pixels, `outer` clockwise, each of `holes` the other way.

    A ring has three points or more and is not closed by repeating the first.
    """

    outer: list[float]
    holes: list[list[float]]


def trace(mask: Mask, tolerance: float) -> list[Outline]:
    """Give the outlines of a mask, bool (H, W): one a part, from the top; none for an empty mask.

    `tolerance` is how far an outline may be from the mask's, in pixels. Up to 0.5 `outlines_to_rle` gives back the
    same mask, bit for bit. 0 gives the exact corners, and so does anything below 0.35, where nothing can be saved. A
    part or hole that would vanish keeps its exact outline.

    >>> trace(np.array([[True, True, False], [True, True, False]]), 0.5)
    [Outline(outer=[0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0], holes=[])]
    """
    if not _LEAST_TOLERANCE <= tolerance <= _LOSSLESS:
        return _trace(mask, tolerance)
    outlines = _trace(mask, min(tolerance, _SURELY_LOSSLESS))
    same = not outlines or outlines_to_rle(outlines, *mask.shape) == mask_to_rle(mask)
    return outlines if same else _trace(mask, 0)


def _trace(mask: Mask, tolerance: float) -> list[Outline]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    crop = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    pixels = np.zeros((crop.shape[0] + 2, crop.shape[1] + 2), np.uint8)
    pixels[1:-1, 1:-1] = crop
    _, labels = cv2.connectedComponents(pixels, connectivity=8)
    parts: dict[int, Outline] = {}
    for ring in _rings(pixels):
        x, y = ring[0]
        part = int(labels[y + 1, x + 1])  # the pixel below the first edge is set, or else the one above it
        points = _simplified(ring.astype(np.float64), tolerance) + np.array((left, top))
        if part:
            parts[part] = Outline(_flat(points), [])
        else:
            parts[int(labels[y, x + 1])].holes.append(_flat(points[::-1]))
    return list(parts.values())


def _flat(points: Points) -> list[float]:
    flat: list[float] = points.ravel().tolist()
    return flat


def _rings(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int64]]:
    """Give the corners of the closed lines between set pixels and others: int64 (K, 2) of x, y.

    Each ring starts in its uppermost corner, the leftmost of them, and goes to the right from there. `pixels` has a
    border of one unset pixel, which coordinates do not count.
    """
    around = pixels[:-1, :-1] | pixels[:-1, 1:] << 1 | pixels[1:, :-1] << 2 | pixels[1:, 1:] << 3
    y, x = _CORNER[around].nonzero()
    codes = around[y, x]
    right, down = _RIGHT[codes], _DOWN[codes]
    second = _TOUCHING[codes]
    x, y = np.concatenate((x, x[second])), np.concatenate((y, y[second]))
    right, down = np.concatenate((right, ~right[second])), np.concatenate((down, ~down[second]))
    by_row = np.lexsort((right, x, y))
    x, y, right, down = x[by_row], y[by_row], right[by_row], down[by_row]
    # Along a row, and along a column, corners are in turn the start and the end of an edge.
    along_row = np.arange(len(x)) ^ 1
    by_column = np.lexsort((down, y, x))
    along_column = np.empty(len(x), np.int64)
    along_column[by_column[::2]], along_column[by_column[1::2]] = by_column[1::2], by_column[::2]
    points = np.stack((x, y), axis=1)
    return [points[ring] for ring in _cycles(along_row.tolist(), along_column.tolist())]


def _cycles(along_row: list[int], along_column: list[int]) -> list[list[int]]:
    left = [True] * len(along_row)
    cycles: list[list[int]] = []
    for first in range(len(left)):
        if not left[first]:
            continue
        cycle: list[int] = []
        corner = first
        while left[corner]:
            end = along_row[corner]
            left[corner] = left[end] = False
            cycle += (corner, end)
            corner = along_column[end]
        cycles.append(cycle)
    return cycles


def _simplified(corners: Points, tolerance: float) -> Points:
    if tolerance < _LEAST_TOLERANCE:
        return corners
    points, is_corner = _with_neighbours(corners)
    kept = _split(points, is_corner, tolerance)
    kept = _with_corners(points, kept, tolerance)
    found = points[kept]
    return found if len(found) >= 3 and abs(_area(found)) >= 0.5 else corners


def _with_neighbours(corners: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Put a point half a pixel before and behind each corner; an edge of one pixel has one for both of its ends.

    Gives the points from the one before the first corner on, and which of them are corners.
    """
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.abs(edges).sum(axis=1, keepdims=True)
    steps = edges / lengths / 2
    before = corners - np.roll(steps, 1, axis=0)
    points = np.stack((before, corners, corners + steps), axis=1).reshape(-1, 2)
    is_corner = np.arange(len(points)) % 3 == 1
    wanted = np.ones(len(points), np.bool_)
    wanted[2::3] = lengths[:, 0] > 1
    return points[wanted], is_corner[wanted]


def _split(points: Points, is_corner: npt.NDArray[np.bool_], tolerance: float) -> npt.NDArray[np.bool_]:
    """Choose vertices among the points beside corners, as few as keep all corners within the tolerance.

    All pieces of the ring are split at the same time: as many rounds as the deepest split, not one for each vertex.
    """
    kept = np.zeros(len(points), np.bool_)
    kept[0] = True
    farthest = int(np.where(is_corner, -1.0, ((points - points[0]) ** 2).sum(axis=1)).argmax())
    kept[farthest] = True
    while True:
        starts, piece, distances = _distances(points, kept)
        worst = np.maximum.reduceat(np.where(is_corner, distances, 0.0), starts)
        bad = ((distances == worst[piece]) & (worst[piece] > tolerance) & is_corner).nonzero()[0]
        if not bad.size:
            return kept
        bad = bad[np.unique(piece[bad], return_index=True)[1]]
        behind = (bad + 1) % len(points)
        kept[np.where(distances[bad - 1] > distances[behind], bad - 1, behind)] = True


def _with_corners(points: Points, kept: npt.NDArray[np.bool_], tolerance: float) -> npt.NDArray[np.bool_]:
    """Put the corner in the place of two vertices beside it, where the tolerance allows it: four points for a box."""
    # A point beside two corners of an edge of one pixel goes to the first of them.
    chosen: list[int] = []
    ends = kept.nonzero()[0]
    for place, following in zip(ends.tolist(), np.roll(ends, -1).tolist(), strict=True):
        if (following - place) % len(points) == 2 and not (chosen and (place - chosen[-1]) % len(points) == 1):
            chosen.append((place + 1) % len(points))
    while chosen:
        tried = kept.copy()
        corners = np.array(chosen)
        tried[corners - 1] = tried[(corners + 1) % len(points)] = False
        tried[corners] = True
        starts, _, distances = _distances(points, tried)
        far = np.maximum.reduceat(np.roll(distances, -starts[0]), starts - starts[0]) > tolerance
        if not far.any():
            return tried
        touched = {*starts[far].tolist(), *np.roll(starts, -1)[far].tolist()}
        chosen = [corner for corner in chosen if corner not in touched]
    return kept


def _distances(
    points: Points, kept: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Points]:
    """Give where the pieces between kept points start, the piece of each point, and its distance from the chord."""
    starts = kept.nonzero()[0]
    piece = kept.cumsum() - 1  # those before the first start belong to the last piece: -1
    vertices = points[starts]
    chords = np.roll(vertices, -1, axis=0) - vertices
    squares = np.maximum((chords**2).sum(axis=1), 1e-12)
    along = points - vertices[piece]
    share = np.clip((along * chords[piece]).sum(axis=1) / squares[piece], 0, 1)
    away = along - chords[piece] * share[:, None]
    return starts, piece, np.hypot(away[:, 0], away[:, 1])


def _area(points: Points) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def outlines_to_rle(outlines: Sequence[Outline], height: int, width: int) -> Rle:
    """Draw outlines as one mask, `height` x `width`: the union of the parts, each without its holes.

    pycocotools draws. Raises `SampleError` (``bad-polygon``) as `segdata.masks.polygons_to_rle` does; no outline gives
    an empty mask.

    >>> square, hole = [0, 0, 3, 0, 3, 3, 0, 3], [1, 1, 1, 2, 2, 2, 2, 1]
    >>> rle_to_mask(outlines_to_rle([Outline(square, [hole])], 3, 3)).sum()
    np.int64(8)
    """
    whole = [outline.outer for outline in outlines if not outline.holes]
    parts = [polygons_to_rle(whole, height, width)] if whole else []
    for outline in outlines:
        if outline.holes:
            outer = rle_to_mask(polygons_to_rle([outline.outer], height, width))
            holes = rle_to_mask(polygons_to_rle(outline.holes, height, width))
            parts.append(mask_to_rle(outer & ~holes))
    return merge_rles(parts, height, width)


def keyhole(outline: Outline) -> list[float]:
    """Give a part as one ring: each hole is joined to what lies nearest by a cut of no width, there and back.

    It is drawn as the part with its holes by the even-odd and by the non-zero rule.

    >>> keyhole(Outline([0, 0, 3, 0, 3, 3, 0, 3], [[1, 1, 1, 2, 2, 2, 2, 1]]))
    [0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 3.0, 0.0, 3.0, 3.0, 0.0, 3.0]
    """
    return join([outline.outer, *outline.holes])


def join(rings: Sequence[Sequence[float]]) -> list[float]:
    """Make one ring of several: each is joined to the ones before it by a line between the two nearest vertices."""
    joined = np.asarray(rings[0], np.float64).reshape(-1, 2)
    for ring in rings[1:]:
        points = np.asarray(ring, np.float64).reshape(-1, 2)
        at, start = _nearest(joined, points)
        around = np.concatenate((points[start:], points[: start + 1]))
        joined = np.concatenate((joined[: at + 1], around, joined[at:]))
    return _flat(joined)


def _nearest(some: Points, others: Points) -> tuple[int, int]:
    """Give the numbers of the two nearest points; of equally near ones the first."""
    if len(some) > len(others):
        other, one = _nearest(others, some)
        return one, other
    best = (math.inf, 0, 0)
    for number, point in enumerate(some):
        squares = ((others - point) ** 2).sum(axis=1)
        place = int(squares.argmin())
        if squares[place] < best[0]:
            best = (float(squares[place]), number, place)
    return best[1:]


@lru_cache(maxsize=256)
def trace_rle(rle: Rle, tolerance: float) -> list[Outline]:
    """Do what `trace` does for run lengths; what it gives is kept for a second call and must not be changed.

    >>> trace_rle(Rle((2, 2), "022"), 0.5)[0].holes
    []
    """
    return trace(rle_to_mask(rle), tolerance)


def lost_pixels(rle: Rle, tolerance: float) -> int:
    """Count the pixels in which a mask differs from its outlines, drawn again.

    >>> lost_pixels(Rle((2, 2), "121"), 0.5)
    0
    """
    again = rle_to_mask(outlines_to_rle(trace_rle(rle, tolerance), *rle.size))
    return int(np.count_nonzero(rle_to_mask(rle) ^ again))
