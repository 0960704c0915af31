"""How well saliency maps rank the pixels of a person over the background, on COCO's keypoints and masks.

Usage: python benchmarks/saliency_auc.py FOLDER [constants]

FOLDER holds COCO's person_keypoints.json. `constants` varies each constant instead; either takes some minutes.

One figure a person: the area under the ROC curve (ties count half) of the map drawn from this person's keypoints. Every
pixel that is not this person's is background, other persons' too. It is measured inside the annotated box enlarged by a
quarter of its width and height on each side, and over the whole photo. Photos with an even id chose the constants.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.masks import Mask, rle_to_mask, segmentation_to_rle
from segdata.ops import saliency_map as saliency
from segdata.ops.saliency_map import FALL_OFF, frame_map, saliency_map, stature

Map = NDArray[np.float32]
FALL_OFFS = (0.015, 0.02, 0.025, FALL_OFF, 0.04, 0.06)
VISIBLE = ((0, 0), (1, 3), (4, 6), (7, 9), (10, 12), (13, 15), (16, 17))
REPEATS = 5
SHARES = (
    *("_CHEST", "_BELLY", "_NECK", "_NAPE", "_HEAD_UP", "_HEAD_HALF_HEIGHT", "_HEAD_HALF_WIDTH"),
    *("_HAND", "_FINGERS", "_FOOT", "_TOES", "_FOOT_DOWN", "_HIDDEN_HIP"),
)
JOINTS = {
    "shoulders": (5, 6),
    "elbows": (7, 8),
    "wrists": (9, 10),
    "hips": (11, 12),
    "knees": (13, 14),
    "ankles": (15, 16),
}


class Case(NamedTuple):
    """One person: annotation, mask, mask of the other persons, and the slices of the enlarged box."""

    annotation: dict[str, Any]
    keypoints: NDArray[np.float64]
    mask: Mask
    others: Mask
    region: tuple[slice, slice]

    @property
    def labelled(self) -> int:
        """Count the labelled keypoints."""
        return int((self.keypoints[:, 2] > 0).sum())

    @property
    def tuned(self) -> bool:
        """Tell whether the constants were chosen on this photo."""
        return bool(self.annotation["image_id"] % 2 == 0)


def cases(file: Path) -> Iterator[Case]:
    """Go through the persons with a labelled keypoint, crowds left out."""
    content = json.loads(file.read_bytes())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    by_photo = defaultdict(list)
    for annotation in content["annotations"]:
        by_photo[annotation["image_id"]].append(annotation)
    for photo, persons in by_photo.items():
        height, width = sizes[photo]
        masks = [rle_to_mask(segmentation_to_rle(one["segmentation"], height, width)) for one in persons]
        for number, annotation in enumerate(persons):
            if annotation["iscrowd"] or not annotation["num_keypoints"]:
                continue
            others = np.zeros((height, width), np.bool_)
            for other in masks[:number] + masks[number + 1 :]:
                others |= other
            x, y, w, h = annotation["bbox"]
            rows = slice(max(0, round(y - h / 4)), round(y + 1.25 * h))
            columns = slice(max(0, round(x - w / 4)), round(x + 1.25 * w))
            keypoints = np.array(annotation["keypoints"], float).reshape(17, 3)
            yield Case(annotation, keypoints, masks[number], others & ~masks[number], (rows, columns))


def auc(values: Map, mask: Mask, kept: Mask | None = None) -> float:
    """Give the share of pairs of a person's and a background pixel that are ranked rightly, ties counting half."""
    background = np.sort(values[~mask if kept is None else ~mask & kept])
    person = values[mask]
    below, upto = (np.searchsorted(background, person, side).mean() for side in ("left", "right"))
    return float((below + upto) / 2 / len(background))


