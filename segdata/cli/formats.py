"""segdata formats."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import Json
from segdata.cli.terminal import echo


def formats(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the manual.")] = False,
    as_json: Json = False,
) -> None:
    """List the formats: what each reads, writes and loses.

    \b
    Examples:
      segdata formats
      segdata formats --json
    """
    from segdata.cli.output import print_json
    from segdata.formats.registry import describe_formats, formats_as_markdown

    if as_json:
        print_json({"formats": describe_formats()})
    elif markdown:
        echo(formats_as_markdown(), nl=False)
    else:
        for each in describe_formats():
            echo(f"{each.name}: {each.about}")
            for title, text in (("reads", each.reads), ("writes", each.writes), ("loses", each.loses)):
                echo(f"  {title:<7}{text}")
