"""What a report is made of, and the file that it becomes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from segdata.errors import InputError
from segdata.files import write_file

MADE_BY = "segdata report"
_HERE = Path(__file__).parent
_HEAD = 2000  # bytes in which a report says what it is


class Chart(NamedTuple):
    """A drawing, an <svg> element, and what it says in words: for people who do not see it, and below it.

    `name` is that of the caption in the page, by which the drawing is labelled.
    """

    svg: str
    caption: str
    name: str = ""


class Table(NamedTuple):
    """Rows of text; the first column names the row. `rest` says how many rows more there are."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    rest: int = 0

    def numeric(self, column: int) -> bool:
        """Tell whether a column holds numbers, which stand to the right.

        >>> table = Table("", ("name", "IoU"), [("a", "93.1"), ("b", "± 2 %")])
        >>> table.numeric(0), table.numeric(1)
        (False, True)
        """
        return column > 0 and all(re.fullmatch(r"[-+±\d.,% to()]*", row[column]) for row in self.rows)


class Picture(NamedTuple):
    """A picture of a sample: what it shows, its WebP file, and its width and height in pixels."""

    name: str
    webp: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The picture as an address that holds all of it."""
        return f"data:image/webp;base64,{base64.b64encode(self.webp).decode()}"


class Card(NamedTuple):
    """A sample: its key, what is to be said of it, its pictures, and why there are none where there are none."""

    key: str
    facts: str
    pictures: tuple[Picture, ...] = ()
    problems: tuple[str, ...] = ()


class Gallery(NamedTuple):
    """Samples under a heading; the legend gives colours, (red, green, blue), and what they mean."""

    title: str
    text: str
    cards: list[Card]
    legend: tuple[tuple[tuple[int, int, int], str], ...] = ()


class Section(NamedTuple):
    """A part of the page."""

    title: str
    text: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    galleries: tuple[Gallery, ...] = ()

    @property
    def anchor(self) -> str:
        """The name by which links reach it.

        >>> Section("By domain and split").anchor
        'by-domain-and-split'
        """
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


class Page(NamedTuple):
    """A report."""

    title: str
    text: str
    sections: list[Section]


def require_jinja() -> None:
    """Raise `InputError` where the template engine is not installed."""
    try:
        import jinja2  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise InputError("reports need jinja2, which is not installed", "pip install 'segdata[report]'") from error


def check_place(path: Path) -> None:
    """Raise `InputError` where a report must not be written: of files that are there, only reports are replaced."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path} is no name for a report", "give one that ends with .html")
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder", "give the name of a file")
        if path.exists() and MADE_BY.encode() not in path.read_bytes()[:_HEAD]:
            raise InputError(f"{path} is something else than a report", "choose another name for --out")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror})", "choose another name for --out") from error


def write_page(page: Page, path: Path) -> int:
    """Write a report, and give its size in bytes. Raises `StorageError` when the place takes no more."""
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415

    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = template.get_template("page.html").render(
        page=page,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
        made_by=MADE_BY,
        version=version("segdata"),
    )
    data = text.encode(errors="replace")
    write_file(path, data)
    return len(data)
