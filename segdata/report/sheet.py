"""A contact sheet: photos of a data set with their labels drawn in, for a quick look and for a README."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, PngImagePlugin

from segdata.dataset import METADATA, Row, RowIndex, find_images, open_rows
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SegdataError
from segdata.files import put_in_place, read_file
from segdata.ops.expression import value_of
from segdata.pixels import check_photo
from segdata.report.choose import Chosen, choose
from segdata.report.lettering import font, plain, shortened, width_of
from segdata.report.overlays import Image
from segdata.report.picture import NEED_PREDICTION, Picture, Show, draw_sample, legend, photo_path
from segdata.sample import path_of
from segdata.steps import Progress
from segdata.storage import as_path

STEP = "view"
MADE_BY = "segdata view"
MOST = 1000
_SUFFIXES = (".png", ".jpg", ".jpeg")
_NARROWEST_SHAPE, _WIDEST_SHAPE = 0.45, 2.4
_PAPER, _INK, _PALE, _ALARM, _GROUND = (255, 255, 255), (25, 25, 25), (110, 110, 110), (190, 30, 30), (236, 236, 236)


class Sheet(msgspec.Struct, frozen=True):
    """A sheet that was written: its file and size in pixels, and the keys of the samples on it, in their order.

    `samples` says how many the data set has, `fitting` how many of them `where` chose. `problems` holds a sentence
    for each sample that could not be drawn as asked, by key.
    """

    data: str
    sheet: str
    width: int
    height: int
    samples: int
    fitting: int
    keys: list[str]
    problems: dict[str, str]


def view(
    data: str | Path,
    *,
    sheet: str | Path,
    show: Sequence[Show] = ("mask", "outline"),
    where: str | None = None,
    sort: str | None = None,
    seed: int | None = None,
    count: int = 24,
    columns: int = 6,
    width: int = 1800,
    preds: str | Path | None = None,
    images: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Write a contact sheet of a data set.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    sheet : the picture to write, .png or .jpg. Of files that are there already, only such a sheet is replaced.
    show : what is drawn into the photos, see `segdata.report.picture.SHOWN`.
    where : an `Expression` that chooses samples.
    sort : the column (or name that `Expression` knows) by which the samples come, the lowest first; with ``-`` before
        it the highest. Samples without a value come last. Without it they come in their order in the data set.
    seed : draws samples at random instead.
    count, columns : how many photos at most, and how many beside each other.
    width : of the sheet, in pixels.
    preds : masks of a model, a data set or a folder, for ``difference`` and ``errors``.
    images : folder of the photos, for a data set without them, such as `annotate` writes.

    Raises
    ------
    InputError
        For what is no data set, a name or place that cannot be, when no sample fits, and as `Expression`.
    StorageError
        When the place takes no more.
    """
    place = as_path(sheet)
    if place.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{place} is no name for a sheet", "give one that ends with .png or .jpg")
    if place.exists() and not is_sheet(place):
        raise InputError(f"{place} is something else than a sheet", "choose another name for --sheet")
    for name, value, least, most in (
        ("count", count, 1, MOST),
        ("columns", columns, 1, 50),
        ("width", width, 200, 20_000),
    ):
        if not least <= value <= most:
            raise InputError(f"--{name} {value} cannot be", f"give {least} to {most:,}")
    compared = " and ".join(kind for kind in show if kind in NEED_PREDICTION)
    if compared and preds is None:
        raise InputError(f"{compared} compare the masks with predictions", "give --preds")
    if preds is not None and not compared:
        raise InputError("predictions are drawn as difference or errors alone", "say --show difference")
    if sort is not None and seed is not None:
        raise InputError("samples are sorted or drawn at random, not both", "leave --sort or --seed away")
    root, rows = open_rows(data, "file_name")
    chosen = choose(rows, where, sort, seed, count)
    if not chosen.rows:
        raise InputError(f"no sample of {root} fits {where!r}", "try a wider --where")
    folder = None if images is None else as_path(images)
    layout = _Layout([_shape(root, row, folder) for row in chosen.rows], columns, width)
    tasks = [
        _Task(row, box, path)
        for row, box, path in zip(chosen.rows, layout.boxes, _predictions(preds, chosen.rows), strict=True)
    ]
    engine = engine or Inline()
    if progress is not None:
        progress.begin(STEP, len(tasks))
    pictures = []
    with closing(engine.map(partial(_draw, root, folder, tuple(show)), tasks)) as results:
        for task, result in zip(tasks, results, strict=True):
            lost = Picture(_blank(task.box), ("its worker process ended each time (out of memory?)",))
            pictures.append(lost if isinstance(result, Lost) else result)
            if progress is not None:
                progress.advance()
    page = _Page(layout, show, _heading(root, chosen, where, sort), partial(_facts, sort=sort))
    pixels = page.drawn(chosen.rows, pictures)
    with put_in_place(place) as part:
        part.write_bytes(_encoded(pixels, place.suffix.lower()))
    problems = zip(chosen.rows, pictures, strict=True)
    return Sheet(
        data=str(data),
        sheet=str(place),
        width=pixels.width,
        height=pixels.height,
        samples=chosen.samples,
        fitting=chosen.fitting,
        keys=[row["key"] for row in chosen.rows],
        problems={row["key"]: "; ".join(each.problems) for row, each in problems if each.problems},
    )


