"""Options and arguments that several commands share, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DatasetArgument: TypeAlias = Annotated[Path, typer.Argument(help="A folder with metadata.jsonl.")]
Out: TypeAlias = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write, made if needed.")]
Workers: TypeAlias = Annotated[
    int | None, typer.Option("--workers", "-w", min=1, help="Processes to run.", show_default="one a core")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object with the result on stdout.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn at random.")]
Void: TypeAlias = Annotated[
    int | None, typer.Option("--void", metavar="VALUE", help="Value of mask pixels to ignore, such as 255.")
]
