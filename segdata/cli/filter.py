"""segdata filter."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import DatasetArgument, EngineOption, Json, Out, Scheduler, Shards, Workers
from segdata.licences import LicenceUse


def filter(  # noqa: A001 - the command's name
    data: DatasetArgument,
    out: Out,
    where: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Which samples to keep, such as \"split == 'val'\".")
    ] = None,
    licence: Annotated[
        LicenceUse | None, typer.Option(help="Keep the photos whose licence allows this; unknown ones are left out.")
    ] = None,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Keep the samples that fit, as a new data set.

    EXPR is written as in Python: and, or, not, == != < <= > >=, in, + - * / %, "texts", numbers, [lists]. Names are the
    columns of metadata.jsonl, members of objects as review.decision, and persons, crowds, keypoints (of the person
    with the most), score (the lowest of a person), aspect, person_share, licence_code. lower(), startswith(),
    endswith() and len() are known. Photos and labels are copied.

    \b
    Examples:
      segdata filter data --where 'split == "val" and width >= 640' --out wide
      segdata filter data --where 'persons == 1 and domain in ["half body", "whole body"]' --out singles
      segdata filter preds --where 'confidence < 0.9 or person_share == 0' --out doubtful
      segdata filter data --licence commercial --out sellable
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.filter import filter as twin

    run_command(
        twin,
        data,
        out=out,
        where=where,
        licence=licence,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