def is_sheet(path: Path) -> bool:
    """Tell whether a file is a sheet that `view` wrote."""
    with (
        suppress(Exception),
        PillowImage.open(io.BytesIO(read_file(path))) as image,
    ):  # whatever a decoder raises, it is none
        comment = image.info.get("comment", b"")
        return MADE_BY in (image.info.get("Software"), comment.decode() if isinstance(comment, bytes) else comment)
    return False


class _Task(NamedTuple):
    row: Row
    box: tuple[int, int]
    prediction: Path | None


def _predictions(preds: str | Path | None, rows: list[Row]) -> list[Path | None]:
    """Find the masks of the rows among the predictions."""
    if preds is None:
        return [None] * len(rows)
    root = as_path(preds)
    if not (root / METADATA).is_file():
        images = find_images(root)
        return [images.get(row["key"]) for row in rows]
    found: list[Path | None] = []
    with closing(RowIndex(root / METADATA)) as index:
        for row in rows:
            line = index.find(row["key"])
            name = None if line is None else msgspec.json.decode(line[1]).get("mask_file_name")
            found.append(root / path_of(name) if isinstance(name, str) and name else None)
    return found


def _draw(root: Path, images: Path | None, show: tuple[Show, ...], task: _Task) -> Picture:
    """Draw one photo; one that cannot be read becomes a grey field that says why."""
    try:
        return draw_sample(root, task.row, show, box=task.box, prediction=task.prediction, images=images)
    except SegdataError as error:
        return Picture(_blank(task.box), (str(error),))


def _blank(box: tuple[int, int]) -> Image:
    return np.full((box[1], box[0], 3), _GROUND, np.uint8)


class _Layout:
    """Rows of `columns` photos each, every row as high as makes it as wide as the sheet."""

    def __init__(self, shapes: list[float], columns: int, width: int) -> None:
        self.width = width
        self.letters = min(max(round(width / 110), 10), max(9, round(width / columns / 14)))
        self.gap = max(4, round(width / 150))
        self.margin = 2 * self.gap
        room = width - 2 * self.margin
        columns = min(columns, len(shapes))
        lines = [shapes[start : start + columns] for start in range(0, len(shapes), columns)]
        heights = [(room - self.gap * (len(line) - 1)) / sum(line) for line in lines]
        usual = statistics.median(heights[: len(lines) - (len(lines[-1]) < columns)] or heights)
        # A last row of few photos, or a sheet of very few, is not blown up to the sheet's width.
        heights = [max(16, min(height, 1.6 * usual, 0.6 * width)) for height in heights]
        if len(lines[-1]) < columns:
            heights[-1] = max(16, min(heights[-1], usual))
        self.lines = [
            [(max(8, int(shape * height)), int(height)) for shape in line]
            for line, height in zip(lines, heights, strict=True)
        ]
        self.boxes = [box for line in self.lines for box in line]


def _shape(root: Path, row: Row, images: Path | None) -> float:
    """Give width / height as the row states it, or else the photo; where it is wrong or extreme, there is a margin."""
    aspect = value_of({"width": row.get("width"), "height": row.get("height")}, "aspect")
    if aspect is None:
        with suppress(SegdataError):
            path = photo_path(root, row, images)
            facts = check_photo(read_file(path), str(path))
            aspect = facts.width / facts.height
    return float(min(max(aspect or 1.0, _NARROWEST_SHAPE), _WIDEST_SHAPE))


