"""How well `rank-labels` finds wrong masks: good ones are disturbed, and looked for at the top of the ranking.

Usage: python benchmarks/label_errors.py DATA PREDS --clean FILE... [--parts DIR] [--least 0] [--draws 1000]

DATA is a data set of photos that the model was not trained on, with the splits val and test; PREDS is what
`segdata annotate DATA --out PREDS --probabilities` wrote. FILE lists masks that were looked at (docs/labels: key, and
clean yes or no); only clean ones take part. DIR holds class-index images of body parts and garments, beside it
parts.json with their names; without it limbs are those between keypoints. It takes some minutes.

In each draw 5 % of the masks are disturbed, by the kinds of fault in turn, and all are ranked; the figure is the share
of the disturbed ones that the top 10 % hold, its mean over the draws. The measure was chosen on val; its figure is that
of test.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.dataset import Dataset
from segdata.files import read_file
from segdata.masks import Mask
from segdata.pixels import decode_image, decode_labels, decode_mask, decode_probability
from segdata.quality.boundary_iou import boundary_iou
from segdata.quality.contour import contour_accuracy
from segdata.quality.label_errors import disagreement
from segdata.quality.overlap import iou

DISTURBED, TOP = 0.05, 0.10
VARIANTS = 2  # of each fault of each mask
LIMBS = {
    "skin",
    "hair",
    "shoes",
    "boots",
    "heels",
    "sandals",
    "stockings",
    "tights",
    "gloves",
    "pumps",
    "wedges",
    "flats",
}
GARMENTS = {
    *("coat", "jacket", "blazer", "cardigan", "cape", "skirt", "pants", "jeans", "dress", "shirt", "sweater", "bag"),
    *("purse", "hat", "t-shirt", "top", "boots", "shorts", "blouse", "vest", "scarf", "hoodie", "jumper", "suit"),
}
CHAINS = ((7, 9), (8, 10), (13, 15), (14, 16), (5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16))
Map = NDArray[np.float32]


@dataclass
class Case:
    """A sample with a good mask, and what faults are made from."""

    key: str
    split: str
    image: NDArray[np.uint8]
    mask: Mask
    probability: Map
    persons: list[dict[str, Any]]
    parts: dict[str, Mask]
    cells: list[Mask] = field(default_factory=list)

    @property
    def area(self) -> int:
        """Count the pixels of the mask."""
        return int(self.mask.sum())

    @property
    def size(self) -> int:
        """Give the longer side of the person's box."""
        return max(cv2.boundingRect(self.mask.view(np.uint8))[2:])


def cases(data: Path, preds: Path, clean: set[str], parts: Path | None, least: float) -> Iterator[Case]:
    """Read the samples with a clean mask that is not empty and covers a share of the photo."""
    maps = {row["key"]: row["probability_file_name"] for row in Dataset(preds).rows()}
    names = {} if parts is None else json.loads((parts.parent / "parts.json").read_bytes())
    for row in Dataset(data).rows():
        if row["key"] not in clean:
            continue
        mask, _ = decode_mask(read_file(data / row["mask_file_name"]))
        if not mask.any() or mask.mean() < least:
            continue
        labels = {} if parts is None else _parts(parts / f"{row['key']}.png", names)
        yield Case(
            row["key"],
            row["split"],
            decode_image(read_file(data / row["file_name"])),
            mask,
            decode_probability(read_file(preds / maps[row["key"]])),
            row.get("persons") or [],
            {name: part & mask for name, part in labels.items()},
        )


def _parts(path: Path, names: dict[str, str]) -> dict[str, Mask]:
    labels = decode_labels(read_file(path))
    return {names[str(value)]: labels == value for value in np.unique(labels).tolist() if value}


def limb_missing(case: Case, rng: np.random.Generator) -> Mask | None:
    """Leave out an arm, a leg, a foot, the hair: 2 % to 30 % of the mask."""
    found = []
    for name in sorted(LIMBS & case.parts.keys()):
        count, labels = cv2.connectedComponents(case.parts[name].view(np.uint8))
        found += [labels == number for number in range(1, count)]
    for person in case.persons:
        points = np.array(person.get("keypoints") or np.zeros((17, 3)))
        thickness = 2 * max(3, round(0.05 * max(person["box"][2:])))
        for chain in CHAINS:
            if (points[list(chain), 2] > 0).all():
                joints = points[list(chain), :2]
                hand = joints[-1] + 0.35 * (joints[-1] - joints[-2])
                drawn = np.zeros(case.mask.shape, np.uint8)
                line = np.rint([*joints, hand]).astype(np.int32)
                cv2.polylines(drawn, [line], isClosed=False, color=1, thickness=thickness)
                found.append((drawn > 0) & case.mask)
    found = [part for part in found if 0.02 <= part.sum() / case.area <= 0.3]
    return case.mask & ~found[rng.integers(len(found))] if found else None


