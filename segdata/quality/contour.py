"""Contour accuracy: how much of two outlines lies within a tolerance of each other.

The F-measure of the DAVIS benchmark (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video
Object Segmentation", CVPR 2016), which MD-TriseNet (equation 10) reports for persons.
"""

from __future__ import annotations

import math

import numpy as np

from segdata.errors import InputError
from segdata.quality.packed import Bytes, Mask, PackedPair, check_mask, count, framed, pack, pack_pair, unpack

TOLERANCE = 0.008


def contour_tolerance(shape: tuple[int, int], tolerance: float = TOLERANCE) -> int:
    """Give the tolerance in pixels for an image of (height, width).

    From 1 on, `tolerance` is the pixels themselves, a whole number; below it is a share of the image's diagonal,
    rounded up. With 0, outlines match only where they coincide. Raises `InputError` for any other number.

    >>> contour_tolerance((480, 640)), contour_tolerance((480, 640), 3)
    (7, 3)
    """
    if 0 <= tolerance < 1:
        height, width = shape
        return math.ceil(tolerance * math.sqrt(height * height + width * width))
    if not math.isfinite(tolerance) or tolerance < 0 or tolerance != int(tolerance):
        raise InputError(
            f"the contour tolerance {tolerance} is neither a share of the diagonal nor a whole number of pixels",
            "give a share from 0 to below 1 (0.008 in the DAVIS benchmark), or pixels: 1, 2, 3 ...",
        )
    return int(tolerance)


def boundary_map(mask: Mask) -> Mask:
    """Give the one-pixel outline of a mask, half a pixel towards the origin.

    `mask` and the result are bool (H, W). A pixel is on the outline where the pixel to its right, the one below or
    the one below to the right differs from it: what the benchmark's `seg2bmap` gives at full size. The image's
    border is no outline, so that an empty mask and one that fills the image have none.

    >>> import numpy as np
    >>> mask = np.zeros((4, 5), bool)
    >>> mask[2:, 2:] = True
    >>> boundary_map(mask).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1],
           [0, 1, 0, 0, 0],
           [0, 1, 0, 0, 0]])
    """
    check_mask("mask", mask)
    height = len(mask)
    return unpack(_boundaries(pack(mask), height)[0], height)


def contour_accuracy(pred: Mask, gt: Mask, *, tolerance: float = TOLERANCE, void: Mask | None = None) -> float:
    """Give the harmonic mean of the precision and the recall of the outline, in [0, 1].

    `pred`, `gt` and `void` are bool (H, W). Precision is the share of the prediction's `boundary_map` that lies
    within a disc of `contour_tolerance` pixels of the ground truth's, recall the converse. Void pixels are taken
    out of both masks first, so that the edge of a void region inside a person is an outline of both. Equal to the
    DAVIS reference implementation to the last bit.

    Neither mask has an outline (each is empty or fills the image): 1, even where one is empty and the other full;
    one of them has none: 0. Raises `SampleError` where the sizes differ, `InputError` where an array is not bool
    (H, W) or the tolerance is out of range.

    >>> import numpy as np
    >>> gt = np.zeros((100, 100), bool)
    >>> gt[20:80, 30:70] = True
    >>> contour_accuracy(np.roll(gt, 2, axis=1), gt), contour_accuracy(np.roll(gt, 8, axis=1), gt, tolerance=3)
    (1.0, 0.39)
    """
    return contour_f(pack_pair(pred, gt, void), contour_tolerance(gt.shape, tolerance))


def contour_f(pair: PackedPair, radius: int) -> float:
    """Give the contour accuracy of a packed pair for a tolerance in pixels."""
    bits = _boundaries(pair.bits, pair.shape[0])
    of_pred, of_gt = count(bits[0]), count(bits[1])
    if not of_pred or not of_gt:
        return float(of_pred == of_gt)
    frame = framed(bits, radius)
    near = _dilated(frame.flat, frame.stride, frame.body, radius)
    pred, gt = frame.flat[:, frame.body]
    precision = count(pred & near[1]) / of_pred
    recall = count(gt & near[0]) / of_gt
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundaries(bits: Bytes, height: int) -> Bytes:
    """Give the boundary maps of packed masks (masks, rows, width), packed."""
    rows = bits.shape[1]
    below = np.empty_like(bits)
    below[:, :-1] = bits[:, 1:]
    below[:, -1] = bits[:, 0] >> 1  # the first row of the next band
    down = bits ^ below
    down[:, (height - 1) % rows] &= ~np.uint8(1 << (height - 1) // rows)  # the last row has none below
    # Four pixels are not all alike where the upper two differ, the lower two differ, or the left two do.
    right = np.zeros_like(bits)
    flat, flat_below = bits.reshape(-1), below.reshape(-1)
    inner = right.reshape(-1)[:-1]
    np.bitwise_xor(flat[1:], flat[:-1], out=inner)
    inner |= flat_below[1:] ^ flat_below[:-1]
    right[:, :, -1] = 0  # the last column has none to its right
    down |= right
    return down


def _dilated(flat: Bytes, stride: int, body: slice, radius: int) -> Bytes:
    """Grow framed masks by a disc: the pixels at a distance of at most `radius` from a set one.

    The disc is a stack of horizontal runs. From the outermost line to the middle the runs only grow, so that each
    is made from the one before it, by two shifts that overlap.
    """
    grown = flat[:, body].copy()
    run, reach = flat, 0
    for dy in range(radius, -1, -1):
        half_width = math.isqrt(radius * radius - dy * dy)
        while reach < half_width:
            step = min(half_width - reach, max(reach, 1))
            wider = run[:, : -2 * step] | run[:, 2 * step :]
            if not reach:
                wider |= run[:, 1:-1]
            run, reach = wider, reach + step
        for offset in {dy * stride, -dy * stride}:
            start = body.start + offset - reach
            grown |= run[:, start : start + grown.shape[1]]
    return grown
