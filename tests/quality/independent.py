"""Every measure a second time, by a library or straight from its definition, without a line of the package.

`COMPARISONS` names the measures with the largest difference that is allowed: 0 where both are exact, otherwise what
single precision, a cut to bits of a pixel, or a random draw makes. The tests run a few hundred cases of each,
`benchmarks/trust_metrics.py` ten thousand.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import math
import statistics
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mask_pairs import Mask
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_pairs import Pair, disturbed, random_mask, random_pairs, random_shape
from scipy import ndimage, stats

from segdata.dataset import Dataset
from segdata.domains import domain_of, face_ratio
from segdata.files import write_file
from segdata.masks import mask_to_rle
from segdata.ops.saliency_map import frame_map, saliency_map, stature
from segdata.pixels import encode_png
from segdata.quality.average_precision import AveragePrecision, Photo, average_precision
from segdata.quality.bootstrap import paired_bootstrap
from segdata.quality.boundary_iou import boundary_iou
from segdata.quality.candidates import KeypointStore
from segdata.quality.certainty import confidence, uncertainty
from segdata.quality.contour import contour_accuracy
from segdata.quality.duplicates import KEYPOINTS, RECORD, likeness
from segdata.quality.flicker import dtssd, temporal_consistency
from segdata.quality.label_errors import disagreement
from segdata.quality.overlap import iou, precision, recall
from segdata.quality.scores import score, summarise
from segdata.quality.stats import distribution
from segdata.quality.stats import stats as stats_of
from segdata.quality.threshold import THRESHOLDS, best_threshold, threshold_counts
from segdata.report.review.scores import Predictions, measure_agreement
from segdata.report.review.store import Store

Real = Sequence[Mask]
Map = NDArray[np.float32]
Differences = Callable[[int, int, Real], Iterator[float]]
TOLERANCES = (0.008, 0.002, 0.03, 1, 3, 8)
DILATIONS = (0.02, 0.005, 0.1, 0.6)


class Comparison(NamedTuple):
    """A measure, what it is compared with, the differences case by case, and the largest that is allowed.

    `differences` takes how many cases to draw, the seed and real masks to cut from. `needs` is a module that is not
    among the tests' own requirements, `few` how many cases a second or so is enough for.
    """

    measure: str
    reference: str
    differences: Differences
    bound: float = 0.0
    needs: str | None = None
    few: int = 200


def apart(ours: float, theirs: float) -> float:
    """Give how far two figures lie apart; two that are both no number agree."""
    if math.isnan(ours) and math.isnan(theirs):
        return 0.0
    difference = abs(ours - theirs)
    return math.inf if math.isnan(difference) else difference


# Regions


def _counts(pred: Mask, gt: Mask, void: Mask | None) -> tuple[int, int, int]:
    """Count true positives, false positives and false negatives, one after the other."""
    kept = np.ones(gt.shape, bool) if void is None else ~void
    return tuple(int((kept & each).sum()) for each in (pred & gt, pred & ~gt, gt & ~pred))  # type: ignore[return-value]


def _share(part: int, whole: int, union: int) -> float:
    return float(Fraction(part, whole)) if whole else float(union == 0)


def _regions(pair: Pair) -> tuple[float, float, float]:
    tp, fp, fn = _counts(*pair)
    union = tp + fp + fn
    return _share(tp, union, union), _share(tp, tp + fp, union), _share(tp, tp + fn, union)


def regions(count: int, seed: int, real: Real) -> Iterator[float]:
    for pair in random_pairs(count, seed, real):
        ours = iou(*pair), precision(*pair), recall(*pair)
        yield max(map(apart, ours, _regions(pair)))


def regions_of_sklearn(count: int, seed: int, real: Real) -> Iterator[float]:
    metrics = importlib.import_module("sklearn.metrics")
    measures = {iou: metrics.jaccard_score, precision: metrics.precision_score, recall: metrics.recall_score}
    for pred, gt, void in random_pairs(count, seed, real):
        kept = np.ones(gt.shape, bool) if void is None else ~void
        # Without pixels scikit-learn raises; 0 / 0 is what it is told to give, here as segdata defines it.
        agreed = float(not (pred & kept).any() and not (gt & kept).any())
        if kept.any():
            yield max(
                apart(ours(pred, gt, void), theirs(gt[kept], pred[kept], zero_division=agreed))
                for ours, theirs in measures.items()
            )


def regions_of_torchmetrics(count: int, seed: int, real: Real) -> Iterator[float]:
    torch = importlib.import_module("torch")
    functional = importlib.import_module("torchmetrics.functional.classification")
    measures = {
        iou: functional.binary_jaccard_index,
        precision: functional.binary_precision,
        recall: functional.binary_recall,
    }
    for pred, gt, void in random_pairs(count, seed, real):
        target = gt.astype(np.int64)
        if void is not None:
            target[void] = 255
        agreed = float(_counts(pred, gt, void) == (0, 0, 0))
        given = torch.from_numpy(pred.astype(np.int64)), torch.from_numpy(target)
        yield max(
            apart(ours(pred, gt, void), float(theirs(*given, ignore_index=255, zero_division=agreed)))
            for ours, theirs in measures.items()
        )


# Outlines


def _seg2bmap(mask: Mask) -> Mask:
    """Draw the outline as the DAVIS benchmark's seg2bmap does, line by line."""
    east, south, south_east = (np.zeros_like(mask) for _ in range(3))
    east[:, :-1] = mask[:, 1:]
    south[:-1] = mask[1:]
    south_east[:-1, :-1] = mask[1:, 1:]
    outline = (mask ^ east) | (mask ^ south) | (mask ^ south_east)
    outline[-1] = mask[-1] ^ east[-1]
    outline[:, -1] = mask[:, -1] ^ south[:, -1]
    outline[-1, -1] = False
    return np.asarray(outline)


