"""segdata split."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import DatasetArgument, Json, Seed


def split(
    data: DatasetArgument,
    ratios: Annotated[str, typer.Option(metavar="A/B/C", help="Shares of train, val and test.")] = "60/20/20",
    seed: Seed = 0,
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Samples that share a value stay in one split.")
    ] = None,
    stratify: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Spread the samples of each value over the splits.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave samples that have a split where they are.")] = False,
    lists: Annotated[
        bool, typer.Option("--lists", help="Write train.txt, val.txt and test.txt, a key a line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Deal samples to train, val and test.

    Writes the column split of metadata.jsonl. The same samples, seed and options give the same splits on any machine.

    \b
    Examples:
      segdata split data
      segdata split data --ratios 80/20 --stratify domain --group-by person --lists
    """
    from segdata.cli.results import end_with
    from segdata.ops.split import parse_ratios
    from segdata.ops.split import split as twin

    report = twin(
        data, ratios=parse_ratios(ratios), seed=seed, group_by=group_by, stratify=stratify, keep=keep, lists=lists
    )
    end_with(report, as_json=as_json)
