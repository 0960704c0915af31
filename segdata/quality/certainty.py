"""How sure a probability map is of the mask that it gives, for ranking what a person should look at first."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

BAND = 0.008
"""Half the width of the band around the contour, a share of the diagonal: the tolerance of contour accuracy."""


def confidence(probability: npt.NDArray[np.float32], threshold: float) -> float:
    """Give the IoU, in [0, 1], that a float32 (H, W) map expects of its own mask, the pixels from `threshold` on.

    It is the soft IoU of map and mask: the sum of their product over the sum of their larger values. It falls with
    every doubtful pixel inside and outside the mask, measured by the mask's size. Where the mask is empty, it is how
    sure the map is of that at its least certain pixel: 1 less its highest value.

    >>> confidence(np.array([[1, 0.75, 0.25, 0]], np.float32), 0.5)
    0.7777777777777778
    >>> confidence(np.array([[0.25, 0]], np.float32), 0.5)
    0.75
    """
    mask = probability >= np.float32(threshold)
    area = int(np.count_nonzero(mask))
    if not area:
        return 1 - float(probability.max(initial=0))
    inside = float(np.sum(probability, where=mask, dtype=np.float64))
    return inside / (float(np.sum(probability, dtype=np.float64)) + area - inside)


def uncertainty(probability: npt.NDArray[np.float32], threshold: float) -> float:
    """Give the mean of 1 - |2 p - 1|, in [0, 1], in a band around the contour of a float32 (H, W) map's mask.

    The band reaches `BAND` of the diagonal to either side. Where the mask has no contour, being empty or the whole
    photo, it is the highest such value.

    >>> uncertainty(np.array([[1, 1, 0.75, 0, 0]], np.float32), 0.5)
    0.25
    """
    doubt = 1 - np.abs(2 * probability - 1)
    radius = math.ceil(BAND * math.hypot(*probability.shape))
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    mask = (probability >= np.float32(threshold)).view(np.uint8)
    band = cv2.dilate(mask, square) != cv2.erode(mask, square)
    return float(doubt.mean(where=band, dtype=np.float64) if band.any() else doubt.max(initial=0))
