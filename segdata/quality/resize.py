"""The evaluation protocol of ALiSNet, section 4.3: crop to the person, then scale to a height of 1024 pixels."""

from __future__ import annotations

from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError
from segdata.quality.packed import Mask

HEIGHT = 1024

Map = TypeVar("Map", NDArray[np.bool_], NDArray[np.float32])


def mask_box(mask: Mask) -> tuple[int, int, int, int]:
    """Give the x, y, width and height of the smallest box around a bool (H, W) mask, in pixels.

    An empty mask has no box: the whole image is kept.

    >>> import numpy as np
    >>> mask = np.zeros((4, 6), bool)
    >>> mask_box(mask)
    (0, 0, 6, 4)
    >>> mask[1:3, 2] = True
    >>> mask_box(mask)
    (2, 1, 1, 2)
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def crop_to_box(array: Map, box: tuple[int, int, int, int]) -> Map:
    """Give the part of a mask or probability map (H, W) inside a box of x, y, width and height, as a view.

    Prediction and ground truth are both cropped to the `mask_box` of the ground truth. Raises `SampleError` where
    the array does not reach over the box: its size is not that of the photo.

    >>> import numpy as np
    >>> crop_to_box(np.eye(3, dtype=bool), (1, 0, 2, 2))
    array([[False, False],
           [ True, False]])
    """
    x, y, width, height = box
    part = array[y : y + height, x : x + width]
    if part.shape != (height, width):
        raise SampleError(
            "size-mismatch",
            f"an array of {array.shape[1]} x {array.shape[0]} pixels does not hold the box {box}",
            "predict at the size of the photo, or scale the prediction to it",
        )
    return part


def to_size(array: Map, height: int, width: int) -> Map:
    """Scale a mask or probability map (H, W) to a height and width in pixels.

    Masks are scaled by nearest neighbour: a pixel takes the value of the source pixel that its centre falls into
    (on the edge of two: the right or lower one). Centres are computed in whole numbers. Measured from corners
    instead, as `cv2.INTER_NEAREST` does, a mask moves against a probability map by up to half a source pixel.
    Probability maps (float32) are scaled bilinearly between pixel centres. Raises `InputError` for other types.

    >>> import numpy as np
    >>> to_size(np.array([[True, False]]), 2, 4).astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]])
    """
    if array.dtype == np.bool_:
        rows, columns = array.shape
        y = (2 * np.arange(height) + 1) * rows // (2 * height)
        x = (2 * np.arange(width) + 1) * columns // (2 * width)
        return cast("Map", array.take(x, axis=1).take(y, axis=0))
    if array.dtype != np.float32:
        raise InputError(f"an array of {array.dtype} is neither a mask (bool) nor a probability map (float32)")
    pixels = np.asarray(array, np.float32)
    scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast("Map", np.clip(scaled, 0, 1, out=scaled))


def to_height(array: Map, height: int = HEIGHT) -> Map:
    """Scale a mask or probability map (H, W) to a height in pixels; the width follows, rounded, at least 1.

    Scales as `to_size` does. The protocol's height is 1024.

    >>> import numpy as np
    >>> to_height(np.zeros((550, 300), bool)).shape
    (1024, 559)
    """
    rows, columns = array.shape
    return to_size(array, height, max(1, (2 * columns * height + rows) // (2 * rows)))
