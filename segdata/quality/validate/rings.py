"""Faults of polygons as COCO writes them: too few points, crossings, rings in rings, run lengths in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.masks import polygons_to_rle, rle_area, rle_to_mask
from segdata.quality.validate.findings import Fault

LOOP_PIXELS = 1.0
_CHUNK = 512
_MOST_RINGS = 64

Points = npt.NDArray[np.float64]


def runs_in_place_of_polygons(segmentation: Any, height: int, width: int) -> list[int] | None:
    """Give the run lengths that stand where polygons belong: whole numbers that add up to the image's pixels.

    They are a flat list, or the only one in a list of lists.

    >>> runs_in_place_of_polygons([[1, 2, 1]], 2, 2)
    [1, 2, 1]
    """
    counts = segmentation
    if isinstance(counts, list) and len(counts) == 1 and isinstance(counts[0], list):
        counts = counts[0]
    if not isinstance(counts, list) or not counts:
        return None
    if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != height * width:
        return None
    return counts


def short_rings(segmentation: Any) -> list[int]:
    """Give the numbers of the polygons of fewer than three points.

    >>> short_rings([[0, 0, 4, 0, 4, 4], [1, 1, 2, 2]])
    [1]
    """
    if not isinstance(segmentation, list):
        return []
    return [i for i, ring in enumerate(segmentation) if isinstance(ring, list) and len(ring) < 6 and not len(ring) % 2]


def ring_faults(rings: list[list[float]], height: int, width: int) -> Iterator[Fault]:
    """Yield what is odd about polygons that can be drawn: loops, and rings inside of others."""
    for number, ring in enumerate(rings):
        loop = largest_loop(ring)
        if loop >= LOOP_PIXELS:
            yield Fault(
                "self-intersection", f"has a polygon ({number}) that crosses itself, in a loop of {loop:.0f} pixels"
            )
    for inner, outer in nested(rings, height, width):
        yield Fault("nested-ring", f"has a polygon ({inner}) inside another one ({outer}), where it is filled")


def nested(rings: list[list[float]], height: int, width: int) -> list[tuple[int, int]]:
    """Give (inner, outer) for each polygon all of whose pixels another, larger one covers.

    >>> nested([[0, 0, 9, 0, 9, 9, 0, 9], [3, 3, 6, 3, 6, 6, 3, 6]], 10, 10)
    [(1, 0)]
    """
    if not 1 < len(rings) <= _MOST_RINGS:
        return []
    boxes = [(*np.min(points, axis=0), *np.max(points, axis=0)) for points in map(_points, rings)]
    found = []
    for inner, box in enumerate(boxes):
        for outer, other in enumerate(boxes):
            if inner == outer or not (
                other[0] <= box[0] and other[1] <= box[1] and other[2] >= box[2] and other[3] >= box[3]
            ):
                continue
            try:
                a, b = (polygons_to_rle([rings[which]], height, width) for which in (inner, outer))
            except SampleError:  # said elsewhere
                continue
            if 0 < rle_area(a) < rle_area(b) and not (rle_to_mask(a) & ~rle_to_mask(b)).any():
                found.append((inner, outer))
                break
    return found


def _points(ring: list[float]) -> Points:
    return np.asarray(ring, np.float64).reshape(-1, 2)


def largest_loop(ring: list[float]) -> float:
    """Give the area in pixels of the largest loop that a polygon's crossings with itself cut off; 0 without any.

    `ring` is x0, y0, x1, y1, ... A crossing cuts the polygon in two; the loop is the smaller part. Edges that only
    touch, or lie on each other, do not cross.

    >>> largest_loop([0, 0, 4, 4, 4, 0, 0, 4]), largest_loop([0, 0, 4, 0, 4, 4, 0, 4])
    (4.0, 0.0)
    """
    points = _points(ring)
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    if len(points) < 4:
        return 0.0
    loops = [min(_area(points[i + 1 : j + 1], at), _area(np.roll(points, -j - 1, axis=0)[: i - j], at))
             for i, j, at in _crossings(points)]  # fmt: skip
    return max(loops, default=0.0)


def _area(points: Points, crossing: Points) -> float:
    """Give the area of a loop from a crossing back to it (shoelace formula)."""
    x, y = (np.vstack((crossing, points)) - crossing).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _crossings(points: Points) -> Iterator[tuple[int, int, Points]]:
    """Yield the numbers of two edges that cross, the lower first, and where.

    Edges are sorted by where they begin from the left, so that each meets only those that begin before it ends.
    """
    a, b = points, np.roll(points, -1, axis=0)
    left, right = np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 0], b[:, 0])
    order = np.argsort(left, kind="stable")
    starts = left[order]
    for first in range(0, len(order), _CHUNK):
        chunk = order[first : first + _CHUNK]
        others = order[first : np.searchsorted(starts, right[chunk].max(), side="right")]
        sides = _side(a[chunk], b[chunk], a[others]) * _side(a[chunk], b[chunk], b[others])
        back = _side(a[others], b[others], a[chunk]) * _side(a[others], b[others], b[chunk])
        for i, j in zip(*np.nonzero((sides < 0) & (back.T < 0)), strict=True):
            one, two = sorted((int(chunk[i]), int(others[j])))
            if j > i or j >= len(chunk):
                yield one, two, _meeting(a[one], b[one], a[two], b[two])


def _side(a: Points, b: Points, points: Points) -> Points:
    """Tell on which side of the lines a-b points lie: (lines, points)."""
    d = b - a
    sides: Points = d[:, None, 0] * (points[None, :, 1] - a[:, None, 1]) - d[:, None, 1] * (
        points[None, :, 0] - a[:, None, 0]
    )
    return sides


def _meeting(a: Points, b: Points, c: Points, d: Points) -> Points:
    r, s, q = b - a, d - c, c - a
    meeting: Points = a + r * ((q[0] * s[1] - q[1] * s[0]) / (r[0] * s[1] - r[1] * s[0]))
    return meeting
