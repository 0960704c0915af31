"""CVAT for images 1.1: one XML file and the photos.

Follows https://docs.cvat.ai/docs/manual/advanced/xml_format/ and what CVAT's own exporter writes and its importer
reads. A ``<mask>`` holds run lengths along the rows of its box, background first, and comes back bit for bit. CVAT
rounds the vertices of polygons to hundredths of a pixel, and so do we; its polygons hold no holes.

A shape's attributes carry the person's id, category_id, whether it is a crowd, the score and the model's name. CVAT
keeps those attributes alone that the task's labels declare: make the task with the labels of labels.json, which is
written beside the annotations (constructor, tab "Raw"). CVAT has no place for keypoints, for the number and licence of
a photo or, in a task, for its split. Pixels that are known to be neither are a mask with the label ``void``.

The file is written and read here: datumaro, the library behind CVAT, holds a whole data set in memory, writes masks as
boxes of the whole image, and makes a person of each polygon whatever its ``group_id``. XML is parsed by defusedxml.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import msgspec
import numpy as np

from segdata.dataset import hash_key, write_lines
from segdata.errors import InputError, SampleError
from segdata.files import is_file, read_file, write_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.cut_outs import VOID_LABEL, CutOut, cut_out, join_parts, put_back
from segdata.formats.polygons import trace_rle
from segdata.masks import mask_to_rle, merge_rles, polygons_to_rle, rle_area, rle_to_mask
from segdata.pixels import MOST_PIXELS
from segdata.sample import Outcome, Person, Rle, key_of, path_of
from segdata.storage import join_path, local

ANNOTATIONS = "annotations.xml"
LABELS = "labels.json"

_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_LARGEST_ID = 1 << 62
# Deflate makes files at most 1,000 times smaller; annotations about 5 times, photos hardly at all.
_MOST_EXPANDED = 200
_SMALL_FILE = 1 << 26


class _Attribute(NamedTuple):
    name: str
    input_type: str
    default: str


_ATTRIBUTES = (
    _Attribute("id", "text", ""),
    _Attribute("category_id", "text", ""),
    _Attribute("crowd", "checkbox", "false"),
    _Attribute("score", "text", ""),
    _Attribute("model", "text", ""),
)

# What XML 1.0 cannot hold, however it is escaped.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# Writing


def encode(sample: Outgoing, options: WriteOptions) -> Encoded:
    """Write an image's element; the record holds it as text, with the labels it uses."""
    name = sample.photo_name
    if name is None or key_of(name) != sample.key:
        name = sample.key + (PurePosixPath(name or "").suffix or ".jpg")
    lines = [f"  <image{_attributes(id=sample.number, name=name, width=sample.width, height=sample.height)}>"]
    labels: dict[str, None] = {}
    notes: dict[str, None] = {}
    for order, person in enumerate(sample.persons):
        if person.rle is None or not rle_area(person.rle):
            notes["with persons of no pixel left out"] = None
            continue
        rings = _rings(person.rle, options) if options.shapes == "polygons" else None
        if rings is None and options.shapes == "polygons":
            notes["with holes, written as masks"] = None
        labels[person.category] = None
        lines += _shapes(sample, person, order, rings or _mask(person.rle))
    if sample.void is not None:
        labels[VOID_LABEL] = None
    if sample.void is not None and sample.void.any():
        values = {"source": "manual", "occluded": 0, **_mask(mask_to_rle(sample.void)), "z_order": len(sample.persons)}
        lines += [f"    <mask{_attributes(label=VOID_LABEL, **values)}>", "    </mask>"]
    lines.append("  </image>")
    text = "\n".join(lines)
    if _NO_CHARACTER.search(text):
        raise SampleError(
            "unsafe-name", f"{sample.key!r}: its name, a label or the model's name holds a character that XML cannot"
        )
    files = [] if sample.photo is None else [(f"images/{name}", sample.photo)]
    return Encoded(files, {"labels": list(labels), "xml": text}, ", ".join(notes))


def _rings(rle: Rle, options: WriteOptions) -> list[list[float]] | None:
    """Give the outlines of a mask, or None for one with holes."""
    outlines = trace_rle(rle, options.tolerance)
    return None if any(outline.holes for outline in outlines) else [outline.outer for outline in outlines]