def _contour(pred: Mask, gt: Mask, radius: int) -> float:
    """Match each pixel of an outline whose Euclidean distance to the other outline is the radius or less."""
    of_pred, of_gt = _seg2bmap(pred), _seg2bmap(gt)
    if not of_pred.any() or not of_gt.any():
        return float(of_pred.any() == of_gt.any())
    to_pred, to_gt = (np.rint(ndimage.distance_transform_edt(~outline) ** 2) for outline in (of_pred, of_gt))
    right = int((to_gt[of_pred] <= radius**2).sum()) / int(of_pred.sum())
    found = int((to_pred[of_gt] <= radius**2).sum()) / int(of_gt.sum())
    return 2 * right * found / (right + found) if right + found else 0.0


def _known(pair: Pair) -> tuple[Mask, Mask]:
    return (pair.pred, pair.gt) if pair.void is None else (pair.pred & ~pair.void, pair.gt & ~pair.void)


def contours(count: int, seed: int, real: Real) -> Iterator[float]:
    for number, pair in enumerate(random_pairs(count, seed, real)):
        tolerance = TOLERANCES[number % len(TOLERANCES)]
        height, width = pair.gt.shape
        radius = int(tolerance) if tolerance >= 1 else math.ceil(tolerance * math.hypot(height, width))
        ours = contour_accuracy(pair.pred, pair.gt, tolerance=tolerance, void=pair.void)
        yield apart(ours, _contour(*_known(pair), radius))


def contours_of_davis(count: int, seed: int, real: Real) -> Iterator[float]:
    evaluator = importlib.import_module("vos_benchmark.evaluator")
    for pair in random_pairs(count, seed, real):
        pred, gt = _known(pair)
        if pred.any() or gt.any():  # frames that show the object in neither are no frames of it there
            frame = evaluator.Evaluator(boundary=0.008)
            frame.feed_frame(pred.astype(np.uint8), gt.astype(np.uint8))
            yield apart(contour_accuracy(*pair[:2], void=pair.void), float(frame.boundary_f[1][0]))


def _band(mask: Mask, width: int) -> Mask:
    """Give the pixels of a mask that are at most `width` steps of a chess king from a pixel outside of it."""
    steps = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    return np.asarray(mask & (steps <= width))


def boundary_ious(count: int, seed: int, real: Real) -> Iterator[float]:
    for number, pair in enumerate(random_pairs(count, seed, real)):
        dilation = DILATIONS[number % len(DILATIONS)]
        width = max(1, round(dilation * math.hypot(*pair.gt.shape)))
        tp, fp, fn = _counts(*(_band(mask, width) for mask in _known(pair)), None)
        union = tp + fp + fn
        ours = boundary_iou(pair.pred, pair.gt, dilation=dilation, void=pair.void)
        yield apart(ours, _share(tp, union, union))


# Over samples


def _sets(count: int, seed: int, real: Real, most: int) -> Iterator[list[Pair]]:
    """Group pairs to data sets of one sample and more."""
    sizes = np.random.default_rng(seed)
    pairs = random_pairs(count, seed, real)
    while group := list(itertools.islice(pairs, int(sizes.integers(1, most)))):
        yield group


