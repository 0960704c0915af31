"""segdata edges."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import EdgeKind
from segdata.cli.options import EngineOption, Json, Scheduler, Shards, Void, Workers


def edges(
    data: Annotated[str, typer.Argument(metavar="DATASET|MASKS", help="A data set, or a plain folder of masks.")],
    kind: Annotated[
        EdgeKind, typer.Option(help="Which border pixels; sobel: where the Sobel gradient is not 0.")
    ] = "inner",
    width: Annotated[int, typer.Option(min=1, metavar="PIXELS", help="Width of inner, outer and thick edges.")] = 1,
    void: Void = None,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="DIR", help="For a plain folder: where to.")] = None,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make edge labels from masks.

    A data set gets edges/ and the column edge_file_name in place; the edges of a plain folder go to --out.

    \b
    Examples:
      segdata edges data --kind thick --width 4
      segdata edges masks --kind sobel --out edges
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.edges import edges as twin

    run_command(
        twin,
        data,
        kind=kind,
        width=width,
        void=void,
        out=out,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
