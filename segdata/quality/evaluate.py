"""Score folders of predictions against a folder of ground truth: per sample, by group, over all, and side by side."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from segdata.choices import Missing
from segdata.dataset import Row, open_rows
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError, SegdataError
from segdata.files import read_file
from segdata.pixels import decode_mask, decode_probability
from segdata.quality.bootstrap import Interval, paired_bootstrap
from segdata.quality.boundary_iou import DILATION, band_width
from segdata.quality.contour import TOLERANCE, contour_tolerance
from segdata.quality.resize import Map, crop_to_box, mask_box, to_height, to_size
from segdata.quality.scores import Scores, score, summarise
from segdata.quality.threshold import THRESHOLDS, BestThreshold, best_threshold, threshold_counts
from segdata.steps import Progress
from segdata.storage import join_path

STEP = "evaluate"
MEASURES = ("iou", "contour_accuracy", "boundary_iou", "precision", "recall")


class SampleScores(msgspec.Struct, frozen=True, gc=False):
    """The scores of one sample as fractions in [0, 1]; `tolerance_pixels` is that of its contour accuracy."""

    key: str
    iou: float
    contour_accuracy: float
    boundary_iou: float
    precision: float
    recall: float
    intersection: int
    union: int
    pred_area: int
    gt_area: int
    tolerance_pixels: int
    domain: str | None = None
    split: str | None = None


class Means(msgspec.Struct, frozen=True):
    """Mean and standard deviation (divisor N) of each measure over `count` samples, and the pooled region measures."""

    count: int
    mean: dict[str, float]
    std: dict[str, float]
    pooled: dict[str, float]


class Failure(msgspec.Struct, frozen=True):
    """A sample that could not be scored."""

    key: str
    code: str
    message: str


class Settings(msgspec.Struct, frozen=True):
    """How predictions were scored. `tolerance_pixels` lists the contour tolerances that the images' sizes gave."""

    gt: str
    tolerance: float
    tolerance_pixels: tuple[int, ...]
    dilation: float
    void: int | None
    threshold: float | Literal["sweep"] | None
    height: int | None
    crop_to_gt: bool
    missing: Missing
    resize: bool


class Evaluation(msgspec.Struct, frozen=True):
    """The scores of one predictor.

    `samples` are sorted by IoU, the worst first. `domains` and `splits` hold the same figures for each value of those
    columns that the ground truth's metadata has. With a threshold sweep, `sweep` gives the mean IoU at each threshold
    and `best` the best of them, at which everything else is scored. `skipped` are keys without a partner.
    """

    predictor: str
    count: int
    mean: dict[str, float]
    std: dict[str, float]
    pooled: dict[str, float]
    domains: dict[str, Means]
    splits: dict[str, Means]
    samples: list[SampleScores]
    failures: list[Failure]
    skipped: list[str]
    settings: Settings
    sweep: dict[str, float] | None = None
    best: BestThreshold | None = None


class Difference(msgspec.Struct, frozen=True):
    """The mean difference a - b of a measure over the samples that both have, with its 95 % bootstrap interval."""

    a: str
    b: str
    measure: str
    count: int
    difference: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True):
    """Several predictors on the same ground truth, and each against the first."""

    predictors: list[Evaluation]
    differences: list[Difference]


