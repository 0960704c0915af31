"""segdata merge-coco."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import Crowd, DrawnOn, Empty, Encoding, Invalid, Who
from segdata.cli.options import EngineOption, Json, Memory, Out, Scheduler, Shards, Workers
from segdata.memory import DEFAULT


def merge_coco(
    annotations: Annotated[str, typer.Argument(metavar="ANNOTATIONS", help="COCO instances or person_keypoints file.")],
    out: Out,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the photos; without it masks and metadata alone."),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Category to merge; repeatable.", show_default="person"),
    ] = None,
    who: Annotated[Who, typer.Option(help="All persons, or the dominant one alone.")] = "all",
    crowd: Annotated[
        Crowd, typer.Option(help="Crowd regions: as person, as 255 (persons are then 1), left out.")
    ] = "include",
    empty: Annotated[Empty, typer.Option(help="Images without persons: an empty mask, or left out.")] = "keep",
    min_area: Annotated[float, typer.Option(metavar="PIXELS", help="Leave smaller persons out.")] = 0.0,
    encoding: Annotated[Encoding, typer.Option(help="PNG masks of 0 and 255, or of one bit a pixel.")] = "8bit",
    invalid: Annotated[
        Invalid, typer.Option(help="Annotations that cannot be drawn: fail their image, or drop out of it.")
    ] = "fail",
    drawn_on: Annotated[
        DrawnOn, typer.Option(help="Photos with EXIF rotation: what the annotations were drawn on.")
    ] = "upright",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Member of the image records to keep as a column; repeatable."),
    ] = None,
    memory: Memory = DEFAULT,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Merge a photo's COCO persons into one mask.

    Writes a data set: masks/, metadata.jsonl and, with --images, images/. Run it again to go on after an
    interruption, or to do what has changed.

    \b
    Examples:
      segdata merge-coco instances.json --images photos --out data
      segdata merge-coco instances.json --out masks-only --crowd ignore --empty skip
      segdata merge-coco instances.json --out data --memory 300MB
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.merge_coco import merge_coco as twin

    run_command(
        twin,
        annotations,
        out=out,
        images=images,
        categories=category or ["person"],
        who=who,
        crowd=crowd,
        empty=empty,
        min_area=min_area,
        encoding=encoding,
        invalid=invalid,
        drawn_on=drawn_on,
        columns=column or (),
        memory=memory,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
