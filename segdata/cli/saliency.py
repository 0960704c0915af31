"""segdata saliency."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from segdata.choices import KeypointSource, Who
from segdata.cli.options import EngineOption, Json, Scheduler, Shards, Workers


def saliency(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    keypoints: Annotated[
        KeypointSource, typer.Option(help="Whose keypoints: annotated, detected, or detected where none are annotated.")
    ] = "auto",
    who: Annotated[Who, typer.Option(help="All persons, or the dominant one alone.")] = "all",
    bits: Annotated[Literal["8", "16"], typer.Option(help="Of the PNG.")] = "16",
    preview: Annotated[
        bool, typer.Option("--preview", help="Also show the maps over the photos, in preview/.")
    ] = False,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="DIR", help="For a plain folder: where to.")] = None,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make spatial saliency maps from keypoints.

    A map is 1 on the frame of a body and falls off with the distance to it. A data set gets saliency/ and the column
    saliency_file_name in place; the maps of a plain folder go to --out. Poses are found by a detector: pip install
    'segdata[detect]'.

    \b
    Examples:
      segdata saliency data --preview
      segdata saliency data --who dominant
      segdata saliency photos --keypoints pose --bits 8 --out maps
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.saliency import saliency as twin

    run_command(
        twin,
        data,
        keypoints=keypoints,
        who=who,
        bits=int(bits),
        preview=preview,
        out=out,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
