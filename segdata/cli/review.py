"""segdata review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import DatasetArgument, EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo
from segdata.errors import InputError

if TYPE_CHECKING:
    from segdata.report.review.apply import Applied
    from segdata.report.review.serve import ReviewSummary

_SHOWN = 5


def review(
    data: DatasetArgument,
    preds: Annotated[
        str | None,
        typer.Option(metavar="PREDS", help="Predicted masks: shown, and where they agree least comes first."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the photos, for a data set without them."),
    ] = None,
    scores: Annotated[
        str | None, typer.Option(metavar="FILE", help="Order by what evaluate --csv or --json wrote.")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decides.", show_default="the account's name")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of 127.0.0.1.", show_default="8765, or the next free one")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write decisions and corrected masks into the data set, and end.")
    ] = False,
    prefer: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --apply: who decides where reviewers disagree.")
    ] = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Look at masks in the browser, decide and correct.

    Prints an address to open on this machine. Every decision is saved at once, in .review.sqlite in the data set's
    folder; the data set itself changes with --apply alone. In the browser, ? shows the keys. Ctrl-C ends.
    Needs pip install 'segdata[review]'.

    \b
    Examples:
      segdata review data
      segdata annotate data --out preds && segdata review data --preds preds
      segdata review data --reviewer Bo
      segdata review data --apply
    """
    if apply:
        _apply(data, prefer, as_json=as_json)
    if prefer is not None:
        raise InputError("--prefer is for --apply", "leave it away, or say --apply")
    import signal

    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.report.review.serve import review as twin

    progress = TerminalProgress()

    def opened(address: str) -> None:
        progress.close()
        echo(f"open this address in a browser of this machine (Ctrl-C ends):\n\n  {address}\n", err=True)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # to end a review is no interruption
    try:
        summary = twin(
            data,
            preds=preds,
            images=images,
            scores=scores,
            reviewer=reviewer,
            port=port,
            opened=opened,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(summary)
    else:
        _show_summary(summary)


def _show_summary(summary: ReviewSummary) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in summary.counts.items())
    echo(f"review by {summary.reviewer}: {counts} of {summary.samples:,} -> {summary.store}")
    if summary.corrected:
        echo(f"{summary.corrected:,} corrected masks")
    if summary.disagreements:
        echo(f"{summary.disagreements:,} samples on which reviewers disagree")
    echo(f"segdata review {summary.data} --apply writes this into the data set")


def _apply(data: str, prefer: str | None, *, as_json: bool) -> None:
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.cli.results import show_failures
    from segdata.report.review.apply import apply_review

    progress = TerminalProgress()
    try:
        applied = apply_review(data, prefer=prefer, progress=progress)
    finally:
        progress.close()
    if as_json:
        print_json(applied)
    else:
        _show_applied(applied, data)
    raise typer.Exit(1 if show_failures(applied.report) else 0)


def _show_applied(applied: Applied, data: str) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in applied.decisions.items())
    echo(f"review: {counts} -> {applied.report.out}")
    if applied.corrected:
        from segdata.report.review.apply import ORIGINALS

        echo(f"{applied.corrected:,} corrected masks written; those that were there lie in {Path(data) / ORIGINALS}")
    if applied.waiting:
        echo(f"{applied.waiting:,} corrected masks not written: they are not accepted yet")
    for command in applied.again:
        echo(f"made from masks that have changed: run segdata {command} {data} again")