def _shapes(sample: Outgoing, person: Person, order: int, shape: list[list[float]] | dict[str, Any]) -> Iterator[str]:
    """Write the lines of a person: of a polygon for each of its rings, or of a mask."""
    by_model = sample.model is not None or sample.score is not None or person.score is not None
    facts = {
        "id": person.id,
        "category_id": person.category_id,
        "crowd": "true" if person.crowd else "false",
        "score": person.score,
        "model": sample.model,
    }
    common = {"label": person.category, "source": "auto" if by_model else "manual", "occluded": 0}
    if isinstance(shape, dict):
        yield f"    <mask{_attributes(**common, **shape, z_order=order)}>"
        yield from _facts(facts)
        yield "    </mask>"
        return
    group = {"group_id": order + 1} if len(shape) > 1 else {}
    for ring in shape:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(ring[::2], ring[1::2], strict=True))
        yield f"    <polygon{_attributes(**common, points=points, z_order=order, **group)}>"
        yield from _facts(facts)
        yield "    </polygon>"


def _mask(rle: Rle) -> dict[str, Any]:
    left, top, mask = cut_out(rle)
    height, width = mask.shape
    flat = mask.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(ends, prepend=0, append=flat.size).tolist()
    if flat[0]:
        runs.insert(0, 0)
    return {"rle": ", ".join(map(str, runs)), "left": left, "top": top, "width": width, "height": height}


