"""Parts of a photo that are looked at again, closer, and how what is seen there is put back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Part(NamedTuple):
    """A rectangle of whole pixels in a photo."""

    top: int
    left: int
    height: int
    width: int

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an array (H, W, ...)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


class Joined(NamedTuple):
    """What parts say together: `mean` float32 (H, W), and `cover` in [0, 1], how far they speak for a pixel."""

    mean: npt.NDArray[np.float32]
    cover: npt.NDArray[np.float32]


def join(parts: Iterable[Part], maps: Iterable[npt.NDArray[np.float32]], shape: tuple[int, int], fade: float) -> Joined:
    """Average the float32 (h, w) maps of parts that may overlap, over a photo of `shape` (height, width).

    A part counts less towards its border, down to nothing, over the share `fade` of its sides; not so where its border
    is the photo's.

    >>> one = np.ones((1, 4), np.float32)
    >>> join([Part(0, 0, 1, 4), Part(0, 2, 1, 4)], [one, 0 * one], (1, 8), 0.5).mean.round(2).tolist()
    [[1.0, 1.0, 0.75, 0.25, 0.0, 0.0, 0.0, 0.0]]
    """
    total, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for part, each in zip(parts, maps, strict=True):
        down, right = _ramp(part.top, part.height, shape[0], fade), _ramp(part.left, part.width, shape[1], fade)
        window = down[:, None] * right
        total[part.slices] += window * each
        weights[part.slices] += window
    total /= np.maximum(weights, np.float32(1e-9))
    return Joined(total, np.minimum(weights, np.float32(1)))


def _ramp(start: int, length: int, whole: int, fade: float) -> npt.NDArray[np.float32]:
    places = np.arange(length, dtype=np.float32) + np.float32(0.5)
    rise = np.float32(max(fade * length, 1))
    ramp = np.ones(length, np.float32)
    if start > 0:
        ramp = np.minimum(ramp, places / rise)
    if start + length < whole:
        ramp = np.minimum(ramp, places[::-1] / rise)
    return ramp
