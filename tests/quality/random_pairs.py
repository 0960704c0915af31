"""Random pairs of masks of every kind that a measure may meet, for comparing it with another implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mask_pairs import Mask, read
from numpy.typing import NDArray

LONGEST_SIDE = 320


class Pair(NamedTuple):
    """A prediction, its ground truth, and for some pairs the pixels that count nowhere: bool (H, W) each."""

    pred: Mask
    gt: Mask
    void: Mask | None


def real_masks(shared_data: Path | None) -> list[Mask]:
    """Give masks of persons in fashion photos and in COCO's, from which parts are cut; none without the photos."""
    if shared_data is None:
        return []
    files = sorted((shared_data / "ccp" / "parts").glob("*.png"))[::40]
    files += sorted((shared_data / "coco_more" / "masks").rglob("*.png"))[::40]
    return [read(file) for file in files]


def random_pairs(count: int, seed: int, real: Sequence[Mask] = (), longest: int = LONGEST_SIDE) -> Iterator[Pair]:
    """Yield `count` pairs of 1 x 1 to `longest` x `longest` pixels.

    Masks are empty, full, one pixel, a thin line, noise, boxes, discs, blobs with soft outlines, or cut from the `real`
    ones. A prediction is drawn for itself, or is the truth: as it is, moved, grown, shrunk or with noise in it.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = random_shape(rng, longest)
        gt = random_mask(rng, shape, real)
        pred = random_mask(rng, shape, real) if rng.random() < 0.4 else disturbed(rng, gt)
        void = random_mask(rng, shape, real) if rng.random() < 0.3 else None
        if rng.random() < 0.5:
            pred, gt = gt, pred
        yield Pair(pred, gt, void)


def random_shape(rng: np.random.Generator, longest: int) -> tuple[int, int]:
    """Give a height and width: small ones, where every pixel is at a border, as often as large ones."""
    height, width = np.exp(rng.uniform(0, np.log(longest + 1), 2)).astype(int)
    return max(1, int(height)), max(1, int(width))


def random_mask(rng: np.random.Generator, shape: tuple[int, int], real: Sequence[Mask] = ()) -> Mask:
    """Draw a mask of any of the kinds."""
    kinds = [_empty, _full, _pixel, _line, _noise, _box, _discs, _blobs]
    number = int(rng.integers(len(kinds) + (3 if real else 0)))
    return kinds[number](rng, shape) if number < len(kinds) else _cut(rng, shape, real)


def _empty(_: np.random.Generator, shape: tuple[int, int]) -> Mask:
    return np.zeros(shape, bool)


def _full(_: np.random.Generator, shape: tuple[int, int]) -> Mask:
    return np.ones(shape, bool)


def _pixel(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return mask


def _line(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    ends = [(int(rng.integers(shape[1])), int(rng.integers(shape[0]))) for _ in range(2)]
    canvas = np.zeros(shape, np.uint8)
    return np.asarray(cv2.line(canvas, *ends, 1, int(rng.integers(1, 3)))) > 0


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    return np.asarray(rng.random(shape) < rng.choice([0.01, 0.2, 0.5, 0.9]))


def _box(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, bool)
    (y0, y1), (x0, x1) = (sorted(rng.integers(0, side + 1, 2)) for side in shape)
    mask[y0:y1, x0:x1] = True
    return mask


def _discs(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    canvas = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(1, 4)):
        middle = int(rng.integers(-5, shape[1] + 5)), int(rng.integers(-5, shape[0] + 5))
        cv2.circle(canvas, middle, int(rng.integers(0, max(shape) // 2 + 1)), int(rng.integers(0, 2)), -1)
    return canvas > 0


def _blobs(rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    smooth = cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), float(rng.uniform(1, 9)))
    return np.asarray(smooth).reshape(shape) > 0


def _cut(rng: np.random.Generator, shape: tuple[int, int], real: Sequence[Mask]) -> Mask:
    """Cut a part out of a real mask, near its person; what reaches beyond the photo is no person."""
    mask = real[int(rng.integers(len(real)))]
    inside = np.argwhere(mask)
    y, x = inside[rng.integers(len(inside))] if len(inside) else (0, 0)
    top, left = max(0, int(y) - int(rng.integers(shape[0]))), max(0, int(x) - int(rng.integers(shape[1])))
    part = mask[top : top + shape[0], left : left + shape[1]]
    return np.pad(part, ((0, shape[0] - part.shape[0]), (0, shape[1] - part.shape[1])))


def disturbed(rng: np.random.Generator, mask: Mask) -> Mask:
    """Draw a prediction of a mask: as it is, moved, grown, shrunk, or with noise in it."""
    kind = rng.integers(5)
    pixels: NDArray[np.uint8] = mask.astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    if kind == 0:
        return mask.copy()
    if kind == 1:
        return np.roll(mask, tuple(rng.integers(-4, 5, 2)), axis=(0, 1))
    if kind == 2:
        return cv2.dilate(pixels, square, iterations=int(rng.integers(1, 4))).reshape(mask.shape) > 0
    if kind == 3:
        return cv2.erode(pixels, square, iterations=int(rng.integers(1, 4))).reshape(mask.shape) > 0
    return mask ^ (rng.random(mask.shape) < 0.02)
