"""segdata report."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import RankBy
from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo


def report(
    source: Annotated[
        str, typer.Argument(metavar="DATASET|JSON", help="A data set, or the JSON that evaluate printed.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="Page to write, .html.")],
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="The photos, where neither masks nor predictions have them."),
    ] = None,
    by: Annotated[RankBy, typer.Option(help="The score by which samples are the worst.")] = "iou",
    count: Annotated[
        int,
        typer.Option("--count", "-n", min=0, max=100, help="Worst samples to show, half as many of the best; 0: none."),
    ] = 12,
    check: Annotated[bool, typer.Option("--check", help="Of a data set, list what validate finds too.")] = False,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Write a report as one page that opens offline.

    Of a data set: what it holds, what to look at first, examples. Of an evaluation: scores, groups, models side by
    side, the worst and best samples with their errors drawn in.

    \b
    Examples:
      segdata report data --out report.html --check
      segdata evaluate preds data --json > scores.json
      segdata report scores.json --out report.html
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.report.write_report import write_report

    progress = TerminalProgress()
    try:
        made = write_report(
            source,
            out=out,
            images=images,
            by=by,
            count=count,
            check=check,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(made)
    else:
        echo(f"report: {made.source}, {made.size / 1e6:.1f} MB -> {made.report}")
    for key, problem in made.problems.items():
        echo(f"failed: {key}: {problem}", err=True)
    raise typer.Exit(1 if made.problems else 0)
