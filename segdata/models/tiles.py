"""A closer look along the contour in photos that are much larger than what a model sees of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from segdata.models.parts import Part, join

if TYPE_CHECKING:
    from segdata.models.base import Image
    from segdata.models.inference import Map, Predict

ZOOMS = (2, 4)
"""How much closer tiles are than the whole view; closer ones see cloth and no person."""
REACH = 0.012
"""How far from the contour of the whole view tiles at zoom 2 have a say, a share of the diagonal."""

_FADE = 0.5


def zooms_for(shape: tuple[int, int], pixels: int) -> list[int]:
    """Give the zooms that show more of a photo of `shape` than a model sees that brings it to `pixels` pixels.

    >>> zooms_for((830, 550), 576 * 384), zooms_for((1600, 1200), 576 * 384), zooms_for((4000, 3000), 576 * 384)
    ([], [2], [2, 4])
    """
    return [zoom for zoom in ZOOMS if shape[0] * shape[1] >= zoom * zoom * pixels]


def refine_contour(predict: Predict, image: Image, whole: Map, *, threshold: float, pixels: int) -> Map:
    """Give the map of a uint8 (H, W, 3) photo after a closer look along the contour of its map `whole`.

    The photo is seen in tiles of 1 / zoom of its height and width that overlap by half, at zoom 2, and once more at 4
    where the photo has that many pixels (`zooms_for`; `pixels` is what the model sees at a time). A tile knows less of
    the whole: it changes the map only in a band around the contour that the zoom before gave, and not what is a
    person. Tiles that the band does not cross are not looked at.
    """
    shape = whole.shape[0], whole.shape[1]
    for zoom in zooms_for(shape, pixels):
        band = _band(whole, threshold, REACH * 2 / zoom)
        tiles = [tile for tile in tiles_of(shape, zoom) if band[tile.slices].any()]
        if not tiles:
            return whole
        closer = join(tiles, predict([image[tile.slices] for tile in tiles]), shape, _FADE)
        whole = whole + band * closer.cover * (closer.mean - whole)
    return whole


def tiles_of(shape: tuple[int, int], zoom: int) -> list[Part]:
    """Give the tiles of a photo of `shape` (height, width): 2 zoom - 1 in each direction.

    >>> [(tile.top, tile.left) for tile in tiles_of((4, 9), 2)[:4]]
    [(0, 0), (0, 2), (0, 4), (1, 0)]
    """
    height, width = (math.ceil(side / zoom) for side in shape)
    tops, lefts = (
        [round(place * (whole - part) / (2 * zoom - 2)) for place in range(2 * zoom - 1)]
        for whole, part in zip(shape, (height, width), strict=True)
    )
    return [Part(top, left, height, width) for top in tops for left in lefts]


def _band(whole: Map, threshold: float, reach: float) -> npt.NDArray[np.float32]:
    """Give float32 (H, W): 1 near the contour of a map, falling to 0 at `reach`, a share of the diagonal."""
    radius = max(math.ceil(reach * math.hypot(*whole.shape)), 1)
    side = 2 * radius + 1
    square = np.ones((side, side), np.uint8)
    mask = (whole >= np.float32(threshold)).view(np.uint8)
    near = (cv2.dilate(mask, square) != cv2.erode(mask, square)).astype(np.float32)
    falling: npt.NDArray[np.float32] = cv2.blur(near, (side, side)).astype(np.float32)
    falling *= np.float32(1.5)
    return np.minimum(falling, np.float32(1))