def evaluate(
    preds: str | Path,
    gt: str | Path,
    *,
    tolerance: float = TOLERANCE,
    dilation: float = DILATION,
    void: int | None = None,
    threshold: float | Literal["sweep"] | None = None,
    height: int | None = None,
    crop_to_gt: bool = False,
    missing: Missing = "error",
    resize: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score predicted masks against ground truth.

    Both are data sets or plain folders of images; files match by key, the path in the folder without its suffix.

    Parameters
    ----------
    preds, gt : the folders.
    tolerance : of the contour accuracy, a share of the image's diagonal, or pixels from 1 on.
    dilation : of the boundary IoU, a share of the diagonal.
    void : value of ground-truth pixels that count nowhere.
    threshold : reads predictions as probability maps, foreground from this probability in [0, 1] on; ``"sweep"``
        tries 0.05 to 0.95 and takes the one with the best mean IoU. A data set with the column
        `probability_file_name`, as annotate writes it, gives those maps instead of its masks.
    height : scale both masks to this many pixels of height, after cropping (alisnet.txt 4.3 takes 1024).
    crop_to_gt : crop both to the box of the ground truth; an empty one is not cropped.
    missing : ``error`` refuses files without a partner, ``skip`` lists them.
    resize : scale a prediction of another size to the ground truth's, where it is otherwise a failure.

    Raises
    ------
    InputError
        For folders without images, files without a partner, a threshold outside [0, 1], a height below 1, as
        `contour_accuracy` and `boundary_iou`, or when no sample could be scored.

    Examples
    --------
    >>> import tempfile
    >>> from segdata.files import write_file
    >>> from segdata.pixels import encode_png
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_file(folder / "gt" / "a.png", encode_png(np.array([[True, True, False]])))
    >>> write_file(folder / "preds" / "a.png", encode_png(np.array([[True, False, False]])))
    >>> evaluate(folder / "preds", folder / "gt").mean["iou"]
    0.5
    """
    options = Scoring(tolerance, dilation, void, threshold, height, crop_to_gt, resize)
    _check(options)
    pairs = _match(preds, gt, missing, probable=threshold is not None)
    swept = None
    if threshold == "sweep":
        swept = _sweep(pairs, options, engine, progress)
        options = options._replace(threshold=swept.best.threshold)
    samples, failures = _score_all(pairs, options, engine, progress)
    if not samples:
        reason = failures[0].message if failures else f"{preds} and {gt} share no file"
        raise InputError(f"no sample could be scored ({reason})", "check the folders")
    samples.sort(key=lambda sample: (sample.iou, sample.key))
    means = _means(samples)
    return Evaluation(
        predictor=str(preds),
        count=means.count,
        mean=means.mean,
        std=means.std,
        pooled=means.pooled,
        domains=_by(samples, "domain"),
        splits=_by(samples, "split"),
        samples=samples,
        failures=failures,
        skipped=pairs.skipped,
        settings=Settings(
            gt=str(gt),
            tolerance=tolerance,
            tolerance_pixels=tuple(sorted({sample.tolerance_pixels for sample in samples})),
            dilation=dilation,
            void=void,
            threshold=threshold,
            height=height,
            crop_to_gt=crop_to_gt,
            missing=missing,
            resize=resize,
        ),
        sweep=swept.means if swept else None,
        best=swept.best if swept else None,
    )


def compare(preds: Sequence[str | Path], gt: str | Path, **options: Any) -> Comparison:
    """Score several predictors on the same ground truth, and each of them against the first.

    Takes the options of `evaluate`. The intervals come from a paired bootstrap over the samples that both have, with a
    fixed seed. Raises as `evaluate`.
    """
    evaluations = [evaluate(each, gt, **options) for each in preds]
    first, *others = evaluations
    differences = [_difference(other, first, measure) for other in others for measure in MEASURES[:3]]
    return Comparison(evaluations, differences)


def _difference(a: Evaluation, b: Evaluation, measure: str) -> Difference:
    in_b = {sample.key: getattr(sample, measure) for sample in b.samples}
    shared = sorted((sample.key, getattr(sample, measure)) for sample in a.samples if sample.key in in_b)
    if not shared:
        raise InputError(f"{a.predictor} and {b.predictor} have no scored sample in common", "compare the same photos")
    interval: Interval = paired_bootstrap([value for _, value in shared], [in_b[key] for key, _ in shared])
    return Difference(a.predictor, b.predictor, measure, len(shared), interval.difference, interval.low, interval.high)


class _Pairs(NamedTuple):
    pairs: list[ScoredPair]
    skipped: list[str]


class ScoredPair(NamedTuple):
    """The files of a prediction and of its truth."""

    key: str
    pred: str
    gt: str
    domain: str | None
    split: str | None


def _match(preds: str | Path, gt: str | Path, missing: Missing, *, probable: bool) -> _Pairs:
    pred_files, gt_files = _mask_files(preds, probable=probable), _mask_files(gt)
    lonely = [(key, gt_files[key][0], preds) for key in gt_files if key not in pred_files]
    lonely += [(key, pred_files[key][0], gt) for key in pred_files if key not in gt_files]
    if lonely and missing == "error":
        _, path, other = lonely[0]
        more = f" ({len(lonely):,} files have none)" if len(lonely) > 1 else ""
        raise InputError(f"{path} has no partner in {other}{more}", "give all of them, or say --missing skip")
    pairs = [
        ScoredPair(key, pred_files[key][0], path, row.get("domain"), row.get("split"))
        for key, (path, row) in gt_files.items()
        if key in pred_files
    ]
    return _Pairs(pairs, sorted(key for key, _, _ in lonely))


def _mask_files(folder: str | Path, *, probable: bool = False) -> dict[str, tuple[str, Row]]:
    """List the masks of a folder or data set, or the probability maps of those samples that have one."""
    root, rows = open_rows(folder, "mask_file_name")
    files = {}
    for row in rows():
        name = (probable and row.get("probability_file_name")) or row.get("mask_file_name")
        if name:
            files[row["key"]] = (join_path(root, name), {"domain": row.get("domain"), "split": row.get("split")})
    if not files:
        raise InputError(f"{folder} names no masks", "give a data set with masks, or a folder of mask images")
    return files


class Scoring(NamedTuple):
    """How pairs are scored, as `evaluate` says; `threshold` is ``"sweep"`` in the first pass of a sweep."""

    tolerance: float
    dilation: float
    void: int | None
    threshold: float | Literal["sweep"] | None
    height: int | None
    crop_to_gt: bool
    resize: bool


def _check(options: Scoring) -> None:
    contour_tolerance((1, 1), options.tolerance)
    band_width((1, 1), options.dilation)
    if isinstance(options.threshold, float | int) and not 0 <= options.threshold <= 1:
        raise InputError(f"the threshold {options.threshold:g} is not a probability", "give one from 0 to 1")
    if options.height is not None and options.height < 1:
        raise InputError(f"masks cannot be {options.height} pixels high", "give a height of 1 or more")


class _Swept(NamedTuple):
    means: dict[str, float]
    best: BestThreshold


_Scored: TypeAlias = "tuple[Scores, int] | list[float] | Failure"


class ScorePair(msgspec.Struct, frozen=True):
    """The work on one pair of files."""

    options: Scoring

    def __call__(self, pair: ScoredPair) -> _Scored:
        """Give the scores and the tolerance in pixels; for a sweep the IoU at each threshold; or what failed."""
        try:
            return self._score(pair)
        except SampleError as error:
            return Failure(pair.key, error.code, str(error))
        except SegdataError:
            raise
        except Exception as error:
            logging.getLogger("segdata").debug("%s failed on %s", STEP, pair.key, exc_info=True)
            return Failure(pair.key, "internal-error", f"{pair.pred}: {type(error).__name__}: {error}")

    def _score(self, pair: ScoredPair) -> tuple[Scores, int] | list[float]:
        options = self.options
        gt, void = decode_mask(read_file(pair.gt), pair.gt, options.void)
        box = mask_box(gt) if options.crop_to_gt else None

        def prepare(array: Map) -> Map:
            cropped = array if box is None else crop_to_box(array, box)
            return cropped if options.height is None else to_height(cropped, options.height)

        void = None if void is None else prepare(void)
        data = read_file(pair.pred)
        if options.threshold is None:
            pred = prepare(self._same_size(decode_mask(data, pair.pred)[0], gt.shape, pair))
            gt = prepare(gt)
        else:
            probability = prepare(self._same_size(decode_probability(data, pair.pred), gt.shape, pair))
            gt = prepare(gt)
            if options.threshold == "sweep":
                return [counts.iou for counts in threshold_counts(probability, gt, void=void)]
            pred = probability >= np.float32(options.threshold)
        scores = score(pred, gt, tolerance=options.tolerance, dilation=options.dilation, void=void)
        return scores, contour_tolerance(gt.shape, options.tolerance)

    def _same_size(self, array: Map, shape: tuple[int, int], pair: ScoredPair) -> Map:
        if array.shape == shape:
            return array
        if self.options.resize:
            return to_size(array, *shape)
        raise SampleError(
            "size-mismatch",
            f"{pair.pred} is {array.shape[1]} x {array.shape[0]}, {pair.gt} is {shape[1]} x {shape[0]}",
            "predict at the photo's size, or say --resize",
        )


def _run(
    pairs: _Pairs, options: Scoring, engine: Engine | None, progress: Progress | None, step: str
) -> Iterator[tuple[ScoredPair, _Scored]]:
    chosen: Engine = engine or Inline()
    if progress is not None:
        progress.begin(step, len(pairs.pairs))
    work: Callable[[ScoredPair], _Scored] = ScorePair(options)
    with closing(chosen.map(work, pairs.pairs)) as results:
        for pair, result in zip(pairs.pairs, results, strict=True):
            if isinstance(result, Lost):
                message = f"{pair.pred} ended its worker process each time (out of memory?)"
                yield pair, Failure(pair.key, "worker-died", message)
            else:
                yield pair, result
            if progress is not None:
                progress.advance()


def _score_all(
    pairs: _Pairs, options: Scoring, engine: Engine | None, progress: Progress | None
) -> tuple[list[SampleScores], list[Failure]]:
    samples, failures = [], []
    for pair, result in _run(pairs, options, engine, progress, STEP):
        if isinstance(result, Failure):
            failures.append(result)
        elif isinstance(result, tuple):
            scores, pixels = result
            samples.append(
                SampleScores(
                    pair.key,
                    **msgspec.structs.asdict(scores),
                    tolerance_pixels=pixels,
                    domain=pair.domain,
                    split=pair.split,
                )
            )
    return samples, failures


def _sweep(pairs: _Pairs, options: Scoring, engine: Engine | None, progress: Progress | None) -> _Swept:
    table = [ious for _, ious in _run(pairs, options, engine, progress, "sweep") if isinstance(ious, list)]
    if not table:
        return _Swept({}, BestThreshold(0.5, 0.0))  # scoring at any threshold names what is wrong
    means = np.mean(np.array(table), axis=0)
    named = {f"{threshold:.2f}": float(mean) for threshold, mean in zip(THRESHOLDS, means, strict=True)}
    return _Swept(named, best_threshold(table))


def _means(samples: Sequence[SampleScores]) -> Means:
    summary = summarise(samples)
    spreads = {name: getattr(summary, name) for name in MEASURES}
    return Means(
        count=len(samples),
        mean={name: spread.mean for name, spread in spreads.items()},
        std={name: spread.std for name, spread in spreads.items()},
        pooled=msgspec.structs.asdict(summary.pooled),
    )


def _by(samples: Iterable[SampleScores], column: Literal["domain", "split"]) -> dict[str, Means]:
    groups: dict[str, list[SampleScores]] = defaultdict(list)
    for sample in samples:
        value = getattr(sample, column)
        if value is not None:
            groups[value].append(sample)
    return {value: _means(groups[value]) for value in sorted(groups)}
