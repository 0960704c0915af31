"""Boundary IoU: intersection over union of the bands along the two outlines.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021.
"""

from __future__ import annotations

import math

from segdata.errors import InputError
from segdata.quality.packed import Bytes, Mask, PackedPair, count, framed, pack_pair

DILATION = 0.02


def band_width(shape: tuple[int, int], dilation: float = DILATION) -> int:
    """Give the width of the band in pixels for an image of (height, width).

    The share `dilation` of the image's diagonal, rounded (halves to the even number), and at least 1. Raises
    `InputError` where the share is not above 0 and below 1.

    >>> band_width((480, 640)), band_width((20, 20))
    (16, 1)
    """
    if not 0 < dilation < 1:
        raise InputError(
            f"the dilation {dilation} is not a share of the diagonal", "give one between 0 and 1, such as 0.02"
        )
    height, width = shape
    return max(1, round(dilation * math.sqrt(height * height + width * width)))


def boundary_iou(pred: Mask, gt: Mask, *, dilation: float = DILATION, void: Mask | None = None) -> float:
    """Give the IoU of the inner bands of two masks, in [0, 1].

    `pred`, `gt` and `void` are bool (H, W). A mask's band is those of its pixels that have a pixel outside of it at
    most `band_width` pixels away in x and y; beyond the image's border all is outside, so that unlike in
    `contour_accuracy` a mask that fills the image has a band. Void pixels are taken out of both masks first. Equal
    to the authors' implementation to the last bit.

    Two empty masks: 1; one empty: 0. Raises `SampleError` where the sizes differ, `InputError` where an array is not
    bool (H, W) or the dilation is out of range.

    >>> import numpy as np
    >>> gt = np.zeros((100, 100), bool)
    >>> gt[20:80, 30:70] = True
    >>> boundary_iou(gt, gt), round(boundary_iou(np.roll(gt, 1, axis=1), gt), 3)
    (1.0, 0.664)
    """
    return band_iou(pack_pair(pred, gt, void), band_width(gt.shape, dilation))


def band_iou(pair: PackedPair, width: int) -> float:
    """Give the Boundary IoU of a packed pair for a band of `width` pixels."""
    frame = framed(pair.bits, width)
    masks = frame.flat[:, frame.body]
    core = _minimum(_minimum(frame.flat, 1, 2 * width + 1), frame.stride, 2 * width + 1)
    pred, gt = masks & ~core[:, : masks.shape[1]]
    union = count(pred | gt)
    return count(pred & gt) / union if union else 1.0


def _minimum(flat: Bytes, step: int, length: int) -> Bytes:
    """AND each byte with the `length` - 1 that follow it `step` apart, each time doubling the run that is known."""
    known = 1
    while known < length:
        more = min(known, length - known)
        flat = flat[:, : -more * step] & flat[:, more * step :]
        known += more
    return flat
