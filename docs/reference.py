"""The reference of commands and of the Python API, written from the code itself when the site is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import typer

import segdata
from segdata.cli.main import app

_TITLES = {
    "ops": "Steps",
    "quality": "Quality",
    "models": "Models",
    "report": "Looking and reporting",
    "engine": "Engines",
    "cluster": "Engines",
    "errors": "Errors",
    "masks": "Masks and pixels",
    "pixels": "Masks and pixels",
    "dataset": "Data sets",
    "sample": "Data sets",
    "journal": "Data sets",
    "domains": "Steps",
    "recipe": "Steps",
}
_ABOUT = {
    "Steps": "What a command does, one call does.",
    "Quality": "Scores, findings, duplicates, statistics.",
    "Models": "Networks: training, export, inference.",
    "Looking and reporting": "Sheets, reports, review.",
    "Engines": "Where the work is done.",
    "Errors": "What is raised. Each has a `message` and a `hint`.",
    "Masks and pixels": "Arrays from and to files, run lengths, polygons.",
    "Data sets": "A folder, its rows, and what a step says of itself.",
}


def write_reference(folder: Path) -> None:
    """Write a page for each command and for each part of the API; pages of what is gone are removed."""
    pages = {f"commands/{name}": text for name, text in command_pages()} | dict(api_pages())
    written = {folder / name for name in pages}
    for path in folder.rglob("*.*"):
        if path not in written:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # else Sphinx would read it again
            path.write_text(text, encoding="utf-8")


def command_pages() -> Iterator[tuple[str, str]]:
    """Give the name and Markdown of the page of each command, and of the list of them."""
    group = typer.main.get_command(app)
    rows = []
    for name, command in sorted(group.commands.items()):
        rows.append(f"| [segdata {name}]({name}.md) | {_escaped(command.get_short_help_str(200))} |")
        yield f"{name}.md", "\n".join(_command_lines(f"segdata {name}", command))
    yield (
        "index.md",
        "\n".join(
            [
                "# Commands",
                "",
                "Every command has `--help`, which says what is here. Exit status: 0 done, 1 done with findings or "
                "failed samples, 2 wrong use, 130 interrupted.",
                "",
                "| command | what it does |",
                "|---|---|",
                *rows,
                "",
                "Options before the command:",
                "",
                *_options(group, "segdata"),
                "```{toctree}",
                ":hidden:",
                "",
                *sorted(group.commands),
                "```",
                "",
            ]
        ),
    )


def _command_lines(name: str, command: typer.core.TyperCommand, level: int = 1) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    yield ""
    context = typer.Context(command, info_name=name)
    yield from ("```text", f"{name} {' '.join(command.collect_usage_pieces(context))}", "```", "")
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    yield _escaped(text)
    yield ""
    if examples:
        _, _, lines = examples.partition("\n")
        yield from ("```sh", inspect.cleandoc(lines), "```", "")
    yield from _options(command, name)
    for part, each in sorted(getattr(command, "commands", {}).items()):
        yield from _command_lines(f"{name} {part}", each, level + 1)


def _options(command: typer.core.TyperCommand, name: str) -> Iterator[str]:
    context = typer.Context(command, info_name=name)
    yield "| argument or option | what |"
    yield "|---|---|"
    for parameter in command.get_params(context):
        declared, text = parameter.get_help_record(context) or ("", "")
        yield f"| `{declared.replace('|', chr(92) + '|')}` | {_escaped(text)} |"
    yield ""


def _escaped(text: str) -> str:
    """Write plain text so that Markdown leaves it as it is."""
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text)


def api_pages() -> Iterator[tuple[str, str]]:
    """Give the path and text of the page of each part of the public API, and of the list of them."""
    parts: dict[str, list[str]] = {title: [] for title in _ABOUT}
    for name in segdata.__all__:
        home = getattr(segdata, name).__module__.split(".")
        parts[_TITLES[home[1]]].append(name)
    index = [
        "# Python API",
        "",
        "`import segdata` has all of it. What a command does, a function of the same name does and returns.",
        "",
        "| part | names |",
        "|---|---|",
    ]
    stems = []
    for title, names in parts.items():
        stem = title.lower().replace(" ", "-")
        stems.append(stem)
        listed = ", ".join(f"{{py:obj}}`~segdata.{name}`" for name in sorted(names, key=str.lower))
        index.append(f"| [{title}]({stem}.rst) | {listed} |")
        yield f"api/{stem}.rst", "\n".join(_api_lines(title, names))
    yield "api/index.md", "\n".join([*index, "", "```{toctree}", ":hidden:", "", *stems, "```", ""])


def _api_lines(title: str, names: list[str]) -> Iterator[str]:
    yield from (title, "=" * len(title), "", _ABOUT[title], "", ".. currentmodule:: segdata", "")
    for name in sorted(names, key=lambda name: (name[0].isupper(), name)):
        kind = "autoclass" if inspect.isclass(getattr(segdata, name)) else "autofunction"
        yield f".. {kind}:: {name}"
        yield from (("   :members:", "") if kind == "autoclass" else ("",))


def fields_of(lines: list[str]) -> None:
    """Turn the sections of a docstring (Parameters, Returns, Raises) into Sphinx's fields, in place."""
    text = re.sub(r"^Examples\n-{3,}\n", "", "\n".join(lines), flags=re.MULTILINE)
    pieces = re.split(r"^(Parameters|Attributes|Returns|Yields|Raises)\n-{3,}\n", text, flags=re.MULTILINE)
    found = [pieces[0].rstrip()]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        # A section ends where a paragraph begins that is neither indented nor an entry: examples, as a rule.
        section, rest = [*re.split(r"\n\n(?=>>>|\w)", body, maxsplit=1), ""][:2]
        found.append("\n".join(_fields(title, inspect.cleandoc(section))))
        found.append(rest.rstrip())
    lines[:] = [*"\n\n".join(piece for piece in found if piece).splitlines(), ""]


def _fields(title: str, body: str) -> Iterator[str]:
    if title in {"Returns", "Yields"}:
        yield f":{title.lower()}: " + " ".join(body.split())
        return
    for entry in re.split(r"\n(?=\S)", body):
        if title == "Raises":
            name, _, text = entry.partition("\n")
            yield f":raises {name.strip()}: {' '.join(text.split())}"
        else:
            name, _, text = entry.partition(" : ")
            kind = "ivar" if title == "Attributes" else "param"
            yield f":{kind} {name.strip()}: {' '.join(text.split())}"
