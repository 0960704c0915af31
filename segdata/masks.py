"""Polygons, run lengths and bitmaps, turned into each other exactly as pycocotools does it.

Every segmentation is checked before pycocotools sees it, because on bad input that library crashes, takes
unbounded memory or returns a mask with pixels missing. What passes is drawn by pycocotools alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segdata.errors import SampleError
from segdata.sample import Rle

Mask = npt.NDArray[np.bool_]

# pycocotools holds five points for each pixel of the outline in memory. An outline that goes round every other pixel
# of the image is twice as long as it has pixels; what is longer lies outside of it.
_LONGEST_OUTLINE = 4_000_000
_LONG_ENOUGH = 100_000


def polygons_to_rle(polygons: Sequence[Sequence[float]], height: int, width: int) -> Rle:
    """Draw polygons as one mask: the union of all of them.

    Each polygon is a flat list x0, y0, x1, y1, ... in pixels, of at least three points; parts outside the image are
    cut off. Follows COCO: a pixel inside two polygons of one object is inside the object.

    Raises `SampleError` (``bad-polygon``) for no polygon, fewer than three points, an odd number of coordinates, a
    coordinate that is no finite number, or outlines too long to draw.

    >>> rle = polygons_to_rle([[1, 1, 3, 1, 3, 3, 1, 3]], height=4, width=5)
    >>> rle_to_mask(rle).sum()
    np.int64(4)
    """
    if not polygons:
        raise SampleError("bad-polygon", "the segmentation holds no polygon")
    longest = min(max(2 * height * width, _LONG_ENOUGH), _LONGEST_OUTLINE)
    at_most = [_check_polygon(polygon, number) for number, polygon in enumerate(polygons)]
    if sum(at_most) > longest:
        _check_outlines(polygons, longest)
    parts = coco_mask.frPyObjects(polygons, height, width)
    return _from_coco(parts[0] if len(parts) == 1 else coco_mask.merge(parts))


def _check_polygon(polygon: Sequence[float], number: int) -> float:
    """Check the numbers of a polygon; give a bound of its outline's length that costs little."""
    if not isinstance(polygon, list | tuple | np.ndarray):
        raise SampleError(
            "bad-polygon",
            "the segmentation is a flat list of numbers, neither polygons nor run lengths",
            "polygons are a list of lists; run lengths an object with 'counts' and 'size'",
        )
    if len(polygon) % 2:
        raise SampleError("bad-polygon", f"polygon {number} has an odd number of coordinates ({len(polygon)})")
    if len(polygon) < 6:
        raise SampleError("bad-polygon", f"polygon {number} has {len(polygon) // 2} points, and needs three")
    try:
        total, low, high = sum(polygon, 0.0), min(polygon), max(polygon)
    except (TypeError, ValueError, OverflowError):
        total, low, high = math.nan, 0.0, 0.0
    if not math.isfinite(total) or not math.isfinite(high - low):
        raise SampleError("bad-polygon", f"polygon {number} has a coordinate that is no finite number")
    return len(polygon) * float(max(high, 0) - min(low, 0))


def _check_outlines(polygons: Sequence[Sequence[float]], longest: int) -> None:
    whole = 0.0
    for number, polygon in enumerate(polygons):
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        far = np.abs(points).max()
        if far > _LONGEST_OUTLINE:
            raise SampleError("bad-polygon", f"polygon {number} has a coordinate of {far:.6g} pixels")
        outline = float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())
        if outline > longest:
            raise SampleError("bad-polygon", f"polygon {number} runs {outline:.0f} pixels along its outline")
        whole += outline
    if whole > longest:
        raise SampleError("bad-polygon", f"the polygons run {whole:.0f} pixels along their outlines")


def segmentation_to_rle(segmentation: Any, height: int, width: int) -> Rle:
    """Turn the ``segmentation`` of a COCO annotation into run lengths: polygons, uncompressed or compressed RLE.

    `height` and `width` are those of the image, in pixels; run lengths must have the same size.
    Raises `SampleError` (``bad-polygon``, ``bad-rle``, ``size-mismatch``).

    >>> segmentation_to_rle({"size": [2, 2], "counts": [1, 2, 1]}, 2, 2)
    Rle(size=(2, 2), counts='121')
    """
    if isinstance(segmentation, list):
        return polygons_to_rle(segmentation, height, width)
    if not isinstance(segmentation, dict) or "counts" not in segmentation or "size" not in segmentation:
        raise SampleError("bad-rle", "the segmentation is neither polygons nor run lengths with 'counts' and 'size'")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise SampleError(
            "size-mismatch",
            f"the run lengths are for {_size_text(size)} (height x width), the image is {height} x {width}",
        )
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run <= height * width for run in counts):
            raise SampleError("bad-rle", "a run length is no whole number of pixels from zero to those of the image")
        _check_total(sum(counts), height, width)
        rle = _from_coco(coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width))
    elif isinstance(counts, str):
        rle = Rle((height, width), counts)
        check_rle(rle)
    else:
        raise SampleError("bad-rle", "the 'counts' of the run lengths are neither a list nor a string")
    # pycocotools loses pixels when it merges masks with runs of no pixel behind the first run.
    return rle if run_lengths(rle)[1:].all() else mask_to_rle(rle_to_mask(rle))


def _size_text(size: Any) -> str:
    return " x ".join(map(str, size)) if isinstance(size, list | tuple) else str(size)


