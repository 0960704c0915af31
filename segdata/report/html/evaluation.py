"""The sections of a report on one evaluation or several: scores, groups, and the samples behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segdata.choices import RankBy
from segdata.domains import DOMAINS
from segdata.quality.evaluate import Comparison, Evaluation, Means, SampleScores
from segdata.report.html import charts
from segdata.report.html.evaluated_files import EvaluatedFiles
from segdata.report.html.page import Chart, Gallery, Page, Section, Table
from segdata.report.html.samples import Drawing, DrawPair, Pair, draw_cards
from segdata.report.overlays import VOID
from segdata.report.picture import Show, legend
from segdata.wording import amount

TITLES: dict[RankBy, str] = {"iou": "IoU", "contour_accuracy": "contour accuracy", "boundary_iou": "boundary IoU"}
_SIZES = ("smallest quarter", "second quarter", "third quarter", "largest quarter")
_LISTED = 50
_FEW = 5


class _Pictures(NamedTuple):
    """By what score samples are chosen to be drawn, where their files are, and how they are drawn."""

    by: RankBy
    files: EvaluatedFiles
    drawing: Drawing


def evaluation_page(comparison: Comparison, by: RankBy, drawing: Drawing) -> Page:
    """Give the report on predictors that were scored against the same truth.

    Raises `InputError` where the masks that were scored are not there any more, unless no sample is to be drawn.
    """
    evaluations = comparison.predictors
    names = _names([each.predictor for each in evaluations])
    pictures = None
    if drawing.most:
        pictures = _Pictures(by, EvaluatedFiles(evaluations, drawing.images), drawing)
    sections = [_scores(evaluations, names, comparison)]
    if len(evaluations) > 1:
        sections.append(_side_by_side(evaluations, names, by, pictures))
    if pictures is not None:
        sections += [_extremes(evaluations, names, number, pictures) for number in range(len(names))]
    sections += [*_groups(evaluations, names), _by_size(evaluations, names)]
    if any(each.sweep for each in evaluations):
        sections.append(_sweep(evaluations, names))
    sections += [*_left_out(evaluations, names), _how(evaluations[0])]
    settings = evaluations[0].settings
    what = names[0] if len(names) == 1 else f"{len(names)} models"
    text = f"{amount(evaluations[0].count, 'sample')} of {settings.gt}. All scores are percent; means are over samples."
    return Page(f"{what} against {Path(settings.gt).name or settings.gt}", text, sections)


def _names(predictors: Sequence[str]) -> list[str]:
    """Give short names that are still told apart."""
    last = [Path(predictor).name or predictor for predictor in predictors]
    return last if len(set(last)) == len(last) else list(predictors)


def _values(evaluation: Evaluation, measure: str) -> list[float]:
    return [getattr(sample, measure) for sample in evaluation.samples]


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _scores(evaluations: Sequence[Evaluation], names: Sequence[str], comparison: Comparison) -> Section:
    drawn = []
    for measure, title in TITLES.items():
        values = [_values(evaluation, measure) for evaluation in evaluations]
        said = "; ".join(
            f"{name + ': ' if len(names) > 1 else ''}median {_percent(float(np.median(each)))}, "
            f"a tenth of the samples below {_percent(float(np.quantile(each, 0.1)))}"
            for name, each in zip(names, values, strict=True)
        )
        series = [charts.Values(name, each) for name, each in zip(names, values, strict=True)]
        drawn.append(Chart(charts.histogram(series, title), f"Samples by {title}; {said}."))
    rows = [
        (
            name,
            f"{each.count:,}",
            *(f"{_percent(each.mean[measure])} ± {_percent(each.std[measure])}" for measure in TITLES),
            _percent(each.mean["precision"]),
            _percent(each.mean["recall"]),
            _percent(each.pooled["iou"]),
        )
        for name, each in zip(names, evaluations, strict=True)
    ]
    head = ("predictions", "samples", *TITLES.values(), "precision", "recall", "pooled IoU")
    tables = [Table("Mean scores and their standard deviation", head, rows)]
    if comparison.differences:
        short = dict(zip((each.predictor for each in evaluations), names, strict=True))
        tables.append(
            Table(
                f"Difference to {names[0]} on the same samples, with the 95 % interval of a paired bootstrap",
                ("predictions", "measure", "samples", "difference", "from", "to"),
                [
                    (
                        short.get(each.a, each.a),
                        TITLES.get(each.measure, each.measure),  # type: ignore[call-overload]
                        f"{each.count:,}",
                        *(f"{100 * value:+.2f}" for value in (each.difference, each.low, each.high)),
                    )
                    for each in comparison.differences
                ],
            )
        )
    return Section("Scores", "", tuple(drawn), tuple(tables))


def _groups(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Iterable[Section]:
    for title, columns in (
        ("Scores by domain", [each.domains for each in evaluations]),
        ("Scores by split", [each.splits for each in evaluations]),
    ):
        found = set().union(*columns)
        if len(found) < 2:
            continue
        groups = [name for name in DOMAINS if name in found] + sorted(found - set(DOMAINS))
        drawn = []

        counts = [max(column[group].count for column in columns if group in column) for group in groups]
        labels = [f"{group} ({count:,})" for group, count in zip(groups, counts, strict=True)]
        for measure, label in list(TITLES.items())[:2]:
            spreads = [
                charts.Spread(
                    name,
                    [column[group].mean[measure] if group in column else None for group in groups],
                    [_interval(column.get(group), measure) for group in groups],
                )
                for name, column in zip(names, columns, strict=True)
            ]
            caption = (
                f"Mean {label} of each group, its samples in brackets, with the 95 % interval of the mean (1.96 "
                f"standard errors) where there are {_FEW} or more."
            )
            drawn.append(Chart(charts.spreads(labels, spreads, label), caption))
        rows = [
            (
                *((group, name) if len(names) > 1 else (group,)),
                f"{column[group].count:,}",
                *(_percent(column[group].mean[measure]) for measure in TITLES),
            )
            for group in groups
            for name, column in zip(names, columns, strict=True)
            if group in column
        ]
        head = ("group", *(("predictions",) if len(names) > 1 else ()), "samples", *TITLES.values())
        yield Section(title, "", tuple(drawn), (Table(title, head, rows),))


def _interval(means: Means | None, measure: str) -> tuple[float, float]:
    """Give the 95 % interval of a mean; of a few samples, which say nothing of their spread, the mean alone."""
    if means is None:
        return 0.0, 0.0
    mean = means.mean[measure]
    margin = 1.96 * means.std[measure] / math.sqrt(means.count) if means.count >= _FEW else 0.0
    return max(0.0, mean - margin), min(1.0, mean + margin)


def _by_size(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Section:
    drawn, rows = [], []
    for evaluation, name in zip(evaluations, names, strict=True):
        samples = sorted(evaluation.samples, key=lambda sample: sample.gt_area)
        areas = [sample.gt_area for sample in samples]
        series = charts.Values(name, [sample.iou for sample in samples])
        caption = f"{name}: IoU of each sample over the pixels of its true mask."
        drawn.append(Chart(charts.against_size(areas, [series], "IoU"), caption))
        for title, part in zip(_SIZES, np.array_split(np.arange(len(samples)), len(_SIZES)), strict=True):
            if len(part):
                chosen = [samples[number] for number in part]
                rows.append(
                    (
                        *((title, name) if len(names) > 1 else (title,)),
                        f"{chosen[0].gt_area:,} to {chosen[-1].gt_area:,}",
                        *(_percent(float(np.mean([getattr(each, m) for each in chosen]))) for m in TITLES),
                    )
                )
    head = ("persons", *(("predictions",) if len(names) > 1 else ()), "pixels", *TITLES.values())
    return Section("Scores by size", "", tuple(drawn), (Table("Samples in four equal parts by size", head, rows),))


def _sweep(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Section:
    swept = [
        (name, each.sweep, each.best)
        for name, each in zip(names, evaluations, strict=True)
        if each.sweep and each.best is not None
    ]
    thresholds = [float(threshold) for threshold in swept[0][1]]
    series = [charts.Values(name, list(sweep.values())) for name, sweep, _ in swept]
    said = "; ".join(f"{name}: best at {best.threshold:g}, {_percent(best.iou, 2)}" for name, _, best in swept)
    drawing = charts.curves(thresholds, series, "threshold", "mean IoU")
    rows = [
        (f"{threshold:.2f}", *(_percent(list(sweep.values())[place], 2) for _, sweep, _ in swept))
        for place, threshold in enumerate(thresholds)
    ]
    text = "Probabilities become masks at a threshold; all other scores here are those at the best one."
    table = Table("Mean IoU by threshold", ("threshold", *(name for name, _, _ in swept)), rows)
    return Section("Threshold", text, (Chart(drawing, f"Mean IoU by threshold. {said}."),), (table,))


def _side_by_side(
    evaluations: Sequence[Evaluation], names: Sequence[str], by: RankBy, pictures: _Pictures | None
) -> Section:
    first = {sample.key: sample for sample in evaluations[0].samples}
    drawn, galleries = [], []
    for number in range(1, len(evaluations)):
        shared = [(first[other.key], other) for other in evaluations[number].samples if other.key in first]
        if not shared:
            continue
        x = charts.Values(names[0], [getattr(a, by) for a, _ in shared])
        y = charts.Values(names[number], [getattr(b, by) for _, b in shared])
        better = sum(b > a for a, b in zip(x.values, y.values, strict=True))
        worse = sum(b < a for a, b in zip(x.values, y.values, strict=True))
        caption = (
            f"{TITLES[by]} of each sample: {names[0]} from left to right, {names[number]} upwards. {names[number]} is "
            f"better on {better:,}, worse on {worse:,} of {len(shared):,} samples."
        )
        drawn.append(Chart(charts.one_against_other(x, y), caption))
        if pictures is None:
            continue
        shared.sort(key=lambda pair: (getattr(pair[1], by) - getattr(pair[0], by), pair[0].key))
        half = _half(pictures.drawing.most)
        lost = [pair for pair in shared[:half] if getattr(pair[1], by) < getattr(pair[0], by)]
        gained = [pair for pair in shared[: -half - 1 : -1] if getattr(pair[1], by) > getattr(pair[0], by)]
        for title, pairs in (
            (f"Where {names[number]} is worse than {names[0]}", lost),
            (f"Where {names[number]} is better than {names[0]}", gained),
        ):
            if pairs:
                tasks = [
                    pictures.files.pair(
                        a.key,
                        f"{TITLES[by]} {_percent(getattr(a, by))} → {_percent(getattr(b, by))}{_said(a)}",
                        [(0, names[0]), (number, names[number])],
                    )
                    for a, b in pairs
                ]
                galleries.append(_gallery(title, tasks, evaluations[0], pictures.drawing))
    text = f"Each model against {names[0]}, sample by sample."
    return Section("Model beside model", text, tuple(drawn), (), tuple(galleries))


def _extremes(evaluations: Sequence[Evaluation], names: Sequence[str], number: int, pictures: _Pictures) -> Section:
    by, files, drawing = pictures
    evaluation, name = evaluations[number], names[number]
    ordered = sorted(evaluation.samples, key=lambda sample: (getattr(sample, by), sample.key))
    worst = ordered[: drawing.most]
    best = ordered[len(worst) :][: -_half(drawing.most) - 1 : -1]
    galleries = []
    for title, samples in ((f"Lowest {TITLES[by]}", worst), (f"Highest {TITLES[by]}", best)):
        if samples:
            tasks = [files.pair(sample.key, _facts(sample), [(number, name)]) for sample in samples]
            galleries.append(_gallery(title, tasks, evaluation, drawing))
    title = "Worst and best samples" if len(names) == 1 else f"Worst and best samples of {name}"
    tolerances = evaluation.settings.tolerance_pixels
    within = f"{tolerances[0]}" if len(tolerances) == 1 else f"{tolerances[0]} to {tolerances[-1]}"
    text = (
        "Contour errors show both outlines, each point in the colour of its distance to the other: green is within the "
        f"tolerance of contour accuracy ({within} pixels), red four times as far. Where persons are small, pictures "
        "show the part of the photo round the masks. A picture opens large."
    )
    return Section(title, text, galleries=tuple(galleries))


def _half(most: int) -> int:
    return max(1, most // 2)


def _gallery(title: str, tasks: list[Pair], evaluation: Evaluation, drawing: Drawing) -> Gallery:
    cards = draw_cards(DrawPair(evaluation.settings), tasks, lambda task: task.key, drawing)
    shown: tuple[Show, ...] = ("mask", "difference", "errors") if len(tasks[0].preds) < 2 else ("mask", "difference")
    meanings = [(colour, meaning.replace("the data set's mask", "the truth")) for colour, meaning in legend(shown)]
    if evaluation.settings.void is not None:
        meanings.append((VOID, "counts nowhere"))
    return Gallery(title, "", cards, tuple(meanings))


def _facts(sample: SampleScores) -> str:
    scores = [f"{title} {_percent(getattr(sample, measure))}" for measure, title in TITLES.items()]
    scores += [f"precision {_percent(sample.precision)}", f"recall {_percent(sample.recall)}"]
    return ", ".join(scores) + _said(sample)


def _said(sample: SampleScores) -> str:
    return "".join(f", {value}" for value in (sample.domain, sample.split) if value)


def _left_out(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Iterable[Section]:
    tables = []
    for evaluation, name in zip(evaluations, names, strict=True):
        if evaluation.failures:
            rows = [(each.key, each.message) for each in evaluation.failures[:_LISTED]]
            rest = len(evaluation.failures) - len(rows)
            tables.append(Table(f"Could not be scored: {name}", ("sample", "why"), rows, rest))
        if evaluation.skipped:
            rows = [(key, "has no partner") for key in evaluation.skipped[:_LISTED]]
            rest = len(evaluation.skipped) - len(rows)
            tables.append(Table(f"Skipped: {name}", ("sample", "why"), rows, rest))
    if tables:
        yield Section("Samples left out", "They are in no figure of this page.", tables=tuple(tables))


def _how(evaluation: Evaluation) -> Section:
    settings = evaluation.settings
    scale = "as they are" if settings.height is None else f"scaled to {settings.height:,} pixels of height"
    threshold = "masks as they are"
    if settings.threshold == "sweep":
        threshold = "probabilities, at the threshold with the best mean IoU on these samples"
    elif settings.threshold is not None:
        threshold = f"probabilities, person from {settings.threshold:g} on"
    rows = [
        ("truth", settings.gt),
        ("predictions", threshold),
        ("size", ("cropped to the box of the truth, " if settings.crop_to_gt else "") + scale),
        ("tolerance of contour accuracy", _share(settings.tolerance)),
        ("band of boundary IoU", _share(settings.dilation)),
        ("void pixels", "none" if settings.void is None else f"value {settings.void} counts nowhere"),
        ("files without a partner", "refused" if settings.missing == "error" else "skipped"),
    ]
    return Section("How it was measured", "", tables=(Table("Settings", ("setting", "value"), rows),))


def _share(value: float) -> str:
    return f"{value:g} pixels" if value >= 1 else f"{100 * value:g} % of the diagonal"
