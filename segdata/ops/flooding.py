"""Borders between the persons of a mask that follow the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segdata.masks import Mask


def flood(
    image: npt.NDArray[np.uint8], mask: Mask, labels: npt.NDArray[np.int32], sure: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """Flood a mask from its sure pixels by a watershed of the gradient of lightness: int32 (H, W), 0 outside the mask.

    `image` is uint8 (H, W, 3) RGB, `mask` bool (H, W) with M pixels; `labels` (M,) holds a number from 1 for each of
    them in reading order, `sure` (M,) whether it stays. Where no flood comes, the labels stay too.

    >>> image = np.zeros((9, 16, 3), np.uint8)
    >>> image[:, 10:] = 200
    >>> labels = np.tile(np.arange(16) // 8 + 1, 9).astype(np.int32)
    >>> flood(image, np.ones((9, 16), bool), labels, np.tile(abs(np.arange(16) - 8) > 5, 9))[4]
    array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], dtype=int32)
    """
    from skimage.segmentation import watershed  # noqa: PLC0415 - takes a while to load

    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    seeds = np.zeros(mask.shape, np.int32)
    seeds[mask] = np.where(sure, labels, 0)
    flooded = np.zeros(mask.shape, np.int32)
    flooded[mask] = labels
    if seeds.any() and not sure.all():
        reached = watershed(slope, seeds, mask=mask)  # type: ignore[no-untyped-call]
        flooded = np.where(reached > 0, reached, flooded).astype(np.int32)
    return flooded
