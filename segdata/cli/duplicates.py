"""segdata duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.ops.duplicates import Duplicates

_SHOWN = 20


def duplicates(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    scenes: Annotated[
        bool, typer.Option("--scenes/--no-scenes", help="Also the same scene shot again, or copies alone.")
    ] = True,
    write: Annotated[
        bool, typer.Option("--write", help="Put the column duplicate_group into the data set, in place.")
    ] = False,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Find photos that are there twice.

    Edited copies are found too, and groups that leak between splits.

    Equal files, equal pixels, copies that were cropped, mirrored, scaled, compressed or changed in colour, and the
    same scene shot again. Ends with status 1 if a photo cannot be read or, unless --write is given, if a group is in
    more than one split.

    \b
    Examples:
      segdata duplicates data
      segdata duplicates data --write
      segdata duplicates photos --no-scenes --json
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.ops.duplicates import duplicates as twin

    progress = TerminalProgress()
    try:
        result = twin(data, scenes=scenes, write=write, engine=engine_of(engine, workers, scheduler), progress=progress)
    finally:
        progress.close()
    if as_json:
        print_json(result)
    else:
        show_duplicates(result)
    for failure in result.failures[:_SHOWN]:
        echo(f"failed: {failure}", err=True)
    if len(result.failures) > _SHOWN:
        echo(f"... and {len(result.failures) - _SHOWN:,} more", err=True)
    leaks = result.leaks if result.column is None else 0  # written down, so that split can mend them
    raise typer.Exit(1 if leaks or result.failures else 0)


def show_duplicates(result: Duplicates) -> None:
    """Print the groups, those that leak first, and what ties them together."""
    from segdata.cli.output import show_table

    ties: dict[str, set[str]] = {}
    owner = {key: group.name for group in result.groups for key in group.keys}
    for pair in result.pairs:
        ties.setdefault(owner[pair.a], set()).add(f"{pair.relation}{', mirrored' if pair.mirrored else ''}")
    if result.groups:
        show_table(
            ("group", "photos", "relation", "splits", "keys"),
            [
                (
                    group.name,
                    f"{len(group.keys):,}",
                    "; ".join(sorted(ties.get(group.name, ()))),
                    ("LEAKS: " if group.leaks else "")
                    + ", ".join(f"{name} {count:,}" for name, count in group.splits.items()),
                    " ".join(group.keys[:6]) + (" ..." if len(group.keys) > 6 else ""),
                )
                for group in result.groups[:_SHOWN]
            ],
        )
    if len(result.groups) > _SHOWN:
        echo(f"... and {len(result.groups) - _SHOWN:,} groups more; --json lists all of them")
    pairs = ", ".join(f"{name} {count:,}" for name, count in result.relations.items())
    grouped = sum(len(group.keys) for group in result.groups)
    echo(
        f"duplicates: {grouped:,} of {result.photos:,} photos in {len(result.groups):,} groups"
        + (f" (pairs: {pairs})" if pairs else "")
        + f", {result.leaks:,} of them in more than one split -> {result.data}"
    )
    if result.column is not None:
        echo(f"column {result.column} written: segdata split {result.data} --group-by {result.column}")
    elif result.leaks:
        echo("--write, then segdata split --group-by duplicate_group, keeps each group in one split")
