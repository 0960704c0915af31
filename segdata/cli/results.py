"""How the results of library functions are shown to a person."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from segdata.cli.output import print_json, show_table
from segdata.cli.terminal import echo
from segdata.journal import Report
from segdata.models.train import TrainReport
from segdata.ops.annotate_video import VideoReport
from segdata.ops.grade_domains import Grades
from segdata.ops.split import SplitReport
from segdata.quality.evaluate import Comparison, Evaluation
from segdata.recipe import StepResult

_SHOWN = 5
_BAR = 40
_BESIDE_BAR = 28
_TITLES = {
    "iou": "IoU",
    "contour_accuracy": "contour accuracy",
    "boundary_iou": "boundary IoU",
    "precision": "precision",
    "recall": "recall",
}


def end_with(result: Any, *, as_json: bool) -> NoReturn:
    """Show a command's result and end: status 1 if samples failed, otherwise 0."""
    if as_json:
        print_json(result)
    else:
        show_result(result)
    raise typer.Exit(1 if show_failures(result) else 0)


def end_with_steps(steps: list[StepResult], *, as_json: bool) -> NoReturn:
    """Show the results of a chain and end: status 1 if samples of any step failed, otherwise 0."""
    if as_json:
        print_json({"steps": [step._asdict() for step in steps]})
    failed = 0
    for _, result in steps:
        if not as_json:
            show_result(result)
        failed += show_failures(result)
    raise typer.Exit(1 if failed else 0)


def show_result(result: Any) -> None:
    """Print a result on stdout, as its type wants."""
    _SHOW[type(result)](result)


def show_failures(result: Any) -> int:
    """Print on stderr what failed, and give how many samples did."""
    if isinstance(result, Grades):
        result = result.report
    if isinstance(result, Report | VideoReport):
        messages, count = result.failures, result.failed
        after = f"every sample that failed is a row of {result.outcomes}"
    else:
        evaluations = result.predictors if isinstance(result, Comparison) else [result]
        evaluations = [each for each in evaluations if isinstance(each, Evaluation)]
        messages = tuple(failure.message for evaluation in evaluations for failure in evaluation.failures)
        count, after = len(messages), "samples that failed are not in the figures"
    for message in messages[:_SHOWN]:
        echo(f"failed: {message}", err=True)
    if count > _SHOWN:
        echo(f"... and {count - _SHOWN:,} more", err=True)
    if count:
        echo(after, err=True)
    return count


def _show_report(report: Report) -> None:
    counts = [f"{report.done:,} done"]
    counts += [f"{report.reused:,} up to date"] if report.reused else []
    counts += [f"{report.skipped:,} skipped"] if report.skipped else []
    counts += [f"{report.failed:,} failed"] if report.failed else []
    counts += [f"{count:,} {note}" for note, count in report.notes.items()]
    echo(f"{report.step}: {', '.join(counts)} -> {report.out}")


def _show_video(report: VideoReport) -> None:
    counts = [f"{report.frames:,} frames done"]
    counts += [f"{report.failed:,} failed"] if report.failed else []
    counts += [f"{report.empty:,} without a person"] if report.empty else []
    echo(f"annotate: {', '.join(counts)} -> {report.out}")
    if report.temporal_consistency is not None:
        seen = "each frame seen with the mask before" if report.prior else "each frame seen alone"
        echo(f"temporal consistency {100 * report.temporal_consistency:.2f} % ({seen})")


def _show_grades(grades: Grades) -> None:
    _show_report(grades.report)
    total = max(1, sum(grades.domains.values()))
    longest = max(1, *grades.domains.values())
    # What is left of the line beside the other columns; on a very narrow terminal no bar.
    room = min(_BAR, shutil.get_terminal_size().columns - _BESIDE_BAR)
    block = "\u2588" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    show_table(
        ("domain", "photos", "%", ""),
        [
            (name, f"{count:,}", f"{100 * count / total:.1f}", block * round(room * count / longest))
            for name, count in grades.domains.items()
        ],
    )
    if grades.grades not in (None, grades.report.out):
        echo(f"grades -> {grades.grades}")


def _show_split(report: SplitReport) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in report.counts.items())
    echo(f"split: {counts} -> {report.data}")


def _show_comparison(comparison: Comparison) -> None:
    for evaluation in comparison.predictors:
        _show_evaluation(evaluation)
    _show_differences(comparison)


def _show_evaluation(evaluation: Evaluation) -> None:
    settings = evaluation.settings
    pixels = settings.tolerance_pixels
    tolerance = f"{pixels[0]} px" if len(pixels) == 1 else f"{pixels[0]} to {pixels[-1]} px"
    echo(f"{evaluation.predictor} against {settings.gt}: {evaluation.count:,} samples")
    if evaluation.best is not None:
        echo(
            f"best threshold {evaluation.best.threshold:.2f} of {len(evaluation.sweep or {})}, chosen on these samples"
        )
    pooled = {name: f"{100 * value:.2f}" for name, value in evaluation.pooled.items()}
    show_table(
        ("%", "mean", "std", "pooled"),
        [
            (title, f"{100 * evaluation.mean[name]:.2f}", f"{100 * evaluation.std[name]:.2f}", pooled.get(name, ""))
            for name, title in _TITLES.items()
        ],
    )
    echo(f"contour tolerance {tolerance} ({settings.tolerance:g})")
    for title, groups in (("domain", evaluation.domains), ("split", evaluation.splits)):
        if groups:
            show_table(
                (title, "samples", *(f"{_TITLES[name]} %" for name in _TITLES)),
                [
                    (name, f"{means.count:,}", *(f"{100 * means.mean[measure]:.2f}" for measure in _TITLES))
                    for name, means in groups.items()
                ],
            )
    if len(evaluation.samples) > 1:
        show_table(
            ("worst samples", "IoU %", "contour accuracy %", "boundary IoU %"),
            [
                (
                    sample.key,
                    f"{100 * sample.iou:.2f}",
                    f"{100 * sample.contour_accuracy:.2f}",
                    f"{100 * sample.boundary_iou:.2f}",
                )
                for sample in evaluation.samples[:_SHOWN]
            ],
        )
    if evaluation.skipped:
        echo(f"{len(evaluation.skipped):,} files without a partner skipped, such as {evaluation.skipped[0]}")


def _show_differences(comparison: Comparison) -> None:
    if comparison.differences:
        show_table(
            ("difference in points", "against", "measure", "mean", "95 % interval", "samples"),
            [
                (
                    each.a,
                    each.b,
                    _TITLES[each.measure],
                    f"{100 * each.difference:+.2f}",
                    f"{100 * each.low:+.2f} to {100 * each.high:+.2f}",
                    f"{each.count:,}",
                )
                for each in comparison.differences
            ],
        )


def _show_training(report: TrainReport) -> None:
    scores = "".join(f", {name} {100 * value:.2f} %" for name, value in report.scores.items())
    echo(f"train: {report.epochs:,} epochs, best {report.best_epoch:,}{scores} -> {report.out}")


_SHOW: dict[type, Callable[[Any], None]] = {
    Report: _show_report,
    VideoReport: _show_video,
    Grades: _show_grades,
    SplitReport: _show_split,
    Evaluation: _show_evaluation,
    Comparison: _show_comparison,
    TrainReport: _show_training,
}
