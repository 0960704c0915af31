"""segdata models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import Json
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.models.catalogue import Catalogue

_MEGABYTE = 1e6


def models(
    check: Annotated[bool, typer.Option("--check", help="Compare the SHA-256 of files with the known ones.")] = False,
    fetch: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Download this model's file first; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models, whether they work here, and how to get them.

    Nothing is downloaded unless --fetch asks for it. Files go to ~/.cache/segdata/models, or to the folder that
    SEGDATA_MODELS names, and are kept only if they are the known ones. With --check the status is 1 where a file is
    damaged.

    \b
    Examples:
      segdata models
      segdata models --check
      segdata models --fetch mediapipe-selfie
    """
    from segdata.cli.output import print_json
    from segdata.models import catalogue

    for name in fetch or ():
        echo(f"fetched {catalogue.fetch(name)}", err=True)
    found = catalogue.models(check=check)
    if as_json:
        print_json(found)
    else:
        _show(found)
    raise typer.Exit(1 if found.damaged else 0)


def _show(found: Catalogue) -> None:
    from segdata.cli.output import show_table

    rows: list[tuple[str, ...]] = [
        (
            model.name,
            model.gives,
            "yes" if model.works else "no",
            f"{sum(file.bytes or 0 for file in model.files) / _MEGABYTE:.2f}",
            " ".join(sorted({file.state for file in model.files})),
            model.licence,
        )
        for model in found.models
    ]
    show_table(("model", "gives", "works here", "MB", "files", "licence"), rows)
    for model in found.models:
        if model.how:
            echo(f"to get {model.name}: {model.how}")
    for path in found.damaged:
        echo(f"damaged: {path}", err=True)
