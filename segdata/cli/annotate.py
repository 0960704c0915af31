"""segdata annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segdata.cli.options import Json, Out, Workers
from segdata.models.base import Who


def annotate(
    data: Annotated[Path, typer.Argument(metavar="IMAGES|DATASET", help="A folder of photos, or a data set.")],
    out: Out,
    model: Annotated[
        str,
        typer.Option(metavar="NAME|FILE|RUN", help="bundled, mediapipe-selfie, mediapipe-pose, a FILE.onnx or a RUN."),
    ] = "bundled",
    who: Annotated[
        Who | None,
        typer.Option(help="Everyone in a photo, or its dominant person alone.", show_default="the model's"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="T", help="Probability from which on a pixel is a person's.", show_default="the model's"),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write 16-bit probability maps, to probabilities/.")
    ] = False,
    copy_photos: Annotated[
        bool, typer.Option("--copy-photos", help="Also copy the photos, to images/, for a data set to train on.")
    ] = False,
    refine: Annotated[
        bool, typer.Option("--refine", help="Look at persons who are small a second time, closer.")
    ] = False,
    flips: Annotated[bool, typer.Option("--flips", help="Average over each photo and its mirror image.")] = False,
    tiles: Annotated[
        bool, typer.Option("--tiles/--no-tiles", help="Look at contours in very large photos again, closer.")
    ] = True,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Photos given to the model together; for GPUs.")] = 1,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Give photos a first mask of their persons.

    Writes a data set: masks/ and metadata.jsonl, where confidence and uncertainty tell which masks a person should look
    at first. Works offline with the model that comes with segdata. Run it again to go on after an interruption, or to
    do what has changed.

    \b
    Examples:
      segdata annotate photos --out preds
      segdata annotate photos --out preds --who dominant --refine --flips
      segdata annotate data --out preds --model finetuned.onnx --probabilities
    """
    from segdata.cli.run import run_command
    from segdata.ops.annotate import annotate as twin

    run_command(
        twin,
        data,
        out=out,
        model=model,
        who=who,
        threshold=threshold,
        probabilities=probabilities,
        copy_photos=copy_photos,
        flips=flips,
        refine=refine,
        tiles=tiles,
        batch=batch,
        workers=workers,
        as_json=as_json,
    )
