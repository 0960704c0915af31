"""segdata engine check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import Json, Scheduler
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.cluster import ClusterCheck

_SHOWN = 20
_DIGITS = 12

engine = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@engine.callback()
def _engine() -> None:
    """Check a cluster before it is given work."""


@engine.command()
def check(
    scheduler: Scheduler = None,
    path: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="A folder that the workers share; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether the workers of a Dask cluster have what this machine has.

    Compares versions, models and, with --path, folders: a small file is written there, and looked for by the workers.
    Ends with status 1 if something differs, for then outputs may differ too.

    \b
    Examples:
      segdata engine check --scheduler tcp://host:8786
      segdata engine check --scheduler tcp://host:8786 --path data --path photos --json
    """
    from segdata.cli.engines import address_of
    from segdata.cli.output import print_json
    from segdata.cluster import check_cluster

    found = check_cluster(address_of(scheduler), path or ())
    if as_json:
        print_json(found)
    else:
        _show(found)
    for difference in found.differences[:_SHOWN]:
        echo(f"differs: {difference}", err=True)
    if len(found.differences) > _SHOWN:
        echo(f"... and {len(found.differences) - _SHOWN:,} more", err=True)
    raise typer.Exit(1 if found.differences else 0)


def _show(found: ClusterCheck) -> None:
    from segdata.cli.output import show_table

    rows: list[tuple[str, ...]] = []
    for fact, ours in found.here.facts.items():
        at_scheduler = _short(found.at_scheduler.facts[fact]) if fact in found.at_scheduler.facts else ""
        theirs = [_short(worker.facts[fact]) for worker in found.workers if not worker.error]
        counts = {value: theirs.count(value) for value in sorted(set(theirs))}
        workers = ", ".join(value if len(counts) == 1 else f"{value} ({count:,})" for value, count in counts.items())
        rows.append((fact, _short(ours), at_scheduler, workers))
    echo(f"{found.scheduler}: {len(found.workers):,} workers")
    show_table(("", "here", "scheduler", "workers"), rows)


def _short(value: str | None) -> str:
    """Give a value as a table has room for it: of a sum the first digits."""
    if value is None:
        return "none"
    return value[:_DIGITS] if len(value) == 64 else value
