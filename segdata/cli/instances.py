"""segdata instances."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from segdata.cli.options import DatasetArgument, EngineOption, Json, Scheduler, Shards, Void, Workers


def instances(
    data: DatasetArgument,
    boxes: Annotated[
        Literal["annotations", "pose", "mask"],
        typer.Option(
            help="Who is in a photo of which no person is annotated: no one; whom a pose detector finds; "
            "each region of the mask."
        ),
    ] = "mask",
    void: Void = None,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Tell the persons of semantic masks apart.

    In place: each person who has a box or keypoints and no outline gets one, in persons, and instances/ holds for each
    pixel of a mask the number of its person. Annotated outlines stay. --boxes pose needs pip install
    'segdata[detect]'.

    \b
    Examples:
      segdata instances data
      segdata instances data --boxes annotations --void 255
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.instances import instances as twin

    run_command(
        twin, data, boxes=boxes, void=void, shards=shards, engine=engine_of(engine, workers, scheduler), as_json=as_json
    )
