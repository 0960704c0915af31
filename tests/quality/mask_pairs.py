"""Real pairs of masks for the tests of the measures."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class GoldenPair:
    """A pair of masks with the figures of the reference implementations."""

    key: str
    pred: Mask
    gt: Mask
    void: Mask | None
    iou: float
    contour: dict[float, float]
    boundary_iou: float | None


def read(file: Path) -> Mask:
    """Read a mask: the person is what is not 0."""
    with Image.open(file) as image:
        return np.asarray(image) > 0


@cache
def golden_pairs(shared_data: Path) -> list[GoldenPair]:
    """Give all 34 pairs."""
    folder = shared_data / "golden"
    rows = json.loads((folder / "golden.json").read_text())
    assert len(rows) == 34
    return [
        GoldenPair(
            row["key"],
            read(folder / f"{row['key']}_pred.png"),
            read(folder / f"{row['key']}_gt.png"),
            read(folder / f"{row['key']}_void.png") if row["void"] else None,
            row["iou"],
            {float(tolerance): figure for tolerance, figure in row["contour"].items()},
            row.get("boundary_iou"),
        )
        for row in rows
    ]


def redrawn(mask: Mask, seed: int) -> Mask:
    """Give a mask whose outline wanders around the true one, as a network's does."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32), (0, 0), 4)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3)
    return np.asarray(soft + 5 * noise > 0.5)


@cache
def person_pairs(shared_data: Path) -> list[tuple[Mask, Mask]]:
    """Give predictions and true masks: fashion photos of one person, and groups that touch the border."""
    files = sorted((shared_data / "ccp" / "parts").glob("*.png"))[:3]
    files += sorted((shared_data / "coco_more" / "masks").rglob("*.png"))[:9]
    assert len(files) == 12
    masks = [read(file) for file in files]
    return [(redrawn(mask, seed), mask) for seed, mask in enumerate(masks)]