def summaries(count: int, seed: int, real: Real) -> Iterator[float]:
    for group in _sets(count, seed, real, 60):
        found = summarise(score(pair.pred, pair.gt, void=pair.void) for pair in group)
        columns = list(zip(*map(_regions, group), strict=True))
        for ours, values in zip((found.iou, found.precision, found.recall), columns, strict=True):
            exact = [Fraction(value) for value in values]
            yield apart(ours.mean, float(statistics.mean(exact)))
            yield apart(ours.std, statistics.pstdev(exact))


def pooled(count: int, seed: int, real: Real) -> Iterator[float]:
    for group in _sets(count, seed, real, 60):
        found = summarise(score(pair.pred, pair.gt, void=pair.void) for pair in group).pooled
        tp, fp, fn = map(sum, zip(*(_counts(*pair) for pair in group), strict=True))
        union = tp + fp + fn
        theirs = _share(tp, union, union), _share(tp, tp + fp, union), _share(tp, tp + fn, union)
        yield max(map(apart, (found.iou, found.precision, found.recall), theirs))


# Instances

INSTANCES = 7
"""As many found instances a data set has, on average."""


def random_photos(rng: np.random.Generator, real: Real, *, ties: bool = False, longest: int = 40) -> list[Photo]:
    """Draw photos with true, found and ignored instances of every kind."""
    photos = []
    for _ in range(rng.integers(1, 6)):
        shape = random_shape(rng, longest)
        true = [random_mask(rng, shape, real) for _ in range(rng.integers(0, 4))]
        found = [disturbed(rng, mask) for mask in true if rng.random() < 0.9]
        found += [random_mask(rng, shape, real) for _ in range(rng.integers(0, 3))]
        ignored = [random_mask(rng, shape, real) for _ in range(rng.integers(0, 2))]
        scores = (rng.integers(1, 4, len(found)) / 4 if ties else rng.random(len(found))).tolist()
        photos.append(Photo(_rles(found), scores, _rles(true), _rles(ignored)))
    return photos


def _rles(masks: Sequence[Mask]) -> list[Any]:
    return [mask_to_rle(mask) for mask in masks]


