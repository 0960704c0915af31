"""A prediction and its ground truth packed eight pixels a byte: the form in which the measures count and grow.

A mask is cut into eight bands of rows, laid over one another: bit k of byte (y, x) is pixel (k * rows + y, x), where
`rows` is the height of a band. A neighbour in x or y is then the same bit of a neighbouring byte, so that moving a
mask by any offset is a view of the same memory, and one OR or AND of two views handles eight pixels a byte. Only at
the seams of the bands do bits move: `framed` lays the rows that a band borrows from the next one around it, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

BANDS = 8


@dataclass(frozen=True)
class PackedPair:
    """Two masks of one image, cut to the columns that either of them needs.

    `bits` is uint8 (2, rows, width): the prediction, then the ground truth. `shape` is the height and width of the
    image.
    """

    bits: Bytes
    shape: tuple[int, int]


@dataclass(frozen=True)
class Framed:
    """Packed masks with a margin around, each flattened so that a step of (dy, dx) is one of dy * stride + dx.

    `flat` is uint8 (masks, n); `flat[:, body]` holds the packed masks, with zeros between their lines.
    """

    flat: Bytes
    stride: int
    body: slice


def pack_pair(pred: Mask, gt: Mask, void: Mask | None = None) -> PackedPair:
    """Check and pack a prediction and its ground truth, without their void pixels.

    All are bool (H, W) of one size. Raises `InputError` where one is not a bool array of two dimensions or has no
    pixels, `SampleError` (size-mismatch) where the sizes differ.
    """
    masks = {"ground truth": gt, "prediction": pred} | ({} if void is None else {"void mask": void})
    for name, mask in masks.items():
        check_mask(name, mask)
        if mask.shape != gt.shape:
            raise SampleError(
                "size-mismatch",
                f"the {name} has {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"the ground truth {gt.shape[1]} x {gt.shape[0]}",
                "predict at the size of the photo, or scale the prediction to it",
            )
    height, width = gt.shape
    bits = pack(pred, gt)
    if void is not None:
        bits &= ~pack(void)
    # One empty column is kept on either side: the boundary runs half a pixel to the left of a mask.
    used = np.flatnonzero(np.bitwise_or.reduce(bits, axis=(0, 1)))
    left, right = (max(used[0] - 1, 0), min(used[-1] + 2, width)) if len(used) else (0, 1)
    return PackedPair(np.ascontiguousarray(bits[:, :, left:right]), (height, width))


def check_mask(name: str, mask: Mask) -> None:
    """Raise `InputError` unless a mask is a bool array (H, W) with at least one pixel."""
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.size:
        raise InputError(
            f"the {name} is {mask.dtype} {mask.shape}, not bool (height, width)",
            "threshold probabilities, and compare class indices with the class, first",
        )


def pack(*masks: Mask) -> Bytes:
    """Pack bool (H, W) masks of one size to uint8 (masks, ceil(H / 8), W).

    A pixel is set where its byte is not 0: Pillow gives the pixels of a 1-bit file as bool with bytes of 255.
    """
    height, width = masks[0].shape
    rows = -(-height // BANDS)
    bits = np.zeros((len(masks), rows, width), np.uint8)
    for packed, mask in zip(bits, masks, strict=True):
        pixels = mask.view(np.uint8)
        if pixels.max() > 1:
            pixels = (pixels != 0).view(np.uint8)
        for start in range((BANDS - 1) * rows, -1, -rows):
            band = pixels[start : start + rows]
            np.add(packed, packed, out=packed)  # a shift by one bit, and faster than one
            packed[: len(band)] |= band
    return bits


def unpack(packed: Bytes, height: int) -> Mask:
    """Undo `pack`: give the first `height` rows of uint8 (rows, W) as bool (height, W)."""
    bands = (packed >> np.arange(BANDS, dtype=np.uint8)[:, None, None]) & 1
    return bands.reshape(-1, packed.shape[1])[:height].view(np.bool_)


def count(packed: Bytes) -> int:
    """Count the set pixels."""
    return int(cv2.norm(packed.ravel(), cv2.NORM_HAMMING))


def framed(bits: Bytes, margin: int) -> Framed:
    """Lay a margin of `margin` pixels around packed masks (masks, rows, width): zeros outside of the image."""
    masks, rows, width = bits.shape
    stride = margin + width
    # The margin at the right of a line is the one at the left of the next; two more lines serve the last ones.
    lines = np.zeros((masks, margin + rows + margin + 2, stride), np.uint8)
    lines[:, margin : margin + rows, margin:] = bits
    for bands in range(1, -(-margin // rows) + 1):
        n = min(rows, margin - (bands - 1) * rows)
        top, bottom = margin - (bands - 1) * rows, margin + bands * rows
        lines[:, top - n : top, margin:] = bits[:, rows - n :] << bands
        lines[:, bottom : bottom + n, margin:] = bits[:, :n] >> bands
    start = margin * stride + margin
    return Framed(lines.reshape(masks, -1), stride, slice(start, start + rows * stride))
