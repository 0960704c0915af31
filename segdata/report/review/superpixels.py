"""Superpixels of a photo, for a brush that snaps to edges."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# At this many pixels SLIC takes about a second; a larger photo is cut up at a smaller size.
MOST_PIXELS = 1_000_000
_COMPACTNESS = 10.0
_ITERATIONS = 6


def superpixels(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint32]:
    """Cut a photo, uint8 (H, W, 3) RGB, into SLIC superpixels about `size` pixels wide: labels from 0, uint32 (h, w).

    They are those of the photo, or of a smaller copy of it, and less high and wide then.

    >>> image = np.zeros((20, 40, 3), np.uint8)
    >>> image[:, 20:] = 255
    >>> labels = superpixels(image, 10)
    >>> set(labels[:, :18].ravel().tolist()) & set(labels[:, 22:].ravel().tolist())
    set()
    """
    height, width = image.shape[:2]
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    if scale < 1:
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    size = max(2, round(size * scale))
    if min(image.shape[:2]) < 2 * size:
        return np.arange(image.shape[0] * image.shape[1], dtype=np.uint32).reshape(image.shape[:2])
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB)
    slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, size, _COMPACTNESS)
    slic.iterate(_ITERATIONS)
    slic.enforceLabelConnectivity(20)
    return np.asarray(slic.getLabels()).astype(np.uint32)


def to_bytes(labels: npt.NDArray[np.uint32]) -> bytes:
    """Encode labels as uint32, lowest byte first: height, width, then the labels along the rows."""
    return np.array(labels.shape, "<u4").tobytes() + labels.astype("<u4").tobytes()