def box(case: Case) -> Map:
    """1 in the annotated box, else 0."""
    x, y, w, h = case.annotation["bbox"]
    drawn = np.zeros(case.mask.shape, np.float32)
    drawn[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = 1
    return drawn


def gaussians(case: Case) -> Map:
    """Rank as a Gaussian at each labelled keypoint does: by the distance to the nearest, whatever its width."""
    ys, xs = np.indices(case.mask.shape, np.float32)
    squared = [(xs - np.float32(x)) ** 2 + (ys - np.float32(y)) ** 2 for x, y, v in case.keypoints if v > 0]
    return np.asarray(-np.min(squared, axis=0), np.float32)


def ours(case: Case) -> Map:
    """Draw the saliency map."""
    return saliency_map([case.keypoints], case.mask.shape)


def stored(case: Case) -> Map:
    """Draw the saliency map as 8 bits store it."""
    return np.rint(ours(case) * 255)


def frame(case: Case) -> Map:
    """Draw the frame alone."""
    return frame_map(case.keypoints, case.mask.shape).astype(np.float32)


def all_visible(case: Case) -> Map:
    """Draw the saliency map without telling hidden keypoints from visible ones."""
    return ours(case._replace(keypoints=np.minimum(case.keypoints, (np.inf, np.inf, 1))))


METHODS: dict[str, Callable[[Case], Map]] = {
    "box": box,
    "Gaussian at each keypoint": gaussians,
    "frame alone": frame,
    "saliency map": ours,
    "saliency map, 8 bits": stored,
    "saliency map, visibility unknown": all_visible,
}


def figures(method: Callable[[Case], Map], persons: list[Case]) -> NDArray[np.float64]:
    """Give the AUC in the enlarged box and over the photo, then both with other persons left out: (N, 4)."""
    rows = []
    for case in persons:
        values, kept, inside = method(case), ~case.others, case.region
        in_box = [auc(values[inside], case.mask[inside], part) for part in (None, kept[inside])]
        over_photo = [auc(values, case.mask, part) for part in (None, kept)]
        rows.append([in_box[0], over_photo[0], in_box[1], over_photo[1]])
    return np.array(rows)


def pair(rows: NDArray[np.float64]) -> str:
    """Write the means of two columns."""
    return "{:.4f} {:.4f}".format(*rows.mean(axis=0))


def table(title: str, persons: list[Case]) -> None:
    """Print the mean AUC of each method: chosen on, checked on, all; in the box and over the photo."""
    print(f"{title}: mean AUC, box and photo")
    print(f"{'':34}{'even ids':>18}{'odd ids':>18}{'all':>18}{'others left out':>18}")
    even = np.array([case.tuned for case in persons])
    for name, method in METHODS.items():
        rows = figures(method, persons)
        parts = (rows[even, :2], rows[~even, :2], rows[:, :2], rows[:, 2:])
        print(f"{name:34}" + "".join(f"{pair(part):>18}" for part in parts), flush=True)


def by_keypoints(persons: list[Case]) -> None:
    """Print the AUC by the number of visible keypoints."""
    print(f"\n{'visible keypoints':18}{'persons':>10}{'box alone':>18}{'Gaussians':>18}{'saliency map':>18}")
    for low, high in VISIBLE:
        group = [case for case in persons if low <= int((case.keypoints[:, 2] > 1).sum()) <= high]
        cells = [pair(figures(method, group)[:, :2]) for method in (box, gaussians, ours)]
        print(f"{f'{low} to {high}':18}{len(group):>10}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def fall_offs(persons: list[Case]) -> None:
    """Print what the fall-off changes: AUC by what falls to 0, and the map's Brier score as a probability."""
    print(f"\nfall-off, even ids: {'AUC box':>10}{'AUC photo':>11}{'8 bits box':>12}{'photo':>9}{'Brier box':>11}")
    for share in FALL_OFFS:
        rows = []
        for case in persons:
            values, inside = saliency_map([case.keypoints], case.mask.shape, fall_off=share), case.region
            eight = np.rint(values * 255)
            rows.append((
                auc(values[inside], case.mask[inside]),
                auc(values, case.mask),
                auc(eight[inside], case.mask[inside]),
                auc(eight, case.mask),
                float(np.square(values[inside] - case.mask[inside]).mean()),
            ))  # fmt: skip
        print("{:>19}{:>11.4f}{:>11.4f}{:>12.4f}{:>9.4f}{:>11.4f}".format(share, *np.mean(rows, axis=0)))


def constants(persons: list[Case]) -> None:
    """Print how the AUC in the box and over the photo changes when each constant is made smaller or larger."""
    best = figures(ours, persons)[:, :2].mean(axis=0)
    print(f"\n{'change of AUC in 1/10000, even ids':36}{'x 0.7':>14}{'x 1.4':>14}")
    widths = saliency._HALF_WIDTHS
    shares = [(name, "", getattr(saliency, name)) for name in SHARES]
    joints = [("_HALF_WIDTHS", joint, np.isin(np.arange(17), rows)) for joint, rows in JOINTS.items()]
    for name, joint, value in shares + joints:
        cells = []
        for factor in (0.7, 1.4):
            setattr(saliency, name, np.where(value, widths * factor, widths) if joint else value * factor)
            cells.append("{:+.1f} {:+.1f}".format(*(figures(ours, persons)[:, :2].mean(axis=0) - best) * 1e4))
        setattr(saliency, name, widths if joint else value)
        print(f"{joint or name:24}{widths[value][0] if joint else value:>12.4f}" + "".join(f"{c:>14}" for c in cells))


def straightforward(case: Case) -> Map:
    """Compute the map over the whole photo."""
    frame = frame_map(case.keypoints, case.mask.shape)
    away = cv2.distanceTransform((~frame).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.exp(-0.5 * (away / (FALL_OFF * stature(case.keypoints, case.mask.shape))) ** 2), np.float32)


def speed(persons: list[Case]) -> None:
    """Print the time of local windows against that of the whole photo."""
    times: dict[str, list[float]] = {"windows": [], "photo": []}
    for _ in range(REPEATS):
        for name, method in (("windows", ours), ("photo", straightforward)):
            start = time.perf_counter()
            for case in persons:
                method(case)
            times[name].append(time.perf_counter() - start)
    windows, photo = statistics.median(times["windows"]), statistics.median(times["photo"])
    each = windows / len(persons) * 1e3
    print(f"\nlocal windows: {photo / windows:.1f}x the speed of the whole photo, {each:.1f} ms a person")


def main() -> None:
    """Print all tables."""
    cv2.setNumThreads(1)
    persons = list(cases(Path(sys.argv[1]) / "person_keypoints.json"))
    ten = [case for case in persons if case.labelled >= 10]
    if not ten:
        sys.exit(f"there is no person with ten labelled keypoints in {sys.argv[1]}")
    tuned = [case for case in ten if case.tuned]
    if sys.argv[2:] == ["constants"]:
        constants(tuned)
        return
    table(f"{len(ten)} persons with ten or more labelled keypoints, {len(tuned)} of them chosen on", ten)
    by_keypoints(persons)
    fall_offs(tuned)
    speed(ten[:100])


if __name__ == "__main__":
    main()
