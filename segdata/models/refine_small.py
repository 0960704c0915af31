"""A second look at persons who are small in a photo."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from segdata.models.parts import Part, join

if TYPE_CHECKING:
    from segdata.models.base import Image
    from segdata.models.inference import Map, Predict

MARGIN = 0.5
"""Left round a person on every side, a share of the longer side of the person's box."""
SMALL = 0.35
"""The share of the photo below which a person with margins is small: closer by 1.7 times and more."""
LEAST = 0.0005
"""The smallest person who is looked at, a share of the photo: a blot is none."""
MOST = 16
"""Persons or groups of one photo that are looked at, the largest first."""

_GAP = 0.01
_SEARCHED = 1 << 18
_FADE = 0.1
_SHARE = 0.5


def refine_small(predict: Predict, image: Image, whole: Map, *, threshold: float, everyone: bool) -> Map:
    """Give the map of a uint8 (H, W, 3) photo after a second look at those who are small in it.

    `whole` is the float32 (H, W) map of the whole photo, which finds the persons: its parts from `threshold` on that
    hang together. Each is cut out with a margin, seen at the size that a whole photo is seen at, and averaged with
    `whole`; persons who are near each other are cut out together. Without `everyone` only the largest is looked at,
    the dominant person.
    """
    parts = small_persons(whole, threshold, everyone=everyone)
    if not parts:
        return whole
    closer = join(parts, predict([image[part.slices] for part in parts]), (whole.shape[0], whole.shape[1]), _FADE)
    refined: Map = whole + np.float32(_SHARE) * closer.cover * (closer.mean - whole)
    return refined


def small_persons(whole: Map, threshold: float, *, everyone: bool) -> list[Part]:
    """Give the part of the photo, with its margin, of each small person or group that a map (H, W) shows.

    >>> seen = np.zeros((100, 100), np.float32)
    >>> seen[40:60, 10:20] = 1
    >>> small_persons(seen, 0.5, everyone=True)
    [Part(top=30, left=0, height=40, width=30)]
    """
    height, width = whole.shape
    parts = [_with_margin(box, (height, width)) for box in _persons(whole, threshold)[: MOST if everyone else 1]]
    return _together([part for part in parts if part.area <= SMALL * whole.size], SMALL * whole.size)


def _persons(whole: Map, threshold: float) -> list[tuple[float, float, float, float]]:
    """Give top, left, bottom and right of what hangs together, the largest first; small gaps do not part it."""
    height, width = whole.shape
    scale = min(1.0, math.sqrt(_SEARCHED / whole.size))
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    searched = cv2.resize(whole, shape[::-1], interpolation=cv2.INTER_AREA) if scale < 1 else whole
    mask: npt.NDArray[np.uint8] = (searched >= np.float32(threshold)).view(np.uint8)
    gap = 2 * math.ceil(_GAP * math.hypot(*shape)) + 1
    count, labels = cv2.connectedComponents(cv2.dilate(mask, np.ones((gap, gap), np.uint8)))
    labels *= mask
    areas = np.bincount(labels.ravel(), minlength=count)
    areas[0] = 0
    down, right = height / shape[0], width / shape[1]
    boxes = []
    for label in np.argsort(-areas, kind="stable"):
        if areas[label] < max(LEAST * mask.size, 1):
            break
        x, y, wide, high = cv2.boundingRect((labels == label).view(np.uint8))
        boxes.append((y * down, x * right, (y + high) * down, (x + wide) * right))
    return boxes


def _with_margin(box: tuple[float, float, float, float], shape: tuple[int, int]) -> Part:
    top, left, bottom, right = box
    margin = MARGIN * max(bottom - top, right - left)
    return _between(
        max(math.floor(top - margin), 0),
        max(math.floor(left - margin), 0),
        min(math.ceil(bottom + margin), shape[0]),
        min(math.ceil(right + margin), shape[1]),
    )


def _between(top: int, left: int, bottom: int, right: int) -> Part:
    return Part(top, left, bottom - top, right - left)


def _together(parts: list[Part], largest: float) -> list[Part]:
    """Join parts that overlap, where that costs no more pixels than looking at each."""
    for one, two in itertools.combinations(parts, 2):
        both = _between(
            min(one.top, two.top),
            min(one.left, two.left),
            max(one.top + one.height, two.top + two.height),
            max(one.left + one.width, two.left + two.width),
        )
        if both.area <= min(one.area + two.area, largest):
            return _together([each for each in parts if each not in (one, two)] + [both], largest)
    return parts
