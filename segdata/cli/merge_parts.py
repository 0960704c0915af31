"""segdata merge-parts."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import Encoding
from segdata.cli.options import EngineOption, Json, Out, Scheduler, Shards, Workers


def merge_parts(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help="Folder of class-index PNGs.")],
    out: Out,
    images: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of the photos, matched by name.")] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Class that is no person, by number or name, instead of 0; repeatable.",
            show_default="0",
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="JSON file of class number to name, to choose by name."),
    ] = None,
    encoding: Annotated[Encoding, typer.Option(help="PNG masks of 0 and 255, or of one bit a pixel.")] = "8bit",
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Merge images of human parts into person masks.

    Writes a data set: masks/, metadata.jsonl and, with --images, images/. Run it again to go on after an
    interruption, or to do what has changed.

    \b
    Examples:
      segdata merge-parts parts --images photos --out data
      segdata merge-parts parts --names parts.json --background null --background bag --out data
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.merge_parts import merge_parts as twin

    run_command(
        twin,
        labels,
        out=out,
        images=images,
        background=background or [0],
        names=names,
        encoding=encoding,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