def garment_missing(case: Case, rng: np.random.Generator) -> Mask | None:
    """Leave out a garment or a bag of 5 % to 60 % of the mask, or, where none is known, cells of 8 % to 30 %."""
    if not case.parts:
        return _cells(case, rng, case.mask)
    found = [case.parts[name] for name in sorted(GARMENTS & case.parts.keys())]
    found = [part for part in found if 0.05 <= part.sum() / case.area <= 0.6]
    return case.mask & ~found[rng.integers(len(found))] if found else None


def background_included(case: Case, rng: np.random.Generator) -> Mask | None:
    """Take in cells of the background that touch the mask, of 8 % to 30 % of its area."""
    return _cells(case, rng, ~case.mask)


def _cells(case: Case, rng: np.random.Generator, domain: Mask) -> Mask | None:
    """Change superpixels of `domain` along the contour, around a random point of it."""
    wanted = rng.uniform(0.08, 0.3) * case.area
    edge = domain & (cv2.dilate((~domain).view(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    if domain.sum() < 1.2 * wanted or not edge.any():
        return None
    place = rng.choice(np.argwhere(edge))
    case.cells = case.cells or list(_superpixels(case.image))
    parts = [cell & domain for cell in case.cells]
    parts = [part for part in parts if part.any()]
    middles = [np.argwhere(part).mean(axis=0) for part in parts]
    changed = np.zeros(domain.shape, np.bool_)
    for number in np.argsort([math.dist(middle, place) for middle in middles]):
        changed |= parts[number]
        if changed.sum() >= wanted:
            break
    return case.mask ^ changed if changed.sum() <= 0.6 * case.area else None


def _superpixels(image: NDArray[np.uint8]) -> Iterator[Mask]:
    from skimage.segmentation import slic

    height, width = image.shape[:2]
    scale = min(1.0, 400 / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    labels = slic(small, n_segments=200, compactness=12, start_label=0).astype(np.int32)
    labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return (labels == number for number in range(int(labels.max()) + 1))


def grown_or_shrunk(case: Case, rng: np.random.Generator) -> Mask:
    """Grow or shrink the mask by 2 % to 4 % of the person's size."""
    radius = max(2, round(rng.uniform(0.02, 0.04) * case.size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    shrunk = cv2.erode(case.mask.view(np.uint8), disc) > 0
    return shrunk if rng.random() < 0.5 and shrunk.any() else cv2.dilate(case.mask.view(np.uint8), disc) > 0


def shifted(case: Case, rng: np.random.Generator) -> Mask:
    """Move the mask by 3 % to 8 % of the person's size, in any direction."""
    distance, angle = max(3.0, rng.uniform(0.03, 0.08) * case.size), rng.uniform(0, 2 * math.pi)
    move = np.array([[1, 0, distance * math.cos(angle)], [0, 1, distance * math.sin(angle)]], np.float32)
    size = case.mask.shape[::-1]
    return cv2.warpAffine(case.mask.view(np.uint8), move, size, flags=cv2.INTER_NEAREST) > 0


Fault = Callable[[Case, np.random.Generator], Mask | None]
FAULTS: dict[str, Fault] = {
    "limb missing": limb_missing,
    "garment missing": garment_missing,
    "grown or shrunk": grown_or_shrunk,
    "shifted": shifted,
    "background included": background_included,
}
SWAPPED = "another photo's mask"


def measures(mask: Mask, probability: Map) -> dict[str, float]:
    """Give every measure that was tried."""
    pred = probability >= 0.5
    found = disagreement(mask, probability)
    errors = np.abs(mask - probability)
    area = max(mask.sum(), pred.sum(), 1)
    return {
        "rank-labels": found.score,
        "its areas alone, without the doubt": found.lacking + found.surplus,
        "its contour alone": found.contour,
        "1 - IoU": 1 - iou(pred, mask),
        "1 - contour accuracy": 1 - contour_accuracy(pred, mask),
        "1 - boundary IoU": 1 - boundary_iou(pred, mask),
        "probability that contradicts / area": float(errors.sum()) / area,
        "log loss / area": float(-np.log(np.clip(1 - errors, 0.01, 1)).sum()) / area,
        "sure disagreement / area": float((errors >= 0.9).sum()) / area,
    }


@dataclass
class Values:
    """The measures of a case, with its mask as it is and with each fault."""

    split: str
    good: dict[str, float]
    faulty: dict[str, list[dict[str, float]]]


def values(every: list[Case]) -> Iterator[Values]:
    """Disturb every mask in every way."""
    for case in every:
        faulty = defaultdict(list)
        for variant in range(VARIANTS):
            for name, fault in (*FAULTS.items(), (SWAPPED, None)):
                seed = hashlib.blake2b(f"{case.key}/{name}/{variant}".encode(), digest_size=8).digest()
                rng = np.random.default_rng(int.from_bytes(seed, "little"))
                if fault is None:
                    other = every[(every.index(case) + 1 + rng.integers(len(every) - 1)) % len(every)].mask
                    size = case.mask.shape[::-1]
                    mask = cv2.resize(other.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
                else:
                    mask = fault(case, rng)
                if mask is not None and mask.any():
                    faulty[name].append(measures(mask, case.probability))
        case.cells = []
        yield Values(case.split, measures(case.mask, case.probability), faulty)


@dataclass
class Recall:
    """Shares of the disturbed masks at the top: in all, of draws that found 80 % of them, and by fault."""

    mean: float
    enough: float
    by_fault: dict[str, float]
    numbers: tuple[int, int, int]


def recall(every: list[Values], measure: str, draws: int) -> Recall:
    """Disturb some masks at random, rank all, and look at the top."""
    count = len(every)
    disturbed, top = max(1, round(DISTURBED * count)), math.ceil(TOP * count)
    good = np.array([each.good[measure] for each in every])
    rng = np.random.default_rng(0)
    shares, hits = [], defaultdict(list)
    kinds = sorted({kind for each in every for kind in each.faulty})
    for _ in range(draws):
        scores, drawn = good.copy(), {}
        order = rng.permutation(kinds)
        for number, index in enumerate(rng.permutation(count)[:disturbed].tolist()):
            kind = str(order[number % len(order)])
            if kind not in every[index].faulty:  # a photo without such a garment or limb
                kind = str(rng.choice(sorted(every[index].faulty)))
            variants = every[index].faulty[kind]
            scores[index], drawn[index] = variants[rng.integers(len(variants))][measure], kind
        best = set(np.argsort(-scores, kind="stable")[:top].tolist())
        shares.append(sum(index in best for index in drawn) / disturbed)
        for index, kind in drawn.items():
            hits[kind].append(index in best)
    by_fault = {kind: float(np.mean(found)) for kind, found in sorted(hits.items())}
    return Recall(float(np.mean(shares)), float(np.mean(np.array(shares) >= 0.8)), by_fault, (count, disturbed, top))


def main() -> None:
    """Print recalls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("preds", type=Path)
    parser.add_argument("--clean", type=Path, nargs="+", required=True)
    parser.add_argument("--parts", type=Path)
    parser.add_argument("--least", type=float, default=0.0, help="share of the photo that a mask must cover")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clean = set()
    for path in options.clean:
        with path.open(newline="") as file:
            clean |= {row["key"] for row in csv.DictReader(file) if row["clean"] == "yes"}
    every = list(values(list(cases(options.data, options.preds, clean, options.parts, options.least))))
    for split in ("val", "test"):
        chosen = [each for each in every if each.split == split]
        if not chosen:
            continue
        print(f"\n{split}: recall at the top 10 %", end="")
        for number, measure in enumerate(chosen[0].good):
            found = recall(chosen, measure, options.draws)
            if not number:
                print(f" of {found.numbers[0]} masks, {found.numbers[1]} disturbed, {found.numbers[2]} looked at")
                print(f"{'':36} all  draws>=80% " + "  ".join(found.by_fault))
            shares = "  ".join(f"{share:{len(kind)}.2f}" for kind, share in found.by_fault.items())
            print(f"{measure:36} {found.mean:.2f} {found.enough:10.2f}  {shares}")


if __name__ == "__main__":
    main()
