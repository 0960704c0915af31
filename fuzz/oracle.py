"""Masks drawn by other means than segdata's, to compare with; and what a harness may find."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

Mask = npt.NDArray[np.bool_]


class WrongError(Exception):
    """Something was accepted, and read as what it is not."""


def equal(found: Any, wanted: Any, what: str) -> None:
    """Raise `WrongError` unless two masks, or two values, are the same."""
    same = np.array_equal(found, wanted) if isinstance(wanted, np.ndarray) else found == wanted
    if not same:
        raise WrongError(f"{what}: {found!r} instead of {wanted!r}")


def decoded(rle: dict[str, Any]) -> Mask:
    """Decode with pycocotools alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its __array__ takes no copy keyword
        mask: Mask = np.asarray(coco_mask.decode(rle)) != 0
    return mask


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image with Pillow alone, which may warn of what segdata has to do with as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            yield image


def of_rle(rle: Any) -> Mask:
    """Decode segdata's run lengths with pycocotools."""
    return decoded({"size": list(rle.size), "counts": rle.counts.encode("ascii")})


def of_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Draw each polygon with pycocotools and unite the bitmaps."""
    mask = np.zeros((height, width), np.bool_)
    for polygon in polygons:
        (rle,) = coco_mask.frPyObjects([list(map(float, polygon))], height, width)
        mask |= decoded(rle)
    return mask


def of_runs(runs: Iterable[int], height: int, width: int, order: str) -> Mask:
    """Lay runs, background first, along the rows (``C``) or columns (``F``)."""
    flat: list[bool] = []
    for number, run in enumerate(runs):
        flat += [number % 2 == 1] * run
    return np.array(flat, np.bool_).reshape((height, width), order=order)


def union(masks: Iterable[Mask], height: int, width: int) -> Mask:
    """Unite bitmaps."""
    whole = np.zeros((height, width), np.bool_)
    for mask in masks:
        whole |= mask
    return whole


def chunks_fit(png: bytes) -> bool:
    """Tell whether each chunk of a PNG ends within the file: OpenCV takes as much memory as the others claim."""
    place = 8
    while place < len(png):
        place += 12 + int.from_bytes(png[place : place + 4], "big")
    return place == len(png)