def _facts(facts: dict[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        if value is not None:
            yield f'      <attribute name="{name}">{escape(str(value), _ESCAPED)}</attribute>'


_ESCAPED = {"\r": "&#13;"}  # a parser makes a line feed of it otherwise


def _attributes(**values: Any) -> str:
    return "".join(f" {name}={quoteattr(str(value))}" for name, value in values.items())


def assemble(export: Export) -> None:
    """Write annotations.xml, sample by sample, and labels.json."""
    labels: dict[str, None] = {}
    count = 0
    for _, record in export.records():
        labels.update(dict.fromkeys(record["labels"]))
        count += 1
    names = sorted(labels) if labels.keys() - {VOID_LABEL} else sorted({*labels, export.options.label})
    declared = [
        {
            "name": name,
            "type": "any",
            "attributes": [
                {
                    "name": each.name,
                    "mutable": False,
                    "input_type": each.input_type,
                    "default_value": each.default,
                    "values": [each.default],
                }
                for each in _ATTRIBUTES
            ],
        }
        for name in names
    ]
    write_file(export.out / LABELS, json.dumps(declared, ensure_ascii=False, indent=2).encode() + b"\n")
    write_lines(export.out / ANNOTATIONS, (line.encode() for line in _lines(export, names, count)))


def _lines(export: Export, labels: list[str], count: int) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta>"
    yield "    <task>"
    yield "      <id>1</id>"
    yield "      <name>segdata</name>"
    yield f"      <size>{count}</size>"
    yield "      <mode>annotation</mode>"
    yield "      <overlap>0</overlap>"
    yield "      <start_frame>0</start_frame>"
    yield f"      <stop_frame>{max(count - 1, 0)}</stop_frame>"
    yield "      <frame_filter></frame_filter>"
    yield "      <z_order>True</z_order>"
    yield "      <labels>"
    for label in labels:
        yield "        <label>"
        yield f"          <name>{escape(label, _ESCAPED)}</name>"
        yield "          <type>any</type>"
        yield "          <attributes>"
        for each in _ATTRIBUTES:
            yield "            <attribute>"
            yield f"              <name>{each.name}</name>"
            yield "              <mutable>False</mutable>"
            yield f"              <input_type>{each.input_type}</input_type>"
            yield f"              <default_value>{each.default}</default_value>"
            yield f"              <values>{each.default}</values>"
            yield "            </attribute>"
        yield "          </attributes>"
        yield "        </label>"
    yield "      </labels>"
    yield "    </task>"
    yield "  </meta>"
    for _, record in export.records():
        yield record["xml"]
    yield "</annotations>"


# Reading


class _Shape(NamedTuple):
    """An element inside an image: its tag, its XML attributes, and the values of its ``<attribute>`` elements."""

    tag: str
    values: dict[str, str]
    facts: dict[str, str]


class _Image(NamedTuple):
    name: str
    subset: str
    width: str | None
    height: str | None
    shapes: list[_Shape]


class _Place(msgspec.Struct, frozen=True):
    """Where the annotations and the photos are.

    `archive` is the zip, and `below` the folder in it that holds the annotations; `xml` is its or the folder's file.
    `images` is the folder of photos; `asked` tells that the user named it.
    """

    path: str
    xml: str
    archive: str | None
    below: str
    images: str | None
    asked: bool

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        with ExitStack() as stack:
            try:
                if self.archive is None:
                    file: IO[bytes] = stack.enter_context(local(self.xml).open("rb"))
                else:
                    archive = stack.enter_context(zipfile.ZipFile(local(self.archive)))
                    _check_member(archive.getinfo(self.xml), self.path)
                    file = stack.enter_context(archive.open(self.xml))
            except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                raise InputError(f"{self.path} cannot be read ({error})", "export it anew") from error
            yield file

    def photo(self, name: str, subset: str) -> bytes | None:
        """Read a photo; None where there is none, unless the user told where photos are."""
        names = [name, *([f"{subset}/{name}"] if re.fullmatch(r"[^/\\:.][^/\\:]*", subset) else [])]
        if self.images is not None:
            for each in names:
                if is_file(join_path(self.images, each)):
                    return read_file(join_path(self.images, each))
            if self.asked:
                raise SampleError("missing-file", f"{self.images}/{name} does not exist")
        if self.archive is not None and not self.asked:
            return _photo_in_zip(self.archive, [f"{self.below}images/{each}" for each in names])
        return None


def _photo_in_zip(path: str, names: list[str]) -> bytes | None:
    archive = _archive(path, os.getpid())
    for name in names:
        try:
            member = archive.getinfo(name)
        except KeyError:
            continue
        try:
            _check_member(member, path)
            return archive.read(member)
        except InputError as error:
            raise SampleError("huge-image", error.message) from error
        except Exception as error:  # a damaged archive raises anything
            raise SampleError("unreadable-file", f"{name} in {path} cannot be read ({error})") from error
    return None


@lru_cache(maxsize=1)
def _archive(path: str, process: int) -> zipfile.ZipFile:  # noqa: ARG001 - processes must not share a file's position
    """Open a zip once in a process: its directory is read anew each time otherwise."""
    return zipfile.ZipFile(local(path))


def _check_member(member: zipfile.ZipInfo, path: str) -> None:
    if member.file_size > max(_SMALL_FILE, _MOST_EXPANDED * member.compress_size):
        raise InputError(
            f"{member.filename} in {path} claims {member.file_size:,} bytes packed to {member.compress_size:,} and is "
            "not opened"
        )


class CvatSource:
    """An opened CVAT file, folder or zip."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._place = _find(path, options.images)
        self._options = options
        self.total, self._has_void = self._check()

    @property
    def parse(self) -> Callable[[str, Any], Incoming]:
        """Give the function that reads an image's shapes and photo."""
        return partial(_parse, self._place, self._options.categories, self._has_void)

    def __iter__(self) -> Iterator[tuple[str, Any] | Outcome]:
        seen: set[int] = set()  # of hashes
        for number, image in enumerate(self._images()):
            try:
                key = key_of(image.name)
                if hash_key(key) in seen:
                    raise SampleError(
                        "duplicate-key",
                        f"{self._place.path}: image {image.name} has the name of one before it, but for its suffix",
                        "rename one of them",
                    )
            except SampleError as error:
                yield Outcome(f"image {number}", "import", "failed", error.code, str(error))
                continue
            seen.add(hash_key(key))
            yield key, image

    def _check(self) -> tuple[int | None, bool]:
        """Make sure that it is a file of images. Gives how many it says it has, and whether void pixels are marked."""
        path = self._place.path
        with closing(self._events()) as events:
            root = next(events, None)
            if root is None or root[1].tag != "annotations":
                raise InputError(f"{path} is no CVAT file", "give what 'CVAT for images 1.1' exports")
            sizes, has_void = [], False  # of the task, or of all tasks of a project
            for event, element in events:
                if event == "start" and element.tag == "track":
                    raise InputError(f"{path} is of CVAT for video", "export it as 'CVAT for images 1.1'")
                if event == "start" and element.tag == "image":
                    break
                if event == "end" and element.tag == "size":
                    sizes.append(element.text or "")
                if event == "end" and element.tag == "label":
                    has_void = has_void or element.findtext("name") == VOID_LABEL
        known = sizes and all(re.fullmatch("[0-9]{1,9}", size, re.ASCII) for size in sizes)
        return sum(map(int, sizes)) if known else None, has_void

    def _images(self) -> Iterator[_Image]:
        with closing(self._events()) as events:
            _, root = next(events)
            depth = 1
            for event, element in events:
                depth += 1 if event == "start" else -1
                if event != "end" or depth != 1:
                    continue
                if element.tag == "image":
                    yield _image(element)
                root.clear()

    def _events(self) -> Generator[tuple[str, Any]]:
        from defusedxml.common import DefusedXmlException  # noqa: PLC0415 - needed by this format alone
        from defusedxml.ElementTree import iterparse  # noqa: PLC0415

        with self._place.opened() as file:
            try:
                yield from iterparse(file, events=("start", "end"), forbid_dtd=True)
            except DefusedXmlException as error:
                raise InputError(
                    f"{self._place.path} holds a document type or entities and is not read",
                    "CVAT writes none: export it anew",
                ) from error
            except (SyntaxError, ValueError, LookupError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise InputError(f"{self._place.path} cannot be read ({error})", "export it anew") from error


def _image(element: Any) -> _Image:
    shapes = [
        _Shape(
            child.tag,
            dict(child.attrib),
            {each.get("name", ""): each.text or "" for each in child.iterfind("attribute")},
        )
        for child in element
    ]
    return _Image(
        element.get("name", ""), element.get("subset", ""), element.get("width"), element.get("height"), shapes
    )


def _find(path: Path, images: str | None) -> _Place:
    if path.is_dir():
        xml = path / ANNOTATIONS
        if not xml.is_file():
            raise InputError(f"{path} holds no {ANNOTATIONS}", "give the folder, file or zip that CVAT exported")
        path = xml
    if path.suffix.lower() != ".zip":
        return _Place(str(path), str(path), None, "", images or str(path.parent / "images"), images is not None)
    member = _member(path)
    if member is None:
        raise InputError(f"{path} is no zip with an {ANNOTATIONS}", "give the folder, file or zip that CVAT exported")
    return _Place(str(path), member, str(path), member.removesuffix(ANNOTATIONS), images, images is not None)


def _member(path: Path) -> str | None:
    """Find the annotations in a zip: the highest of that name, for people pack folders anew."""
    try:
        with zipfile.ZipFile(local(path)) as archive:
            found = [name for name in archive.namelist() if name.rpartition("/")[2] == ANNOTATIONS]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def _parse(place: _Place, categories: tuple[str, ...], has_void: bool, _key: str, image: _Image) -> Incoming:
    where = f"{place.path}: {image.name}"
    width, height = _size(image, where)
    name = path_of(image.name)
    notes: dict[str, None] = {}
    parts: list[tuple[int | None, Person]] = []
    voids: list[Rle] = []
    models: dict[str | None, None] = {}
    for number, shape in enumerate(image.shapes, start=1):
        if shape.tag == "tag":
            continue
        label = shape.values.get("label")
        if label is None:
            raise SampleError("bad-annotation", f"{where}: shape {number} ({shape.tag}) has no label")
        if label not in categories and label != VOID_LABEL:
            notes["with other labels left out"] = None
            continue
        if shape.tag not in ("mask", "polygon"):
            notes["with boxes or other shapes without a mask left out"] = None
            continue
        try:
            rle = (_read_mask if shape.tag == "mask" else _read_polygon)(shape.values, height, width)
            group = _whole(shape.values, "group_id") if "group_id" in shape.values else 0
        except SampleError as error:
            about = f" of id {shape.facts['id']}" if shape.facts.get("id") else ""
            raise SampleError(
                error.code, f"{where}: shape {number}, a {shape.tag}{about}: {error.message}", error.hint
            ) from error
        if label not in categories:
            voids.append(rle)
            continue
        models[shape.facts.get("model") or None] = None
        parts.append((group or None, _person(label, shape.facts, rle)))
    persons, repeated = join_parts(parts)
    if repeated:
        notes["with ids given twice, which the first person keeps"] = None
    photo = place.photo(name, image.subset)
    columns: dict[str, Any] = {}
    if image.subset.lower() in _SPLITS:
        columns["split"] = _SPLITS[image.subset.lower()]
    if len(models) == 1 and None not in models:
        columns["model"] = next(iter(models))
    return Incoming(
        width,
        height,
        photo=photo,
        photo_name=None if photo is None else name,
        persons=persons,
        void=rle_to_mask(merge_rles(voids, height, width)) if voids or has_void else None,
        columns=columns,
        note=", ".join(notes),
    )


def _size(image: _Image, where: str) -> tuple[int, int]:
    sides = []
    for name, text in (("width", image.width), ("height", image.height)):
        try:
            side = int(text or "")
        except ValueError:
            side = 0
        if side < 1:
            raise SampleError("bad-annotation", f"{where}: its {name} is {_short(text)}, which is none")
        sides.append(side)
    if sides[0] * sides[1] > MOST_PIXELS:
        raise SampleError("huge-image", f"{where} claims more than {MOST_PIXELS:,} pixels and is not read")
    return sides[0], sides[1]


def _short(text: str | None) -> str:
    return "missing" if text is None else repr(text if len(text) <= 20 else text[:20] + "...")


def _whole(values: dict[str, str], name: str) -> int:
    try:
        number = int(values[name])
    except (KeyError, ValueError) as error:
        raise SampleError("bad-annotation", f"its {name} is {_short(values.get(name))}, no whole number") from error
    if abs(number) > _LARGEST_ID:
        raise SampleError("bad-annotation", f"its {name} is {_short(values[name])}, which is too large")
    return number


def _read_mask(values: dict[str, str], height: int, width: int) -> Rle:
    left, top, columns, rows = (_whole(values, name) for name in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(columns, rows) < 1 or left + columns > width or top + rows > height:
        raise SampleError(
            "size-mismatch",
            f"its box of {columns} x {rows} pixels at {left}, {top} does not lie in the image of {width} x {height}",
        )
    try:
        runs = [int(run) for run in values["rle"].split(",")]
    except (KeyError, ValueError) as error:
        raise SampleError("bad-rle", "its rle is no list of whole numbers") from error
    if min(runs) < 0 or max(runs) > columns * rows:
        raise SampleError("bad-rle", f"a run length is negative or longer than its box of {columns * rows} pixels")
    if sum(runs) != columns * rows:
        raise SampleError("bad-rle", f"its run lengths cover {sum(runs)} pixels, its box has {columns * rows}")
    bits = np.arange(len(runs)) % 2 == 1
    return put_back(CutOut(left, top, np.repeat(bits, runs).reshape(rows, columns)), height, width)


def _read_polygon(values: dict[str, str], height: int, width: int) -> Rle:
    try:
        points = [float(number) for pair in values["points"].split(";") for number in _pair(pair)]
    except (KeyError, ValueError) as error:
        raise SampleError("bad-polygon", "its points are no list of x,y;x,y") from error
    return polygons_to_rle([points], height, width)


def _pair(text: str) -> list[str]:
    x, y = text.split(",")
    return [x, y]


def _person(label: str, facts: dict[str, str], rle: Rle) -> Person:
    """Give a person; a fact that people typed wrongly states nothing."""
    return Person(
        id=_number(facts.get("id")),
        category=label,
        crowd=facts.get("crowd") == "true",
        rle=rle,
        category_id=_number(facts.get("category_id")),
        score=_score(facts.get("score")),
    )


def _number(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", text, re.ASCII) or abs(int(text)) > _LARGEST_ID:
        return None
    return int(text)


def _score(text: str | None) -> float | None:
    try:
        score = float(text or "")
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def recognise(path: Path) -> str | None:
    """Recognise annotations.xml, its folder, and a zip with it."""
    try:
        if path.is_dir():
            path = path / ANNOTATIONS
        if path.suffix.lower() == ".zip":
            member = _member(path)
            return None if member is None else f"it holds {member}"
        with path.open("rb") as file:
            return f"{path.name} is a CVAT file" if b"<annotations" in file.read(4096) else None
    except OSError:
        return None


FORMAT = Format(
    name="cvat",
    about="CVAT for images 1.1: annotations.xml and the photos",
    reads="masks and polygons, from annotations.xml, its folder or the zip that CVAT exports",
    writes="annotations.xml, images/ and labels.json, which makes a task whose labels keep the persons' ids",
    loses="keypoints, boxes as drawn, and of a photo all but the model's name; persons with holes stay masks",
    kept="persons",
    recognise=recognise,
    open=CvatSource,
    encode=encode,
    assemble=assemble,
    takes=("shapes", "tolerance"),
)
