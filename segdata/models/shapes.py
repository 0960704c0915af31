"""At what size a network sees a photo."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

STRIDE = 32


def network_shape(shape: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Give the height and width, multiples of 32, at which a photo of `shape` is seen: about `pixels`, its own aspect.

    >>> network_shape((830, 550), 576 * 384)
    (576, 384)
    >>> network_shape((480, 640), 576 * 384)
    (416, 544)
    >>> network_shape((10, 4000), 576 * 384)
    (32, 6912)
    """
    height, width = shape
    best = math.sqrt(pixels * height / width), math.sqrt(pixels * width / height)
    high, wide = (max(round(side / STRIDE), 1) * STRIDE for side in best)
    longest = pixels // STRIDE // STRIDE * STRIDE  # of a strip, whose short side cannot shrink any more
    return min(high, longest), min(wide, longest)


def fit(image: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bring a uint8 (H, W, C) photo to `shape` (height, width), smoothed where it becomes smaller."""
    height, width = image.shape[:2]
    if (height, width) == shape:
        return image
    smaller = shape[0] * shape[1] < height * width
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized: npt.NDArray[Any] = cv2.resize(image, shape[::-1], interpolation=method)
    return resized


def with_fourth(image: npt.NDArray[np.uint8], fourth: str) -> npt.NDArray[np.uint8]:
    """Bring a uint8 (H, W, 3) or (H, W, 4) photo to as many channels as a model takes.

    A fourth that is missing is zeros, which say nothing, and one that a model does not take (`fourth` is empty) is
    left out.
    """
    if not fourth:
        return image if image.shape[2] == 3 else np.ascontiguousarray(image[:, :, :3])
    return image if image.shape[2] == 4 else np.dstack([image, np.zeros(image.shape[:2], np.uint8)])


def bytes_of_map(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Turn a float32 (H, W) map in [0, 1] into the uint8 one that is a photo's fourth channel."""
    stored: npt.NDArray[np.uint8] = np.rint(values * np.float32(255)).astype(np.uint8)
    return stored


def enlarge(logits: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Bring float32 (K, h, w) logits to (K, H, W), bilinearly."""
    return np.stack([cv2.resize(each, shape[::-1], interpolation=cv2.INTER_LINEAR) for each in logits])
