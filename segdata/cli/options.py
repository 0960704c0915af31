"""Options and arguments that several commands share, each stated once."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

DatasetArgument: TypeAlias = Annotated[str, typer.Argument(metavar="DATASET", help="A folder with metadata.jsonl.")]
Out: TypeAlias = Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder to write, made if needed.")]
Workers: TypeAlias = Annotated[
    int | None, typer.Option("--workers", "-w", min=1, help="Processes to run.", show_default="one a core")
]
Shards: TypeAlias = Annotated[
    int | None,
    typer.Option("--shards", min=1, metavar="N", help="Put the files in N WebDataset archives, not one by one."),
]
EngineName: TypeAlias = Literal["inline", "processes", "dask"]
EngineOption: TypeAlias = Annotated[
    EngineName, typer.Option("--engine", help="Where the work is done: here, in processes, or on a Dask cluster.")
]
Scheduler: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help="Of a Dask cluster, such as tcp://host:8786; or set SEGDATA_SCHEDULER."
    ),
]
Memory: TypeAlias = Annotated[
    str,
    typer.Option(
        "--memory",
        metavar="AMOUNT",
        help="The most that this process takes for a COCO file of any size; what is beyond goes to temporary files.",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object with the result on stdout.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn at random.")]
Void: TypeAlias = Annotated[
    int | None, typer.Option("--void", metavar="VALUE", help="Value of mask pixels to ignore, such as 255.")
]
