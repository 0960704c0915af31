"""Contour accuracy against the straightforward way, and all measures against reading the files, on real masks.

Usage: python benchmarks/contour_accuracy.py FOLDER_OF_MASK_PNGS_OR_COCO_JSON [how many]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from skimage.morphology import disk

from segdata.quality.contour import contour_accuracy, contour_tolerance
from segdata.quality.resize import to_size
from segdata.quality.scores import score

Mask = NDArray[np.bool_]
REPEATS = 7
SIZES = [(640, 480), (1024, 768), (550, 830)]


def straightforward(pred: Mask, gt: Mask) -> float:
    """Dilate both boundary maps with a disc and count, as the benchmark's description says."""
    disc = disk(contour_tolerance(gt.shape)).astype(np.uint8)  # type: ignore[no-untyped-call]
    outlines = []
    for mask in (pred, gt):
        outline = np.zeros_like(mask)
        outline[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
        outline[:-1] |= mask[:-1] ^ mask[1:]
        outline[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
        outlines.append(outline.view(np.uint8))
    near = [np.asarray(cv2.dilate(outline, disc), np.uint8) for outline in outlines]
    sums = [int(outline.sum()) for outline in outlines]
    if not all(sums):
        return float(sums[0] == sums[1])
    precision, recall = (int((outlines[i] & near[1 - i]).sum()) / sums[i] for i in (0, 1))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def predictions(gt: Mask, seed: int) -> list[Mask]:
    """Give three predictions: an outline that wanders as a network's does, a shifted and a swollen mask."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=gt.shape).astype(np.float32), (0, 0), 4)
    wandering = cv2.GaussianBlur(gt.astype(np.float32), (0, 0), 3) + 5 * noise > 0.5
    swollen = cv2.dilate(gt.view(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    return [np.asarray(wandering), np.roll(gt, (3, 5), axis=(0, 1)), swollen]


def read_masks(source: Path, number: int) -> list[Mask]:
    """Read the masks of a folder, or draw the union of the persons of each image of a COCO file."""
    if source.is_dir():
        return [np.asarray(Image.open(file)) > 0 for file in sorted(source.glob("*.png"))[:number]]
    coco = COCO(str(source))
    masks = []
    for image in sorted(coco.imgs)[:number]:
        drawn = [coco.annToMask(person) for person in coco.imgToAnns[image]]
        if drawn:
            masks.append(np.any(drawn, axis=0))
    return masks


def milliseconds(*works: Callable[[], object]) -> list[float]:
    """Give the median time of each work. They take turns, so that a busy machine slows all alike.

    In its turn a work runs twice and the second run is timed: each finds its masks in the cache.
    """
    times: list[list[float]] = [[] for _ in works]
    for _ in range(REPEATS):
        for work, taken in zip(works, times, strict=True):
            work()
            start = time.perf_counter()
            work()
            taken.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(taken) for taken in times]


def measure(pred: Mask, gt: Mask) -> list[float]:
    """Give the times of the straightforward way, of ours, of all measures, and of decoding the two files."""
    if contour_accuracy(pred, gt) != straightforward(pred, gt):
        sys.exit("the contour accuracies of a pair differ")
    files = [cv2.imencode(".png", mask.view(np.uint8) * 255)[1] for mask in (pred, gt)]
    return milliseconds(
        partial(straightforward, pred, gt),
        partial(contour_accuracy, pred, gt),
        partial(score, pred, gt),
        lambda: [cv2.imdecode(file, cv2.IMREAD_UNCHANGED) for file in files],
    )


def main() -> None:
    """Print for each size the time of the straightforward way over ours, and of `score` over that of decoding."""
    cv2.setNumThreads(1)
    masks = read_masks(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
    if not masks:
        sys.exit(f"there is no mask in {sys.argv[1]}")
    print(f"{len(masks)} masks with 3 predictions each, median of {REPEATS} repeats")
    for width, height in SIZES:
        scaled = [to_size(mask, height, width) for mask in masks]
        pairs = [(pred, gt) for seed, gt in enumerate(scaled) for pred in predictions(gt, seed)]
        slow, fast, scored, decoded = np.transpose([measure(pred, gt) for pred, gt in pairs])
        ratios = slow / fast
        print(
            f"{width} x {height}: contour accuracy {np.median(ratios):.1f}x as fast ({ratios.min():.1f}x to "
            f"{ratios.max():.1f}x), {np.median(fast):.2f} ms, equal in all; all measures {np.median(scored):.2f} ms, "
            f"{np.median(scored / decoded):.2f} of the time that decoding the two PNG files takes"
        )


if __name__ == "__main__":
    main()