def cocoeval(photos: Sequence[Photo], **params: Any) -> COCOeval:
    """Let COCOeval score instances: all areas and any number of instances, unless `params` say otherwise."""
    images, truths, results = [], [], []
    for image, photo in enumerate(photos):
        height, width = next((rle.size for rle in (*photo.true, *photo.found, *photo.ignored)), (1, 1))
        images.append({"id": image, "height": height, "width": width})
        for crowd, rles in enumerate((photo.true, photo.ignored)):
            for rle in rles:
                drawn = {"size": list(rle.size), "counts": rle.counts}
                area = int(coco_mask.area(drawn))
                truths.append({
                    "id": len(truths) + 1, "image_id": image, "category_id": 1, "iscrowd": crowd,
                    "area": area, "bbox": [0, 0, 1, 1], "segmentation": drawn,
                })  # fmt: skip
        for rle, value in zip(photo.found, photo.scores, strict=True):
            drawn = {"size": list(rle.size), "counts": rle.counts}
            results.append({"image_id": image, "category_id": 1, "score": value, "segmentation": drawn})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {}, "images": images, "annotations": truths, "categories": [{"id": 1, "name": "person"}],
        }  # fmt: skip
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.params.maxDets = [1, 10, 10_000]
        evaluation.params.areaRng = [[0, 1e12]]
        evaluation.params.areaRngLbl = ["all"]
        for name, value in params.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def instances_of_cocoeval(count: int, seed: int, real: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    for _ in range(-(-count // INSTANCES)):
        photos = random_photos(rng, real)
        if not any(photo.true for photo in photos) or not any(photo.found for photo in photos):
            continue  # COCOeval gives -1, and cannot load no results
        theirs = cocoeval(photos).eval["precision"][:, :, 0, 0, -1].mean(axis=1)
        yield float(np.abs(np.array(list(average_precision(photos).at.values())) - theirs).max())


def _precision_at(photos: Sequence[Photo], threshold: float) -> float:
    """Find the average precision at one threshold in plain Python; instances of one score are taken together."""
    outcomes: dict[float, Counter[bool]] = {}
    for photo in photos:
        order = sorted(range(len(photo.found)), key=lambda i: -photo.scores[i])
        decoded = [[coco_mask.decode({"size": r.size, "counts": r.counts}) > 0 for r in rles] for rles in photo[::2]]
        crowds = [coco_mask.decode({"size": rle.size, "counts": rle.counts}) > 0 for rle in photo.ignored]
        free = dict(enumerate(decoded[1]))
        for i in order:
            mask = decoded[0][i]
            ious = {j: _iou(mask, gt) for j, gt in free.items()}
            best = max(ious, key=lambda j: (ious[j], j), default=None)
            if best is not None and ious[best] >= threshold:
                del free[best]
                outcomes.setdefault(photo.scores[i], Counter())[True] += 1
            elif not any(mask.any() and (mask & crowd).sum() / mask.sum() >= threshold for crowd in crowds):
                outcomes.setdefault(photo.scores[i], Counter())[False] += 1
    true = sum(len(photo.true) for photo in photos)
    if not true:
        return math.nan
    curve, right, wrong = [], 0, 0
    for value in sorted(outcomes, reverse=True):
        right, wrong = right + outcomes[value][True], wrong + outcomes[value][False]
        curve.append((Fraction(right, true), right / (right + wrong)))
    places = [Fraction(float(place)) for place in np.linspace(0, 1, 101)]
    best_from = [max((p for r, p in curve if float(r) >= float(place)), default=0.0) for place in places]
    return math.fsum(best_from) / 101


def _iou(a: Mask, b: Mask) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 0.0


def tied_instances(count: int, seed: int, real: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    for _ in range(-(-count // INSTANCES)):
        photos = random_photos(rng, real, ties=True)
        found: AveragePrecision = average_precision(photos)
        yield max(apart(value, _precision_at(photos, threshold)) for threshold, value in found.at.items())


# Thresholds and intervals


def _random_map(rng: np.random.Generator, mask: Mask) -> Map:
    """Draw the probability map of a model that mostly sees a mask: with soft edges, in 8 or 16 bits or in floats."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.3, 5))).reshape(mask.shape)
    noisy = np.clip(soft + rng.choice([0, 0.02, 0.3]) * rng.normal(size=mask.shape), 0, 1)
    levels = rng.choice([20, 255, 65535, 0])
    return np.asarray(np.rint(noisy * levels) / levels if levels else noisy).astype(np.float32)


def _random_maps(count: int, seed: int, real: Real) -> Iterator[tuple[np.random.Generator, Map, Pair]]:
    rng = np.random.default_rng(seed)
    for pair in random_pairs(count, seed, real):
        yield rng, _random_map(rng, pair.pred), pair


def sweeps(count: int, seed: int, real: Real) -> Iterator[float]:
    for _, probability, (_, gt, void) in _random_maps(count, seed, real):
        found = threshold_counts(probability, gt, void=void)
        yield max(
            apart(each.iou, _regions(Pair(probability >= np.float32(threshold), gt, void))[0])
            for threshold, each in zip(THRESHOLDS, found, strict=True)
        )


def best_thresholds(count: int, seed: int, _: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        table = rng.integers(0, 5, (int(rng.integers(1, 9)), len(THRESHOLDS))) / 4
        means = [sum(map(Fraction, column)) / len(table) for column in table.T.tolist()]
        twentieths = range(1, 20)
        best = min(twentieths, key=lambda i: (-means[i - 1], abs(i - 10), i))
        found = best_threshold(table.tolist())
        yield max(apart(found.threshold, best / 20), apart(found.iou, float(means[best - 1])))


RESAMPLES = 10_000
# Six standard deviations of the share of 10,000 draws that fall below a quantile of 2.5 %.
_TAIL_ERROR = 6 * math.sqrt(0.025 * 0.975 / RESAMPLES)


def intervals(count: int, seed: int, _: Real) -> Iterator[float]:
    """Look at how far the ends of an interval lie from 2.5 % and 97.5 % of all resamples, each one enumerated."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        a, b = rng.random((2, int(rng.integers(1, 6))))
        found = paired_bootstrap(a, b, resamples=RESAMPLES, seed=int(rng.integers(1 << 30)))
        yield apart(found.difference, statistics.fmean(a - b))
        means = np.sort([sum(draw) / len(a) for draw in itertools.product((a - b).tolist(), repeat=len(a))])
        for end, share in ((found.low, 0.025), (found.high, 0.975)):
            below = float((means < end - 1e-12).mean())
            upto = float((means <= end + 1e-12).mean())
            # Ends lie between two values where the quantile does: the next one above or below counts as reached.
            upto = max(upto, float((means <= means[min(int(below * len(means)), len(means) - 1)] + 1e-12).mean()))
            below = min(below, float((means < means[max(int(below * len(means)) - 1, 0)] - 1e-12).mean()))
            yield max(0.0, below - share, share - upto)


def intervals_of_scipy(count: int, seed: int, _: Real) -> Iterator[float]:
    """Give how far the ends lie from those of scipy's percentile bootstrap, over the width of the interval.

    For each ten cases one, of 20 to 200 pairs of scores.
    """
    rng = np.random.default_rng(seed)
    for _ in range(-(-count // 10)):
        a, b = rng.random((2, int(rng.integers(20, 200))))
        ours = paired_bootstrap(a, b, resamples=RESAMPLES, seed=int(rng.integers(1 << 30)))
        theirs = stats.bootstrap(
            (a - b,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng, vectorized=True
        ).confidence_interval
        width = theirs.high - theirs.low
        yield max(apart(ours.low, theirs.low), apart(ours.high, theirs.high)) / width


# Video


def _videos(count: int, seed: int, real: Real) -> Iterator[tuple[np.random.Generator, list[Pair]]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = random_shape(rng, 100)
        masks = [random_mask(rng, shape, real) for _ in range(rng.integers(2, 5))]
        yield rng, [Pair(disturbed(rng, mask), mask, None) for mask in masks]


def dtssds(count: int, seed: int, real: Real) -> Iterator[float]:
    for rng, video in _videos(count, seed, real):
        maps = [_random_map(rng, pair.pred) if rng.random() < 0.5 else pair.pred for pair in video]
        steps = []
        for t in range(1, len(video)):
            changed = maps[t].astype(np.float64) - maps[t - 1]
            should = video[t].gt.astype(np.float64) - video[t - 1].gt
            steps.append(math.sqrt(math.fsum(((changed - should) ** 2).ravel().tolist()) / changed.size))
        yield apart(dtssd(maps, [pair.gt for pair in video]), sum(steps) / len(steps))


def consistencies(count: int, seed: int, real: Real) -> Iterator[float]:
    """Move masks by scipy along the same flow; of pixels within 1 % of a half either answer is taken as right."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        # One flow for each video: small frames change its settings for good.
        flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        shape = int(rng.integers(16, 90)), int(rng.integers(16, 90))
        noise = cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3), np.uint8), (0, 0), 2)
        frames = [np.roll(noise, int(rng.integers(-3, 4)) * t, axis=1) for t in range(2)]
        before, after = (random_mask(rng, shape, real) for _ in range(2))
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        flow = flow_of.calc(greys[1], greys[0], None)  # type: ignore[call-overload]
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        x, y = x + flow[..., 0], y + flow[..., 1]
        seen = (x >= 0) & (x <= shape[1] - 1) & (y >= 0) & (y <= shape[0] - 1)
        moved = ndimage.map_coordinates(before.astype(np.float64), [y, x], order=1, mode="nearest")
        unsure = seen & (abs(moved - 0.5) < 0.04)
        ours = temporal_consistency([before, after], frames)
        union = ((moved >= 0.5) | after | unsure) & seen
        theirs = _regions(Pair(moved >= 0.5, after, ~seen))[0]
        allowed = float(unsure.sum() / max(1, union.sum() - unsure.sum()))
        yield max(0.0, apart(ours, theirs) - allowed)


# Doubt and label errors


def confidences(count: int, seed: int, real: Real) -> Iterator[float]:
    for rng, probability, _ in _random_maps(count, seed, real):
        threshold = float(rng.choice([0.2, 0.5, 0.9]))
        mask = probability >= np.float32(threshold)
        values = probability.astype(np.float64)
        both, either = np.minimum(values, mask), np.maximum(values, mask)
        expected = math.fsum((both * mask).ravel().tolist()) / max(math.fsum(either.ravel().tolist()), 1e-300)
        yield apart(confidence(probability, threshold), expected if mask.any() else 1 - float(values.max()))


def uncertainties(count: int, seed: int, real: Real) -> Iterator[float]:
    for rng, probability, _ in _random_maps(count, seed, real):
        threshold = float(rng.choice([0.2, 0.5, 0.9]))
        mask = probability >= np.float32(threshold)
        reach = 2 * math.ceil(0.008 * math.hypot(*mask.shape)) + 1
        highest, lowest = (f(mask, reach, mode="nearest") for f in (ndimage.maximum_filter, ndimage.minimum_filter))
        doubt = 1 - np.abs(2 * probability.astype(np.float64) - 1)
        band = doubt[highest != lowest]
        yield apart(uncertainty(probability, threshold), statistics.fmean(band) if len(band) else float(doubt.max()))


def _opened(area: Mask, radius: int) -> int:
    """Count what an opening by a disc leaves; beyond the border all belongs to the area."""
    offsets = np.arange(-radius, radius + 1)
    half_widths = np.rint(np.sqrt(radius**2 - offsets**2))
    disc = np.abs(offsets[None]) <= half_widths[:, None]
    core = ndimage.binary_erosion(area, disc, border_value=1)
    return int(ndimage.binary_dilation(core, disc).sum())


def disagreements(count: int, seed: int, real: Real) -> Iterator[float]:
    for _, probability, (_, gt, void) in _random_maps(count, seed, real):
        mask, values = gt, probability
        if void is not None:
            mask, values = gt & ~void, np.where(void, np.float32(0), probability)
        radius = math.ceil(0.008 * math.hypot(*gt.shape))
        seen = values >= 0.5
        area = max(int(mask.sum()), int(seen.sum()), 1)
        lacking = _opened(~mask & (values >= np.float32(0.9)), radius) / area
        surplus = _opened(mask & (values <= np.float32(1 - 0.9)), radius) / area
        of_model, of_mask = _seg2bmap(seen), _seg2bmap(mask)
        far = of_model
        if of_mask.any():
            far = of_model & (np.rint(ndimage.distance_transform_edt(~of_mask) ** 2) > radius**2)
        side = 2 * radius + 1
        rise = ndimage.maximum_filter(values, side, mode="nearest") - ndimage.minimum_filter(
            values, side, mode="nearest"
        )
        contour = math.fsum(rise[far].tolist()) / max(1, int(of_model.sum()))
        exact = values.astype(np.float64)
        sure = (exact * seen).sum() / np.maximum(exact, seen).sum() if seen.any() else 1 - exact.max()
        expected = (lacking + surplus) / (1 - sure + 0.02) + 2 * contour
        found = disagreement(gt, probability, void=void)
        ours = found.score, found.lacking, found.surplus, found.contour
        # The score divides by a doubt of 0.02 and more: its difference is that of the doubt, up to 50^2 times.
        yield max(map(apart, ours, (expected, lacking, surplus, contour)))


def contradictions(count: int, seed: int, real: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        data, preds = Path(folder, "data"), Path(folder, "preds")
        expected, lines = {}, {data: [], preds: []}
        for number, (pred, gt, _) in enumerate(random_pairs(count, seed, real)):
            key, sure = f"m{number}", float(rng.random())
            for root, mask in ((data, gt), (preds, pred)):
                write_file(root / "masks" / f"{key}.png", encode_png(mask))
                lines[root].append({"key": key, "mask_file_name": f"masks/{key}.png", "confidence": sure})
            tp, fp, fn = _counts(pred, gt, None)
            union = tp + fp + fn
            wrong = 1 - (tp / union if union else 1)
            expected[key] = math.sqrt(wrong * (fp + fn) / gt.size) * sure**4
        for root, rows in lines.items():
            write_file(root / "metadata.jsonl", b"")
            Dataset(root).rewrite(iter(rows))
        with Store(data) as store:
            found = measure_agreement(Dataset(data), Predictions(preds), store)["contradiction"]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        yield apart(found[key], value)


# Photos


def face_ratios(count: int, seed: int, _: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    lowest = (("head shot", 3, 10), ("close shot", 1, 10), ("half body", 5, 100), ("whole body", 5, 1000))
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(1, 900, 2))
        x, y = rng.uniform(-0.3, 1.1, 2) * (width, height)
        box = tuple(float(value) for value in (x, y, *np.exp(rng.uniform(-3, 0.3, 2)) * (width, height)))
        box = tuple(map(round, box)) if rng.random() < 0.5 else box
        sides = [
            max(Fraction(0), min(Fraction(start) + Fraction(side), Fraction(whole)) - max(Fraction(start), Fraction(0)))
            for start, side, whole in ((box[0], box[2], width), (box[1], box[3], height))
        ]
        exact = sides[0] * sides[1] / (width * height)
        ours = face_ratio(box, (height, width, 3))
        yield apart(ours, float(exact))
        named = "far shot" if ours > 0 else "no face"
        for name, over, under in reversed(lowest):
            named = name if Fraction(ours) >= Fraction(over / under) else named
        yield 0.0 if domain_of(ours) == named else math.inf


def distributions(count: int, seed: int, _: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    shares = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
    for _ in range(count):
        values = rng.random(int(rng.integers(1, 200))) if rng.random() < 0.5 else rng.integers(0, 9, 40) / 1
        found = distribution(array("d", values.tolist()))
        ordered = sorted(map(Fraction, values.tolist()))
        for name, share in shares.items():
            place = Fraction(share, 100) * (len(ordered) - 1)
            low = ordered[math.floor(place)]
            exact = low + (place - math.floor(place)) * (ordered[math.ceil(place)] - low)
            yield apart(getattr(found, name), float(exact))
        yield apart(found.mean, float(statistics.mean(ordered)))
        yield apart(found.std, statistics.pstdev(ordered))


def _places(size: int, grid: int) -> NDArray[np.float64]:
    """Give the share of each of `grid` equal cells that each of `size` pixels covers: (grid, size)."""
    edges = np.linspace(0, size, grid + 1)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(covered, 0) * grid / size)


def heat_maps(count: int, seed: int, real: Real) -> Iterator[float]:
    """Compare mask shares and heat maps of data sets of masks of 32 pixels and more a side."""
    rng = np.random.default_rng(seed)
    for first in range(0, count, 50):
        masks = []
        for _ in range(min(50, count - first)):
            shape = int(rng.integers(32, 200)), int(rng.integers(32, 200))
            masks.append(random_mask(rng, shape, real))
        with tempfile.TemporaryDirectory() as folder:
            for number, mask in enumerate(masks):
                write_file(Path(folder, "masks", f"{number}.png"), encode_png(mask))
            lines = [{"key": f"{n}", "mask_file_name": f"masks/{n}.png"} for n in range(len(masks))]
            write_file(Path(folder, "metadata.jsonl"), b"")
            Dataset(Path(folder)).rewrite(iter(lines))
            found = stats_of(folder)
        yield apart(found.distributions["mask_share"].mean, float(np.mean([mask.mean() for mask in masks])))
        full = [mask for mask in masks if mask.any()]
        cells = [_places(len(mask), 32) @ mask.astype(np.float64) @ _places(mask.shape[1], 32).T for mask in full]
        yield float(np.abs(np.array(found.heat_map) - np.mean(cells, axis=0)).max())


def saliency_maps(count: int, seed: int, _: Real) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = int(rng.integers(8, 160)), int(rng.integers(8, 160))
        persons = [_random_keypoints(rng, shape) for _ in range(rng.integers(0, 3))]
        expected = np.zeros(shape)
        for keypoints in persons:
            frame = frame_map(keypoints, shape)
            if frame.any():
                spread = 0.03 * stature(keypoints, shape)
                away = ndimage.distance_transform_edt(~frame)
                expected = np.maximum(expected, np.exp(-(away**2) / (2 * spread**2)))
        expected[expected < 0.5 / 65535] = 0
        yield float(np.abs(saliency_map(persons, shape) - expected).max())


def _random_keypoints(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Draw a standing body, disturbed, with keypoints that are hidden or not labelled."""
    body = np.array([
        (0, 0), (0.02, -0.02), (-0.02, -0.02), (0.04, 0), (-0.04, 0), (0.11, 0.13), (-0.11, 0.13), (0.13, 0.3),
        (-0.13, 0.3), (0.14, 0.44), (-0.14, 0.44), (0.08, 0.42), (-0.08, 0.42), (0.08, 0.66), (-0.08, 0.66),
        (0.08, 0.9), (-0.08, 0.9),
    ])  # fmt: skip
    scale = rng.uniform(0.2, 1.2) * shape[0]
    points = body * scale + rng.uniform(0, 1, 2) * (shape[1], 0.3 * shape[0]) + rng.normal(0, 0.02 * scale, (17, 2))
    return np.column_stack([points, rng.choice([0, 1, 2], 17, p=[0.2, 0.2, 0.6])])


def aucs(count: int, seed: int, real: Real) -> Iterator[float]:
    """Rank pixels by the Mann-Whitney statistic, mean ranks for ties."""
    auc = importlib.import_module("saliency_auc").auc
    for _, probability, (_, gt, void) in _random_maps(count, seed, real):
        kept = np.ones(gt.shape, bool) if void is None else ~void
        person, background = probability[gt], probability[~gt & kept]
        if not len(person) or not len(background):
            continue
        ranks = stats.rankdata(np.concatenate([person, background]))[: len(person)].sum()
        wins = ranks - len(person) * (len(person) + 1) / 2
        yield apart(auc(probability, gt, kept), wins / (len(person) * len(background)))


def meetings(count: int, seed: int, _: Real) -> Iterator[float]:
    """Compare each keypoint of each photo with each of every other; keypoints of one photo never share a band."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        photos = int(rng.integers(2, 6))
        sides = rng.integers(0, 256, (photos, 2, int(rng.integers(1, 9)), RECORD), np.uint8)
        for _ in range(rng.integers(0, 4)):
            a, b = rng.choice(photos, 2, replace=False)
            side, bands = int(rng.integers(2)), rng.random((sides.shape[2], RECORD)) < 0.9
            sides[b, side][bands] = sides[a, 0][bands]
            sides[b, side, :, -1] = sides[a, 0, :, -1] + rng.integers(-20, 21, sides.shape[2]).astype(np.uint8)
        with KeypointStore(photos) as store:
            for number, (upright, mirrored) in enumerate(sides):
                store.put(number, upright, mirrored)
            found = {(each.a, each.b, each.mirrored): each.votes for each in store.candidates()}
        assert sides.shape[2] <= KEYPOINTS
        yield float(found != _met(sides))


def _met(sides: NDArray[np.uint8]) -> dict[tuple[int, int, bool], int]:
    votes: dict[tuple[int, int, bool], set[tuple[int, int]]] = {}
    for a, b in itertools.combinations(range(len(sides)), 2):
        for side_a, side_b in ((0, 0), (0, 1), (1, 0)):
            for place, one in enumerate(sides[a, side_a]):
                for other in sides[b, side_b]:
                    turn = abs(int(one[-1]) - int(other[-1]))
                    if min(turn, 256 - turn) <= 12 and any(
                        (one[band * 6 : band * 6 + 6] == other[band * 6 : band * 6 + 6]).all() for band in range(5)
                    ):
                        votes.setdefault((a, b, side_a != side_b), set()).add((side_a, place))
    return {key: len(places) for key, places in votes.items() if len(places) >= 2}


def overlaps_of_crops(count: int, seed: int, _: Real) -> Iterator[float]:
    """Look at cuts from one scene: what both show is known, and there they are equal. Slow: one for each 50 cases."""
    rng = np.random.default_rng(seed)
    for _ in range(-(-count // 50)):
        scene = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        width = int(rng.integers(400, 641))
        height = width * 3 // 4  # one shape, so that both are compared at the same scale
        cuts = [(int(rng.integers(641 - width)), int(rng.integers(481 - height))) for _ in range(2)]
        (xa, ya), (xb, yb) = cuts
        shared = (width - abs(xa - xb)) * (height - abs(ya - yb)) / (width * height)
        alike = likeness(*(np.ascontiguousarray(scene[y : y + height, x : x + width]) for x, y in cuts))
        yield max(apart(alike.overlap, shared), apart(alike.correlation, 1.0))


COMPARISONS = (
    Comparison("IoU, precision, recall", "pixels counted one after the other, exact fractions", regions),
    Comparison("IoU, precision, recall", "scikit-learn", regions_of_sklearn, needs="sklearn", few=100),
    Comparison(
        "IoU, precision, recall", "torchmetrics, float32", regions_of_torchmetrics, 1e-7, "torchmetrics", few=200
    ),
    Comparison("mean and std over samples", "exact fractions", summaries, 1e-14),
    Comparison("pooled IoU, precision, recall", "exact fractions", pooled),
    Comparison("contour accuracy", "seg2bmap and scipy's Euclidean distance", contours),
    Comparison("contour accuracy", "vos-benchmark, DAVIS 2017's code", contours_of_davis, needs="vos_benchmark"),
    Comparison("boundary IoU", "scipy's chessboard distance", boundary_ious),
    Comparison("AP50 to AP95", "pycocotools' COCOeval", instances_of_cocoeval, 1e-12),
    Comparison("AP50 to AP95, equal scores", "plain Python from the definition", tied_instances, 1e-12),
    Comparison("IoU at 19 thresholds", "each threshold for itself", sweeps),
    Comparison("best threshold", "exact fractions", best_thresholds, 1e-15),
    Comparison("bootstrap interval, 1 to 5 samples", "all resamples enumerated", intervals, _TAIL_ERROR),
    Comparison("bootstrap interval, 20 to 200 samples", "scipy.stats.bootstrap", intervals_of_scipy, 0.05, few=100),
    Comparison("dtSSD", "float64, frame by frame", dtssds, 1e-6),
    Comparison("temporal consistency", "scipy's map_coordinates", consistencies, few=150),
    Comparison("confidence", "float64", confidences, 1e-12),
    Comparison("uncertainty", "scipy's rank filters in float64", uncertainties, 1e-6),
    Comparison("disagreement and its parts", "scipy's morphology", disagreements, 1e-5),
    Comparison("contradiction", "from the definition, files included", contradictions, 1e-15),
    Comparison("face ratio and domain", "exact fractions", face_ratios, 1e-14),
    Comparison("quantiles, mean and std of stats", "exact fractions", distributions, 5.01e-7),
    Comparison("mask share and heat map", "areas by matrices", heat_maps, 1e-3),
    Comparison("saliency map", "scipy's Euclidean distance", saliency_maps, 1e-5),
    Comparison("saliency AUC", "Mann-Whitney by scipy's ranks", aucs, 1e-12),
    Comparison("keypoints of two photos that meet", "each with each", meetings),
    Comparison("overlap and correlation of copies", "cuts of a known place", overlaps_of_crops, 0.02, few=200),
)
