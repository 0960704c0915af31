"""segdata import."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import EngineOption, Json, Memory, Out, Scheduler, Shards, Void, Workers
from segdata.cli.terminal import echo
from segdata.memory import DEFAULT


def import_(
    format: Annotated[  # noqa: A002 - the word that users know
        str, typer.Argument(metavar="FORMAT", help="A format that segdata formats lists, or auto to recognise it.")
    ],
    path: Annotated[str, typer.Argument(metavar="PATH", help="The file or folder that another tool wrote.")],
    out: Out,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the photos, where they do not lie where the format says."),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Label that is a person; repeatable.", show_default="person"),
    ] = None,
    void: Void = None,
    memory: Memory = DEFAULT,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make a data set out of what another tool wrote.

    Writes a data set: masks/, metadata.jsonl and, where there are photos, images/. Run it again to go on after an
    interruption, or to do what has changed.

    \b
    Examples:
      segdata import auto cvat-task.zip --out data
      segdata import label-studio project.json --images photos --out data
      segdata import voc VOC2012 --category person --void 255 --out data
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.formats.registry import recognise
    from segdata.ops.import_dataset import AUTO, import_dataset

    if format == AUTO:
        format, reason = recognise(path)  # noqa: A001
        echo(f"{path} is {format}: {reason}", err=True)
    run_command(
        import_dataset,
        format,
        path,
        out=out,
        images=images,
        categories=category or ["person"],
        void=void,
        memory=memory,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
