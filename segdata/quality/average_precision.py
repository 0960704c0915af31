"""Average precision of person instances, as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segdata.errors import InputError, SampleError
from segdata.sample import Rle

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_RECALLS = np.linspace(0, 1, 101)


class Photo(NamedTuple):
    """The instances of one photo: found ones with their scores in any range, true ones, and regions to ignore.

    Found instances that lie mostly in `ignored`, such as crowds, count neither as right nor as wrong.
    """

    found: Sequence[Rle]
    scores: Sequence[float]
    true: Sequence[Rle]
    ignored: Sequence[Rle] = ()


class AveragePrecision(msgspec.Struct, frozen=True):
    """The mean over the thresholds 0.5, 0.55, ... 0.95 of the IoU, in [0, 1], and that at each of them."""

    mean: float
    at: dict[float, float]


def average_precision(photos: Sequence[Photo]) -> AveragePrecision:
    """Give the average precision of instances over photos: COCO's, interpolated at 101 recalls.

    In the order of their scores, found instances match the true one of the photo with the highest IoU that is not yet
    matched, if that reaches the threshold. Equal to pycocotools' COCOeval (all areas, any number of instances) where no
    two scores are equal. Instances of one score are taken together, so that the order of photos does not matter: with
    one score for all, precision p at recall r gives p at the recalls up to r. Within a photo, those of one score match
    in the order given. Without any true instance the figures are NaN.

    Source: portrait_instance.txt 3.2.2. Raises `InputError` where the scores are not as many as the instances or not
    finite, `SampleError` (``size-mismatch``) where instances of a photo differ in size.

    >>> from segdata.masks import mask_to_rle
    >>> left, half = (mask_to_rle(np.arange(8)[None] < width) for width in (4, 3))
    >>> average_precision([Photo([half], [0.9], [left])]).at[0.75], average_precision([Photo([], [], [left])]).mean
    (1.0, 0.0)
    """
    count = sum(len(photo.true) for photo in photos)
    scores = np.array([score for photo in photos for score in photo.scores], np.float64)
    if not np.isfinite(scores).all() or any(len(photo.scores) != len(photo.found) for photo in photos):
        raise InputError("the scores are not one finite number for each instance", "give 1.0 where there are none")
    matched = [_matches(photo) for photo in photos]
    hits = np.concatenate([hit for hit, _ in matched], axis=1) if matched else np.zeros((len(THRESHOLDS), 0), np.bool_)
    left = np.concatenate([out for _, out in matched], axis=1) if matched else hits
    at = {
        threshold: _area(scores[~out], hit[~out], count)
        for threshold, hit, out in zip(THRESHOLDS, hits, left, strict=True)
    }
    return AveragePrecision(float(np.mean(list(at.values()))), at)


def _matches(photo: Photo) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell which found instances are right and which are left out, both (T, N) in the order given."""
    hits = np.zeros((len(THRESHOLDS), len(photo.found)), np.bool_)
    left = hits.copy()
    if not photo.found or not (photo.true or photo.ignored):
        return hits, left
    targets = [*photo.true, *photo.ignored]
    if len({rle.size for rle in (*photo.found, *targets)}) > 1:
        raise SampleError("size-mismatch", "the instances of a photo differ in size")
    crowd = [0] * len(photo.true) + [1] * len(photo.ignored)
    ious = coco_mask.iou(
        *([{"size": rle.size, "counts": rle.counts} for rle in rles] for rles in (photo.found, targets)), crowd
    )
    for row, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(photo.true), np.bool_)
        for place in np.argsort(-np.asarray(photo.scores), kind="stable"):
            values = np.where(free, ious[place, : len(free)], -1.0)
            best = len(values) - 1 - int(values[::-1].argmax()) if len(values) else -1
            if best >= 0 and values[best] >= min(threshold, 1 - 1e-10):
                free[best], hits[row, place] = False, True
            elif (ious[place, len(free) :] >= threshold).any():
                left[row, place] = True
    return hits, left


def _area(scores: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_], count: int) -> float:
    """Give the area under the interpolated curve of precision over recall, at 101 recalls."""
    if not count:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    right = hits[order].cumsum()
    last = np.append(scores[order][1:] != scores[order][:-1], True)[: len(order)]
    recall = right[last] / count
    precision = right[last] / (last.nonzero()[0] + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = recall.searchsorted(_RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())
