"""segdata uncrop."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import EngineOption, Json, Out, Scheduler, Shards, Workers


def uncrop(
    preds: Annotated[str, typer.Argument(metavar="PREDS", help="Masks or probability maps for the crops.")],
    crops: Annotated[str, typer.Argument(metavar="CROPS", help="The data set that crop wrote.")],
    out: Out,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Paste predictions for crops back into place.

    Where a photo has several crops, the highest value counts; outside all crops it is 0.

    \b
    Example:
      segdata uncrop preds crops --out full-size
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.uncrop import uncrop as twin

    run_command(
        twin, preds, crops, out=out, shards=shards, engine=engine_of(engine, workers, scheduler), as_json=as_json
    )
