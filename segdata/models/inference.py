"""From photos to probability maps of one channel, by any `Segmenter`, in one look or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from segdata.models.refine_small import refine_small
from segdata.models.tiles import refine_contour

if TYPE_CHECKING:
    from segdata.choices import Who
    from segdata.models.base import Image, Segmenter

Map: TypeAlias = npt.NDArray[np.float32]
Predict: TypeAlias = "Callable[[Sequence[Image]], list[Map]]"
"""Gives a float32 (H, W) probability map for each uint8 (H, W, 3) photo or part of one."""


def segment(
    model: Segmenter,
    images: Sequence[Image],
    who: Who,
    *,
    threshold: float,
    flips: bool = False,
    refine: bool = False,
    tiles: bool = False,
) -> list[Map]:
    """Give the float32 (H, W) map, in [0, 1], of each uint8 (H, W, 3) photo: the probability of each pixel.

    `who` is one of the model's channels. All photos are seen whole, together, and then those that need it again in
    parts: persons who are small (`refine`, see `refine_small`) and contours in large photos (`tiles`, see
    `refine_contour`; for models that state how many `pixels` they see). `threshold` is the probability from which on
    a pixel counts as a person's there. Never more parts are seen together than there are photos. With `flips` every
    look is the mean over what is seen and its mirror image.
    """
    predict = predictor(model, who, flips=flips, together=max(len(images), 1))
    maps = predict(images)
    for place, image in enumerate(images):
        if refine:
            maps[place] = refine_small(predict, image, maps[place], threshold=threshold, everyone=who == "all")
        if tiles and model.pixels is not None:
            maps[place] = refine_contour(predict, image, maps[place], threshold=threshold, pixels=model.pixels)
    return maps


def predictor(model: Segmenter, who: Who, *, flips: bool = False, together: int = 1) -> Predict:
    """Give a function from photos to the maps of one channel; the model gets at most `together` of them at once.

    With `flips` a map is the mean over the photo and its mirror image.
    """
    channel = model.who.index(who)

    def seen(images: Sequence[Image]) -> list[Map]:
        # A copy: a view of one channel would keep the others in memory.
        return [each[channel].copy() for each in model.probabilities(images)]

    def predict(images: Sequence[Image]) -> list[Map]:
        maps: list[Map] = []
        for start in range(0, len(images), together):
            chosen = [np.ascontiguousarray(image) for image in images[start : start + together]]
            found = seen(chosen)
            if flips:
                mirrored = seen([_mirror(image) for image in chosen])
                found = [(one + two[:, ::-1]) * np.float32(0.5) for one, two in zip(found, mirrored, strict=True)]
            maps += found
        return maps

    return predict


def _mirror(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])
