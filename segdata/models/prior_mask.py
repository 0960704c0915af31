"""The disturbed prior mask (rcrnet.txt 4.2.2): for photos, in place of the mask of the frame before."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

REACH = 0.05
EMPTY = 0.5


def disturbed_prior(
    rng: np.random.Generator, mask: npt.NDArray[np.uint8], *, reach: float = REACH, empty: float = EMPTY
) -> npt.NDArray[np.uint8]:
    """Draw a prior mask, uint8 (H, W) in [0, 255], from the true mask of a view, of that shape and range.

    The affine map that moves three corners of the view by up to `reach` of its width and height, each evenly and on its
    own, turns, scales, shears and shifts the mask as a person's movement between two frames may; what comes in from
    outside is background. With probability `empty` the prior is empty instead, as in a first frame, so that the network
    learns to do without. The paper gives no figures; both are taken from PortraitNet's public training code, which also
    blurs and bends the mask; RCRNet mentions affine maps alone.

    >>> mask = np.zeros((64, 64), np.uint8)
    >>> mask[16:48, 16:48] = 255
    >>> prior = disturbed_prior(np.random.default_rng(0), mask, empty=0)
    >>> prior.shape, round(float(np.mean(prior != mask)), 2)
    ((64, 64), 0.05)
    """
    if rng.random() < empty:
        return np.zeros_like(mask)
    height, width = mask.shape
    corners = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    moved = corners + rng.uniform(-reach, reach, (3, 2)) * (width, height)
    matrix = cv2.getAffineTransform(corners, moved.astype(np.float32))
    warped: npt.NDArray[np.uint8] = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )
    return warped
