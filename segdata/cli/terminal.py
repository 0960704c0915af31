"""What is written to the terminal, where names and comments of strangers must stay text."""

from __future__ import annotations

import unicodedata
from typing import Any

import typer

_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def echo(text: object = "", **options: Any) -> None:
    """Print as `typer.echo` does, with control characters made visible."""
    typer.echo(visible(str(text)), **options)


def visible(text: str) -> str:
    r"""Write control characters but newlines and tabs as escapes: a terminal would obey them.

    They could hide or forge lines, set the clipboard, or, as marks of direction, turn a name round.

    >>> visible("a\x1b]0;title\x07b\nc"), visible("gpj.\u202eexe")
    ('a\\x1b]0;title\\x07b\nc', 'gpj.\\u202eexe')
    """
    if text.isprintable():
        return text
    return "".join(repr(each)[1:-1] if each not in "\n\t" and _is_obeyed(each) else each for each in text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or unicodedata.bidirectional(character) in _DIRECTIONS
