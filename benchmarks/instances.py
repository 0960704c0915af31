"""How well a semantic mask is shared among its persons: average precision on COCO photos, beside simple ways.

Usage: python benchmarks/instances.py FOLDER [tuned]

FOLDER holds COCO's instances.json, images/ and, where there are keypoints, person_keypoints.json. All photos with two
or more persons count; crowds are left out of the masks. The mask is the union of the true outlines and the boxes are
the annotated ones, so that each person is looked for once and all scores are equal. Constants were chosen on photos
with an even id; the figures are for odd ids, or with `tuned` for even ones.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segdata.files import read_file
from segdata.masks import Mask, mask_to_rle, rle_to_mask, segmentation_to_rle
from segdata.ops.affinity import split_instances
from segdata.ops.instances import _region_boxes
from segdata.ops.saliency_map import frame_map
from segdata.pixels import decode_image
from segdata.quality.average_precision import Photo, average_precision
from segdata.quality.bootstrap import paired_bootstrap

Found = Sequence[Mask]
OVERLAPS = (0.0, 0.3, 0.7)
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9)


class Case(NamedTuple):
    """One photo: pixels, the true persons (N, H, W), boxes (N, 4) and keypoints (17, 3) or None."""

    image: NDArray[np.uint8]
    persons: NDArray[np.bool_]
    boxes: NDArray[np.float64]
    keypoints: list[NDArray[np.float64] | None]

    @property
    def mask(self) -> Mask:
        """Give the semantic mask."""
        union: Mask = self.persons.any(axis=0)
        return union

    @property
    def overlaps(self) -> NDArray[np.float64]:
        """Give the largest share of each box that lies in one other box, (N,)."""
        low, high = self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]
        sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
        shared = np.clip(sides, 0, None).prod(axis=2)
        np.fill_diagonal(shared, 0)
        return np.asarray(shared.max(axis=1) / self.boxes[:, 2:].prod(axis=1))


def cases(folder: Path, remainder: int) -> list[Case]:
    """Read the photos with two persons or more, of even (0) or odd (1) ids."""
    content = json.loads((folder / "instances.json").read_bytes())
    with_points = folder / "person_keypoints.json"
    pointed = json.loads(with_points.read_bytes())["annotations"] if with_points.exists() else []
    keypoints = {one["id"]: np.array(one["keypoints"], float).reshape(17, 3) for one in pointed if one["num_keypoints"]}
    by_photo = defaultdict(list)
    for one in content["annotations"]:
        if not one["iscrowd"]:
            by_photo[one["image_id"]].append(one)
    read = []
    for photo in content["images"]:
        persons = by_photo[photo["id"]]
        if len(persons) < 2 or photo["id"] % 2 != remainder:
            continue
        size = photo["height"], photo["width"]
        masks = np.array([rle_to_mask(segmentation_to_rle(one["segmentation"], *size)) for one in persons])
        boxes = np.array([one["bbox"] for one in persons], float)
        image = decode_image(read_file(folder / "images" / photo["file_name"]))
        read.append(Case(image, masks, boxes, [keypoints.get(one["id"]) for one in persons]))
    return read


def grid(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give how far each pixel is from each box, and from its centre: both (N, H, W), in pixels."""
    height, width = case.mask.shape
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    x, y, w, h = case.boxes.T[:, :, None]
    outside = np.hypot(
        np.maximum(np.maximum(x - xs, xs - x - w), 0)[:, None, :],
        np.maximum(np.maximum(y - ys, ys - y - h), 0)[:, :, None],
    )
    return outside, np.hypot((xs - x - w / 2)[:, None, :], (ys - y - h / 2)[:, :, None])


def nearest(case: Case, costs: NDArray[Any]) -> Found:
    """Give each person pixel to the person of the lowest cost among those in whose box it lies."""
    outside, _ = grid(case)
    owner = (costs + 1e4 * outside).argmin(axis=0)
    return [case.mask & (owner == number) for number in range(len(case.boxes))]


def box_alone(case: Case) -> Found:
    """Give each person the mask within the box."""
    return list((grid(case)[0] == 0) & case.mask)


def box_centre(case: Case) -> Found:
    """Give pixels to the nearest box centre."""
    return nearest(case, grid(case)[1])


def distance(drawn: Mask) -> NDArray[np.float32]:
    """Give the distance to what is drawn."""
    return np.asarray(cv2.distanceTransform((~drawn).view(np.uint8), cv2.DIST_L2, 5), np.float32)


def to_keypoints(case: Case, *, limbs: bool) -> Found:
    """Give pixels to the nearest keypoint or limb; without keypoints to the box centre, or the middle of the box."""
    _, centres = grid(case)
    height, width = case.mask.shape
    costs = []
    for points, box, centre in zip(case.keypoints, case.boxes, centres, strict=True):
        if points is None:
            xs, ys = np.arange(width) + 0.5 - box[0] - box[2] / 2, np.arange(height) + 0.5 - box[1] - box[3] / 2
            radius = np.hypot(2 * xs[None] / box[2], 2 * ys[:, None] / box[3])
            costs.append(0.25 * radius * np.sqrt(box[2] * box[3]) if limbs else centre)
            continue
        drawn = frame_map(points, case.mask.shape)
        if not limbs:
            drawn = np.zeros_like(drawn)
            x, y = points[points[:, 2] > 0, :2].astype(int).T
            drawn[np.minimum(y, height - 1), np.minimum(x, width - 1)] = True
        costs.append(distance(drawn))
    return nearest(case, np.array(costs))


