"""segdata crop."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import CropPer, ImageFormat
from segdata.cli.options import EngineOption, Json, Out, Scheduler, Shards, Workers


def crop(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    out: Out,
    margin: Annotated[float, typer.Option(min=0, metavar="SHARE", help="Share of the box added on every side.")] = 0.1,
    per: Annotated[
        CropPer, typer.Option(help="A crop of every person (KEY-0, KEY-1, ...), or one of all (KEY).")
    ] = "person",
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="keypoints|pose|mask|box",
            help="What to cut round; repeatable, the first found counts.",
            show_default="keypoints",
        ),
    ] = None,
    min_size: Annotated[int, typer.Option(min=1, metavar="PIXELS", help="Skip narrower or lower crops.")] = 1,
    image_format: Annotated[ImageFormat, typer.Option(help="Of the photos: png keeps every bit.")] = "png",
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Crop photos and their labels round persons.

    Photos, masks, edges, saliency maps, boxes and keypoints are cropped together. Writes a new data set whose rows
    know where each crop was cut, so that uncrop can paste predictions back. Poses are found by a detector, one person
    a photo: pip install 'segdata[detect]'.

    \b
    Examples:
      segdata crop data --out crops
      segdata crop data --out crops --per image --from keypoints --from mask --min-size 64
      segdata crop photos --out crops --from pose
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.crop import crop as twin

    run_command(
        twin,
        data,
        out=out,
        margin=margin,
        per=per,
        sources=sources or ["keypoints"],
        min_size=min_size,
        image_format=image_format,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
