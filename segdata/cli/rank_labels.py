"""segdata rank-labels."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import DatasetArgument, EngineOption, Json, Scheduler, Void, Workers


def rank_labels(
    data: DatasetArgument,
    preds: Annotated[
        str,
        typer.Argument(metavar="PREDS", help="Probability maps of these photos, as annotate --probabilities writes."),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many to list.")] = 20,
    void: Void = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Find likely label errors by a model's masks.

    Ranks samples by how far a model contradicts their masks.

    The data set gets the column disagreement in place, the higher the likelier a mask is wrong. Give annotate the --who
    that the masks hold: where they hold one person of many, --who dominant.

    \b
    Examples:
      segdata annotate data --out preds --probabilities
      segdata rank-labels data preds
      segdata view data --sheet suspects.png --sort=-disagreement --preds preds --show difference
      segdata filter data --where 'disagreement > 1' --out suspects
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json, show_table
    from segdata.cli.results import show_failures, show_result
    from segdata.ops.rank_labels import rank_labels as twin

    progress = TerminalProgress()
    try:
        ranking = twin(
            data, preds, count=count, void=void, engine=engine_of(engine, workers, scheduler), progress=progress
        )
    finally:
        progress.close()
    if as_json:
        print_json(ranking)
    else:
        show_result(ranking.report)
        show_table(
            ("most suspect", "disagreement", "lacking %", "surplus %"),
            [
                (each.key, f"{each.disagreement:.2f}", f"{100 * each.lacking:.1f}", f"{100 * each.surplus:.1f}")
                for each in ranking.worst
            ],
        )
    raise typer.Exit(1 if show_failures(ranking.report) else 0)