def watershed(case: Case, *, keypoints: bool) -> Found:
    """Flood the gradient from the pixels of one box alone, or from limbs where there are keypoints.

    What is flooded beyond the person's box goes to the nearest box centre, without which this is much worse.
    """
    from skimage.segmentation import watershed as flood

    outside, centres = grid(case)
    inside = outside == 0
    seeds = np.where((inside.sum(axis=0) == 1) & case.mask, inside.argmax(axis=0) + 1, 0)
    for number, (points, box) in enumerate(zip(case.keypoints, case.boxes, strict=True), start=1):
        if keypoints and points is not None:
            seeds[frame_map(points, case.mask.shape) & case.mask] = number
        elif not (seeds == number).any():
            seeds[(centres[number - 1] < box[2:].min() / 6) & case.mask] = number
    grey = cv2.GaussianBlur(cv2.cvtColor(case.image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    labels = flood(slope, seeds, mask=case.mask)
    found = [(labels == number) & within for number, within in enumerate(inside, start=1)]
    left = case.mask & ~np.any(found, axis=0)
    return [one | (left & near) for one, near in zip(found, box_centre(case), strict=True)]


def affinity(case: Case, *, keypoints: bool) -> Found:
    """Share the mask by the affinity model."""
    labels = split_instances(
        case.image, case.mask, [tuple(box) for box in case.boxes], case.keypoints if keypoints else None
    )
    return [labels == number for number in range(1, len(case.boxes) + 1)]


def regions(case: Case) -> Found:
    """Take each connected region of the mask for a person."""
    boxes = _region_boxes(case.mask)
    labels = split_instances(case.image, case.mask, boxes)
    return [labels == number for number in range(1, len(boxes) + 1)]


METHODS: dict[str, Callable[[Case], Found]] = {
    "box alone": box_alone,
    "nearest box centre": box_centre,
    "nearest keypoint": lambda case: to_keypoints(case, limbs=False),
    "nearest limb": lambda case: to_keypoints(case, limbs=True),
    "watershed, box seeds": lambda case: watershed(case, keypoints=False),
    "watershed, keypoint seeds": lambda case: watershed(case, keypoints=True),
    "affinity, boxes": lambda case: affinity(case, keypoints=False),
    "affinity, boxes and keypoints": lambda case: affinity(case, keypoints=True),
    "no boxes: regions of the mask": regions,
}


def ious(found: Found, case: Case) -> NDArray[np.float64]:
    """Give each person's IoU with the instance of the same number."""
    one = np.array(found)
    shared, union = ((one & case.persons).sum(axis=(1, 2)), (one | case.persons).sum(axis=(1, 2)))
    return np.asarray(shared / union)


def main() -> None:
    """Print AP by overlap, then the difference to each simple way in mean IoU, with its interval."""
    cv2.setNumThreads(1)
    photos = cases(Path(sys.argv[1]), 0 if sys.argv[2:] == ["tuned"] else 1)
    masks = [[mask_to_rle(person) for person in case.persons] for case in photos]
    overlaps = [case.overlaps for case in photos]
    values: dict[str, list[NDArray[np.float64]]] = {}
    print(f"{len(photos)} photos, {sum(map(len, masks))} persons")
    print(f"{'':30}" + "".join(f"{f'AP{100 * at:.0f}':>7}" for at in SHOWN) + f"{'AP':>7}{'IoU':>7}{'ms a photo':>12}")
    for name, method in METHODS.items():
        found, times = [], []
        for case in photos:
            start = time.perf_counter()
            found.append(method(case))
            times.append(time.perf_counter() - start)
        encoded = [[mask_to_rle(np.asarray(one)) for one in each] for each in found]
        paired = name in list(METHODS)[:-1]
        if paired:
            values[name] = [ious(each, case) for each, case in zip(found, photos, strict=True)]
        for least in OVERLAPS if paired else OVERLAPS[:1]:
            chosen = []
            for rles, true, share in zip(encoded, masks, overlaps, strict=True):
                kept = [place for place in range(len(true)) if share[place] >= least]
                mine = [rles[place] for place in kept] if paired else rles
                chosen.append(Photo(mine, [1.0] * len(mine), [true[place] for place in kept]))
            result = average_precision(chosen)
            figures = [*(result.at[at] for at in SHOWN), result.mean]
            if paired:
                figures.append(float(np.concatenate(values[name])[np.concatenate(overlaps) >= least].mean()))
            title = name if not least else f"  boxes overlap {100 * least:.0f} %"
            end = f"{1e3 * statistics.median(times):>12.0f}" if not least and paired else ""
            print(f"{title:30}" + "".join(f"{100 * figure:7.1f}" for figure in figures) + end, flush=True)

    best = [each.mean() for each in values["affinity, boxes and keypoints"]]
    print("\nmean IoU of a photo, affinity with keypoints less the other: mean and 95 % interval, in points")
    for name in list(METHODS)[:-2]:
        gain = paired_bootstrap(best, [each.mean() for each in values[name]])
        print(f"{name:30}{100 * gain.difference:+7.2f}  [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]")


if __name__ == "__main__":
    main()
