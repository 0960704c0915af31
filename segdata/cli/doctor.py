"""segdata doctor."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import Json
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.ops.doctor import Check, Diagnosis


def doctor(
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="EXTRA", help="Look at these extras alone, and insist on them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what works on this machine, and how to get the rest.

    Imports every package of the core and of the extras, tries some of them out, and looks for model files, a
    temporary folder, memory, a browser and a GPU. Changes nothing and fetches nothing. Ends with status 1 if the core
    does not work, or an extra that is named.

    \b
    Examples:
      segdata doctor
      segdata doctor detect review
      segdata doctor --json
    """
    # Neither rich nor msgspec: either may be what is broken.
    import json
    from dataclasses import asdict

    from segdata.ops.doctor import doctor as twin

    found = twin(parts or ())
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _show(found)
    raise typer.Exit(0 if found.works else 1)


def _show(found: Diagnosis) -> None:
    rows = [(check.name, check.found or "-", check.state, check.use) for check in found.checks]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    part = ""
    for check, row in zip(found.checks, rows, strict=True):
        if check.part != part:
            part = check.part
            echo(f"\n{part}")
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        echo(f"  {'  '.join(cells)}  {row[3]}")
    remedies: dict[tuple[str, str], list[Check]] = defaultdict(list)
    for check in found.checks:
        if check.state != "works":
            remedies[check.problem, check.remedy].append(check)
    echo()
    for (problem, remedy), checks in remedies.items():
        echo(f"{', '.join(check.name for check in checks)}: {problem}; {remedy}")
