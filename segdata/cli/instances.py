"""segdata instances."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from segdata.cli.options import DatasetArgument, Json, Void, Workers


def instances(
    data: DatasetArgument,
    boxes: Annotated[
        Literal["annotations", "pose", "mask"],
        typer.Option(
            help="Where the persons are in a photo of which none is annotated: nowhere, detected, or each region."
        ),
    ] = "mask",
    void: Void = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Tell the persons of semantic masks apart.

    Each person who has a box or keypoints and no outline gets a share of the mask: persons get rle in place, and the
    data set instances/ and the column instances_file_name. Poses are found by a detector: pip install
    'segdata[detect]'.

    \b
    Examples:
      segdata instances data
      segdata instances data --boxes annotations --void 255
    """
    from segdata.cli.run import run_command
    from segdata.ops.instances import instances as twin

    run_command(twin, data, boxes=boxes, void=void, workers=workers, as_json=as_json)
