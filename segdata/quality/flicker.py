"""How much the masks of a video flicker: with true masks dtSSD, without them the temporal consistency along the flow.

The RCRNet paper gives no temporal measure. These are the field's: dtSSD (Erofeev et al., "Perceptually Motivated
Benchmark for Video Matting", BMVC 2015) is what video matting reports; temporal consistency (Liu et al., "Efficient
Semantic Video Segmentation with Per-frame Inference", ECCV 2020) is what video segmentation does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, zip_longest
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError
from segdata.quality.overlap import iou
from segdata.quality.packed import Mask, check_mask

Map = NDArray[np.bool_] | NDArray[np.float32]
Image = NDArray[np.uint8]


def dtssd(maps: Iterable[Map], truth: Iterable[Map]) -> float:
    """Give the root mean square, over pixels, of how wrongly the maps change from frame to frame; mean over steps.

    With p and g the predicted and true maps of a frame, this is the mean over all frames t but the first of
    sqrt(mean((p[t] - p[t-1] - g[t] + g[t-1]) ** 2)). Both are bool masks or float maps in [0, 1], all of one (H, W),
    and are read a frame at a time. In [0, 2]: 0 where the maps change as the truth does, be they right or not, so that
    it stands beside a measure of accuracy. Papers commonly report 100 times this figure.

    Raises `InputError` for fewer than two frames, a truth of another length, or another type of map, `SampleError`
    (size-mismatch) where sizes differ.

    >>> off, on = np.zeros((10, 10), bool), np.ones((10, 10), bool)
    >>> dtssd([on, on, on], [off, off, off]), dtssd([off, on, off], [off, off, off])
    (0.0, 1.0)
    """
    steps = [float(np.sqrt(np.mean(np.square(after - before)))) for before, after in pairwise(_errors(maps, truth))]
    return _mean(steps)


def _errors(maps: Iterable[Map], truth: Iterable[Map]) -> Iterator[NDArray[np.float32]]:
    for pred, gt in _same_size("map", maps, "true map", truth):
        for name, each in {"map": pred, "true map": gt}.items():
            if each.dtype != np.bool_ and each.dtype.kind != "f":
                raise InputError(f"a {name} is {each.dtype}, neither bool nor float", "give masks, or maps in [0, 1]")
        yield pred.astype(np.float32) - gt.astype(np.float32)


def temporal_consistency(masks: Iterable[Mask], frames: Iterable[Image]) -> float:
    """Give the IoU of each mask with the one before, moved along the optical flow; mean over steps, in [0, 1].

    Masks are bool (H, W), frames the video's uint8 (H, W, 3) RGB; both are read a frame at a time. The flow is OpenCV's
    DIS (medium preset) from each frame to the one before, where the paper has a network's, so figures compare with one
    another and not with the paper's. Pixels that came into view from outside the frame do not count. A step between two
    empty masks: 1; between an empty and another: 0. No true masks are needed; masks that are wrong all the time in
    the same way are consistent.

    Raises `InputError` for fewer than two frames, masks that are not bool (H, W), frames that are not uint8 (H, W, 3),
    or more of the one than of the other, `SampleError` (size-mismatch) where sizes differ.

    >>> frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    >>> person, nobody = np.pad(np.ones((32, 32), bool), 16), np.zeros((64, 64), bool)
    >>> temporal_consistency([person, person, nobody], [frame] * 3)
    0.5
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    steps = []
    for (before, earlier), (after, later) in pairwise(_pairs(masks, frames)):
        moved, seen = _moved(before, flow.calc(later, earlier, None))  # type: ignore[call-overload]
        steps.append(iou(moved, after, ~seen))
    return _mean(steps)


def _pairs(masks: Iterable[Mask], frames: Iterable[Image]) -> Iterator[tuple[Mask, Image]]:
    for mask, frame in _same_size("mask", masks, "frame", frames):
        check_mask("mask", mask)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (height, width, 3)", "give RGB images")
        yield mask, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def _moved(mask: Mask, flow: NDArray[np.float32]) -> tuple[Mask, Mask]:
    """Give a mask where `flow` (H, W, 2) takes each pixel from, and the pixels that it takes from within the frame."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + flow[:, :, 0], y + flow[:, :, 1]
    moved = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved >= 0.5, (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _same_size(
    first: str, firsts: Iterable[NDArray[Any]], second: str, seconds: Iterable[NDArray[Any]]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    shape = None
    for number, (one, other) in enumerate(zip_longest(firsts, seconds), 1):
        if one is None or other is None:
            raise InputError(f"frame {number} has no {first if one is None else second}", "give one of each a frame")
        shape = shape or one.shape[:2]
        for name, each in {first: one, second: other}.items():
            if each.shape[:2] != shape:
                raise SampleError(
                    "size-mismatch",
                    f"the {name} of frame {number} is {each.shape[1]} x {each.shape[0]}, "
                    f"the first {first} {shape[1]} x {shape[0]}",
                    "give all frames of a video in one size",
                )
        yield one, other


def _mean(steps: list[float]) -> float:
    if not steps:
        raise InputError("a video needs two frames at least to flicker", "give all frames, in their order")
    return fmean(steps)