def check_rle(rle: Rle) -> None:
    """Raise `SampleError` (``bad-rle``) unless the run lengths cover the image exactly.

    >>> check_rle(Rle((2, 2), "121"))
    """
    try:
        runs = run_lengths(rle)
    except (ValueError, IndexError, UnicodeEncodeError) as error:
        raise SampleError("bad-rle", "the compressed run lengths cannot be decoded") from error
    if runs.size and runs.min() < 0:
        raise SampleError("bad-rle", "a run length is negative")
    if runs.size and runs.max() > rle.size[0] * rle.size[1]:
        raise SampleError("bad-rle", "a run length is longer than the image")
    _check_total(int(runs.sum()), *rle.size)


def _check_total(total: int, height: int, width: int) -> None:
    if total != height * width:
        raise SampleError("bad-rle", f"the run lengths cover {total} pixels, the image has {height * width}")


def run_lengths(rle: Rle) -> npt.NDArray[np.int64]:
    """Give the run lengths in pixels, down the columns, background first: int64 (N,).

    >>> run_lengths(Rle((2, 2), "121"))
    array([1, 2, 1])
    """
    codes = np.frombuffer(rle.counts.encode("ascii"), np.uint8) - np.uint8(48)
    if codes.size == 0:
        return codes.astype(np.int64)
    if codes.max() > 63 or codes[-1] > 31:
        raise ValueError("not a COCO run length string")
    # Each number is digits of five bits, the lowest first; a sixth bit says that another follows.
    ends = (codes < 32).nonzero()[0]
    digits = ends.copy()
    digits[1:] -= ends[:-1]
    digits[0] += 1
    longest = digits.max()
    if longest > 7 or (codes[ends[digits == 7]] & 16).any():  # what pycocotools reads wrongly
        raise ValueError("a run length of more than 34 bits")
    low = (codes & 31).astype(np.int64)
    runs = low[ends]
    runs -= (runs & 16) << 1  # the highest digit carries the sign
    for place in range(1, longest):
        more = (digits > place).nonzero()[0]
        runs[more] = (runs[more] << 5) + low[ends[more] - place]
    # From the fourth run on, COCO stores the difference to the run before the last one.
    for series in (runs[1::2], runs[2::2]):
        series.cumsum(out=series)
    return runs


def merge_rles(rles: Sequence[Rle], height: int, width: int) -> Rle:
    """Unite masks: a pixel is set where any of them sets it. No mask at all gives an empty one.

    Raises `SampleError` (``size-mismatch``) when one has another size than `height` x `width`.

    >>> rle_to_mask(merge_rles([], 2, 3)).any()
    np.False_
    """
    for rle in rles:
        if rle.size != (height, width):
            raise SampleError("size-mismatch", f"a mask is {rle.size}, the image {(height, width)} (height, width)")
    if not rles:
        return _from_coco(coco_mask.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width))
    return rles[0] if len(rles) == 1 else _from_coco(coco_mask.merge([_to_coco(rle) for rle in rles]))


def rle_to_mask(rle: Rle) -> Mask:
    """Decode run lengths to bool (H, W), in C order: the same pixels as pycocotools' decode, in half the time.

    >>> rle_to_mask(Rle((2, 2), "121")).tolist()
    [[False, True], [True, False]]
    """
    first_row, rows, columns, _ = transitions(rle)
    height, width = rle.size
    mask = np.zeros((height, -(-width // 8) * 8), np.uint8)
    mask[rows, columns] = 1
    mask[:1, :width] = first_row
    words = mask.view(np.uint64)  # eight pixels at a time
    np.bitwise_xor.accumulate(words, axis=0, out=words)
    return np.ascontiguousarray(mask[:, :width]).view(np.bool_)


def transitions(
    rle: Rle,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Give where a mask changes on the way down its columns.

    Returns the first row, bool (W,), then for each pixel that differs from the one above it the row, the column and
    whether it is set: three arrays of the same length.

    >>> [array.tolist() for array in transitions(Rle((2, 2), "121"))]
    [[False, True], [1, 1], [0, 1], [True, False]]
    """
    height, width = rle.size
    runs = run_lengths(rle)
    changes = runs.cumsum()[:-1]
    if runs.size > 2 and not runs[1:-1].all():  # a run of no pixel ends where it starts: both changes cancel
        changes, repeats = np.unique(changes, return_counts=True)
        changes = changes[repeats % 2 == 1]
    is_set = np.zeros(changes.size, np.bool_)
    is_set[::2] = True
    if not height:
        return np.zeros(width, np.bool_), changes[:0], changes[:0], is_set[:0]
    first_row = changes.searchsorted(np.arange(0, width * height, height), side="right") % 2 == 1
    columns = changes // height
    rows = changes - columns * height
    inside = (rows > 0) & (columns < width)
    return first_row, rows[inside], columns[inside], is_set[inside]


def mask_to_rle(mask: Mask) -> Rle:
    """Encode bool (H, W) as run lengths.

    >>> mask_to_rle(np.array([[False, True], [True, False]]))
    Rle(size=(2, 2), counts='121')
    """
    return _from_coco(coco_mask.encode(cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).T))


def rle_area(rle: Rle) -> int:
    """Count the pixels of a mask.

    >>> rle_area(Rle((2, 2), "121"))
    2
    """
    return int(coco_mask.area(_to_coco(rle)))


def rle_box(rle: Rle) -> tuple[float, float, float, float]:
    """Give x, y, width, height of the smallest box round a mask, in pixels; all 0 for an empty one.

    >>> rle_box(Rle((2, 2), "121"))
    (0.0, 0.0, 2.0, 2.0)
    """
    x, y, width, height = coco_mask.toBbox(_to_coco(rle)).tolist()
    return x, y, width, height


def _to_coco(rle: Rle) -> dict[str, Any]:
    return {"size": rle.size, "counts": rle.counts.encode("ascii")}


def _from_coco(rle: dict[str, Any]) -> Rle:
    height, width = rle["size"]
    return Rle((height, width), rle["counts"].decode("ascii"))