def _facts(row: Row, *, sort: str | None) -> str:
    """Say a little about a sample: what it was sorted by, its domain, its split."""
    facts = []
    if sort is not None:
        name = sort.removeprefix("-")
        value = value_of(row, name)
        facts.append(f"{name} {_shown(value)}")
    facts += [str(row[name]) for name in ("domain", "split") if row.get(name) and name not in (sort or "")]
    return ", ".join(facts)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, list):
        return str(len(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _heading(root: Path, chosen: Chosen, where: str | None, sort: str | None) -> str:
    name = root.resolve().name or str(root)
    counts = f"{len(chosen.rows):,} of {chosen.samples:,} samples"
    if where is not None:
        counts = f"{len(chosen.rows):,} of {chosen.fitting:,} samples with {' '.join(where.split())}"
    order = ""
    if sort is not None:
        order = f", by {sort.removeprefix('-')}, {'highest' if sort.startswith('-') else 'lowest'} first"
    return f"{name}: {counts}{order}"


class _Page:
    """Photos and text on paper."""

    def __init__(self, layout: _Layout, show: Sequence[Show], heading: str, facts: Callable[[Row], str]) -> None:
        self.layout, self.heading, self.facts = layout, heading, facts
        self.legend = legend(show)
        self.letters = layout.letters
        self.line = round(1.35 * self.letters)

    def drawn(self, rows: list[Row], pictures: list[Picture]) -> PillowImage.Image:
        """Draw the page."""
        layout = self.layout
        captions = self._captions(rows, pictures)
        caption = self.line * (1 + any(second for _, second, _ in captions)) + layout.gap
        top = self._heading_height()
        height = top + sum(line[0][1] + caption + layout.gap for line in layout.lines) + layout.margin // 2
        page = PillowImage.new("RGB", (layout.width, height), _PAPER)
        pen = ImageDraw.Draw(page)
        self._write_heading(pen)
        number, y = 0, top
        for line in layout.lines:
            x = layout.margin
            for box in line:
                picture = pictures[number].image
                place = (x + (box[0] - picture.shape[1]) // 2, y + (box[1] - picture.shape[0]) // 2)
                if picture.shape[:2] != (box[1], box[0]):
                    pen.rectangle((x, y, x + box[0] - 1, y + box[1] - 1), _GROUND)
                page.paste(PillowImage.fromarray(picture), place)
                first, second, colour = captions[number]
                below = y + box[1] + layout.gap // 2
                self._write(pen, (x, below), shortened(first, self.letters, box[0], keep_end=True), _INK)
                self._write(pen, (x, below + self.line), shortened(second, self.letters, box[0]), colour)
                x += box[0] + layout.gap
                number += 1
            y += line[0][1] + caption + layout.gap
        return page

    def _captions(self, rows: list[Row], pictures: list[Picture]) -> list[tuple[str, str, tuple[int, int, int]]]:
        return [
            (
                row["key"],
                picture.problems[0] if picture.problems else self.facts(row),
                _ALARM if picture.problems else _PALE,
            )
            for row, picture in zip(rows, pictures, strict=True)
        ]

    def _heading_height(self) -> int:
        return self.layout.margin + self.line * (len(self._legend_lines()) + 1) + self.layout.gap

    def _legend_lines(self) -> list[list[tuple[float, tuple[int, int, int], str]]]:
        """Set the key of colours into as many lines as it takes."""
        layout = self.layout
        lines: list[list[tuple[float, tuple[int, int, int], str]]] = []
        x = float(layout.width)
        for colour, text in self.legend:
            wide = 1.3 * self.letters + width_of(plain(text), self.letters)
            if x + wide > layout.width - layout.margin or not lines:
                lines.append([])
                x = layout.margin
            lines[-1].append((x, colour, text))
            x += wide + 1.5 * self.letters
        return lines

    def _write_heading(self, pen: ImageDraw.ImageDraw) -> None:
        layout = self.layout
        y = layout.margin
        self._write(
            pen, (layout.margin, y), shortened(self.heading, self.letters, layout.width - 2 * layout.margin), _INK
        )
        for line in self._legend_lines():
            y += self.line
            for x, colour, text in line:
                top = y + round(0.15 * self.letters)
                pen.rectangle((x, top, x + self.letters - 1, top + self.letters - 1), colour, outline=_PALE)
                self._write(pen, (x + 1.3 * self.letters, y), plain(text), _PALE)

    def _write(self, pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: tuple[int, ...]) -> None:
        pen.text(place, text, fill=colour, font=font(self.letters))


def _encoded(page: PillowImage.Image, suffix: str) -> bytes:
    """Give the bytes of the sheet's file, which says what wrote it."""
    buffer = io.BytesIO()
    if suffix == ".png":
        note = PngImagePlugin.PngInfo()
        note.add_text("Software", MADE_BY)
        page.save(buffer, "PNG", pnginfo=note, compress_level=6)
    else:
        page.save(buffer, "JPEG", quality=90, comment=MADE_BY)
    return buffer.getvalue()
