"""The manual page, made of the same words as `--help`.

`python -m segdata.cli.man_page > docs/segdata.1` writes it anew; the wheel puts it where `man segdata` finds it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

_STATUS = (
    ("0", "Done."),
    ("1", "Done, with samples that failed or findings."),
    ("2", "Wrong use: nothing was done."),
    ("130", "Interrupted; the same command goes on where it was."),
)
_SEE = "segdata doctor tells what works on this machine. segdata COMMAND --help shows what is said here of one command."


def man_page(app: typer.Typer) -> str:
    """Give the manual page of a command line with sub-commands, in troff's man macros."""
    group: Any = typer.main.get_command(app)  # typer's own copy of click has no public names
    context = group.make_context("segdata", [], resilient_parsing=True)
    title, *rest = _paragraphs(group.help)
    lines = [
        '.TH SEGDATA 1 "" "segdata" "User Commands"',
        ".SH NAME",
        f"segdata \\- {_text(title[0].lower() + title[1:-1])}",
    ]
    lines += [".SH SYNOPSIS", ".B segdata", _text("[OPTIONS] COMMAND [ARGUMENTS]"), ".SH DESCRIPTION", *_body(rest)]
    lines += [".SH OPTIONS", *_options(group, context), ".SH COMMANDS"]
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            for inner, each in command.commands.items():
                lines += _command(f"segdata {name} {inner}", each, context)
        else:
            lines += _command(f"segdata {name}", command, context)
    lines.append(".SH EXIT STATUS")
    for status, meaning in _STATUS:
        lines += [".TP", f".B {status}", _text(meaning)]
    return "\n".join([*lines, ".SH SEE ALSO", _text(_SEE), ""])


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield f".SS {_text(name)}"
    yield f".B {_text(name)}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".PP"
    yield from _body(_paragraphs(command.help))
    yield from _options(command, context)


def _paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text))


def _body(paragraphs: list[str]) -> Iterator[str]:
    """Give paragraphs; those that begin with click's mark keep their lines."""
    for paragraph in paragraphs:
        if paragraph.startswith("\b\n"):
            yield ".PP"
            yield ".nf"
            yield from map(_text, paragraph.removeprefix("\b\n").splitlines())
            yield ".fi"
        else:
            yield ".PP"
            yield _text(" ".join(paragraph.split()))


def _options(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield f".B {_text(record[0])}"
            yield _text(" ".join(record[1].split()))


def _text(line: str) -> str:
    r"""Escape what troff would take for its own.

    >>> _text(".a\\b --width")
    '\\&.a\\eb \\-\\-width'
    """
    escaped = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    from segdata.cli.main import app

    sys.stdout.write(man_page(app))
