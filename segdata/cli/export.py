"""segdata export."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import MaskValues, Shapes
from segdata.cli.options import DatasetArgument, EngineOption, Json, Out, Scheduler, Void, Workers


def export(
    data: DatasetArgument,
    format: Annotated[  # noqa: A002 - the word that users know
        str, typer.Argument(metavar="FORMAT", help="A format that segdata formats lists.")
    ],
    out: Out,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the photos, for masks without them, as annotate writes."),
    ] = None,
    photos: Annotated[bool, typer.Option("--photos/--no-photos", help="Write the photos too.")] = True,
    shapes: Annotated[
        Shapes, typer.Option(help="Where a format knows both: masks bit for bit, or polygons.")
    ] = "masks",
    tolerance: Annotated[
        float, typer.Option(metavar="PIXELS", help="How far a polygon may be from the mask's outline.")
    ] = 0.5,
    values: Annotated[MaskValues, typer.Option(help="What mask files hold; persons: a file for each person.")] = "8bit",
    void: Void = None,
    label: Annotated[str, typer.Option(metavar="NAME", help="Of persons whose category is not known.")] = "person",
    photo_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="What goes before the names of photos that a tool loads from a server."),
    ] = None,
    per_shard: Annotated[int, typer.Option(min=1, metavar="N", help="Samples a shard.")] = 10_000,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Write a data set for another tool.

    Persons are written one by one where the format knows persons and their union is the mask; where the mask was
    changed since, it is written as one person. Run it again to do what has changed.

    \b
    Examples:
      segdata export data coco --out coco
      segdata export preds label-studio --images photos --out tasks
      segdata export data yolo-seg --out yolo
      segdata export data coco --shapes polygons --tolerance 1 --no-photos --out polygons
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.export_dataset import export_dataset

    run_command(
        export_dataset,
        data,
        format,
        out=out,
        images=images,
        photos=photos,
        shapes=shapes,
        tolerance=tolerance,
        values=values,
        void=void,
        label=label,
        photo_url=photo_url,
        per_shard=per_shard,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
