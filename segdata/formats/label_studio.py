"""Label Studio: tasks as JSON with brush masks, which open ready to edit.

Follows https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions and
https://labelstud.io/tags/brushlabels::

    tasks.json   an array of tasks, one a photo, to import into a project
    config.xml   the labelling interface, for the project's settings
    images/      the photos

**Writing.** Masks that a model made are predictions, with its name and score; all others are annotations, for what a
person has checked is not to come up as a guess. Each person is a brush region, bit for bit: its id is ``p`` and the
person's, its label the category; category number and crowd mark are in `meta`, which the editor keeps, as it keeps `id`
and `score`. Pixels that are known to be neither are a region labelled ``void``. `data` holds the photo's URL, the
sample's key, width and height.

Label Studio loads photos from itself by ``/data/local-files/?d=PATH``, with PATH relative to its document root: start
it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT set to the export, and
add to the project a source storage of the kind "Local files" whose path is the export's images/ (it serves files only
below such a storage, which need not be synchronised). `WriteOptions.photo_url` goes before the names of photos on
another server. A file of more than 250 MB is taken with DATA_UPLOAD_MAX_MEMORY_SIZE raised.

**Reading.** Takes what is written here, and the exports JSON and JSON_MIN. Of a task the annotation counts that was
updated last and not cancelled, or the last in the file where none says when; where there is none, the prediction with
the best score, which gives the columns `model` and `confidence`. A task with neither is skipped. Drafts, which nobody
has submitted, never count. Every region of BrushLabels, PolygonLabels or Labels whose label is asked for is one person,
a polygon as pycocotools draws it; other regions and open polygons are left out. A brush covers all pixels that are not
fully transparent. Regions on a turned image are refused.

Label Studio's own JSON leaves out tasks that nobody has annotated, or with download_all_tasks=true has numbers in the
place of their predictions. All of them come with a snapshot: POST {"serialization_options": {"predictions": {"only_id":
false}}} to /api/projects/ID/exports, then GET /api/projects/ID/exports/SNAPSHOT/download. JSON_MIN has no ids, marks
and scores of regions, and repeats a task with several annotations, which is refused.

A task's key is `key` in its data, otherwise the photo's path without suffix. Photos are looked for in images/ beside
the file or in `ReadOptions.images`: by the end of the URL's path that is the key, else by the longest end that is
there, else by the last part without the eight digits that an upload gets. Without such a folder masks alone are read,
and a task without `key` is named by what follows ``images/`` in its URL, or by the last part.

The array is scanned here, task by task: json_spans reads arrays within an object, and ijson, which Label Studio uses,
makes an object of every number of a mask.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
import numpy as np

from segdata.dataset import Row, hash_key, write_lines
from segdata.errors import InputError, SampleError
from segdata.files import is_file, read_file, write_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.brush_rle import decode_brush, encode_brush
from segdata.masks import mask_to_rle, merge_rles, polygons_to_rle, rle_to_mask
from segdata.pixels import IMAGE_SUFFIXES, MOST_PIXELS, check_photo
from segdata.sample import Outcome, Person, Rle, key_of, path_of
from segdata.storage import join_path, local

TASKS = "tasks.json"
CONFIG = "config.xml"
VOID_LABEL = "void"

_LOCAL_FILES = "/data/local-files/?d=images/"
_IMAGE, _TAG = "image", "tag"


# Writing


class _Record(msgspec.Struct, frozen=True):
    """A sample between `encode` and `assemble`, its masks as run lengths."""

    photo_name: str
    width: int
    height: int
    persons: list[Person]
    void: Rle | None
    score: float | None
    model: str | None


def encode(sample: Outgoing, _options: WriteOptions) -> Encoded:
    """Give the photo and what the sample's task is made from."""
    if sample.photo_name is None:
        raise SampleError(
            "no-photo", f"{sample.key} has no photo, which Label Studio must show", "name the folder of the photos"
        )
    persons = [
        msgspec.structs.replace(person, box=None, area=None, keypoints=None, face_box=None) for person in sample.persons
    ]
    void = None if sample.void is None or not sample.void.any() else mask_to_rle(sample.void)
    record = _Record(sample.photo_name, sample.width, sample.height, persons, void, sample.score, sample.model)
    files = [] if sample.photo is None else [(f"images/{sample.photo_name}", sample.photo)]
    return Encoded(files, record)


def assemble(export: Export) -> None:
    """Write tasks.json, a task a line, and config.xml with the labels that occur."""
    labels = {export.options.label}
    write_lines(export.out / TASKS, _task_lines(export, labels))
    names = "".join(f'    <Label value="{html.escape(label)}"/>\n' for label in sorted(labels))
    config = (
        f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="{_TAG}" toName="{_IMAGE}">\n{names}  </BrushLabels>\n</View>\n'
    )
    write_file(export.out / CONFIG, config.encode())


def _task_lines(export: Export, labels: set[str]) -> Iterator[bytes]:
    """Yield the lines of tasks.json, and add the labels in it to `labels`."""
    before = export.options.photo_url if export.options.photo_url is not None else _LOCAL_FILES
    line = b"["
    for number, (key, values) in enumerate(export.records()):
        yield line + b"," * (number > 0)
        record = msgspec.convert(values, _Record)
        labels |= {person.category for person in record.persons} | ({VOID_LABEL} if record.void else set())
        line = msgspec.json.encode(_task(key, before + quote(record.photo_name), record))
    yield line
    yield b"]"


def _task(key: str, url: str, record: _Record) -> Row:
    result = [
        _region(record, f"p{person.id}", person.category, person.rle) | _kept_by_the_editor(person)
        for person in record.persons
        if person.rle is not None
    ]
    if record.void is not None:
        result.append(_region(record, VOID_LABEL, VOID_LABEL, record.void))
    data = {"image": url, "key": key, "width": record.width, "height": record.height}
    if record.model is None:
        return {"data": data, "annotations": [{"result": result}]}
    return {"data": data, "predictions": [{"model_version": record.model, "score": record.score, "result": result}]}


def _region(record: _Record, name: str, label: str, rle: Rle) -> Row:
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": _TAG,
        "to_name": _IMAGE,
        "original_width": record.width,
        "original_height": record.height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(encode_brush(rle_to_mask(rle))), "brushlabels": [label]},
    }


def _kept_by_the_editor(person: Person) -> Row:
    facts: Row = {} if person.category_id is None else {"category_id": person.category_id}
    if person.crowd:
        facts["crowd"] = True
    kept = {"meta": facts} if facts else {}
    return kept if person.score is None else kept | {"score": person.score}


# The array of tasks

_BLOCK = 1 << 20
_LARGEST_TASK = 1 << 28
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'"\\{}'
_IS_MARK = np.zeros(256, np.bool_)
_IS_MARK[[_QUOTE, _BACKSLASH, _OPEN, _CLOSE]] = True


class _Nesting:
    """Follows texts and braces through a file, block by block."""

    def __init__(self) -> None:
        self.read = 0
        self.depth = 0
        self.start = 0
        self.escaped = -1
        self.in_text = False

    def ends_in(self, block: bytes) -> list[tuple[int, int]]:
        """Give where the outermost objects that end in the next block start and end, in bytes of the file."""
        found = []
        codes = np.frombuffer(block, np.uint8)
        places = np.flatnonzero((codes == _QUOTE) | (codes >= _BACKSLASH))  # neither digits nor commas
        for place in places[_IS_MARK[codes[places]]].tolist():
            mark, here = block[place], self.read + place
            if here == self.escaped:
                continue
            if mark == _BACKSLASH:
                self.escaped = here + 1
            elif mark == _QUOTE:
                self.in_text = not self.in_text
            elif self.in_text:
                continue
            elif mark == _OPEN:
                if not self.depth:
                    self.start = here
                self.depth += 1
            else:
                self.depth -= 1
                if not self.depth:
                    found.append((self.start, here + 1))
        self.read += len(block)
        return found


def _scan(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each object of the array that a file holds, and at which byte it starts."""
    data, offset, before = bytearray(), 0, b"["  # data is what follows the last object
    nesting = _Nesting()
    with local(path).open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            if not nesting.read and _stripped(block)[:1] not in b"[":
                raise _bad_file(path, "does not hold an array of tasks", 0)
            data += block
            for start, end in nesting.ends_in(block):
                if _stripped(data[: start - offset]) != before:
                    raise _bad_file(path, "holds something else than tasks", offset)
                yield start, bytes(data[start - offset : end - offset])
                del data[: end - offset]
                offset, before = end, b","
            if len(data) > _LARGEST_TASK:
                raise _bad_file(path, f"holds a task of more than {_LARGEST_TASK >> 20} MB", offset)
    if b"".join(_stripped(data).split()) != (b"]" if offset else b"[]"):
        raise _bad_file(path, "ends too early, or holds something else than tasks", offset)


def _stripped(text: bytes | bytearray) -> bytes:
    return bytes(text).removeprefix(_BYTE_ORDER_MARK).strip(_SPACE)


def _bad_file(path: Path, what: str, place: int) -> InputError:
    return InputError(f"{path} {what} (behind byte {place})", "give a whole file of tasks as Label Studio exports them")


# Reading


class _Region(msgspec.Struct, gc=False):
    """A region, or something else that is told of the photo. In JSON_MIN the members of `value` are its own."""

    type: str = ""
    id: str | int | None = None
    original_width: int | float | None = None
    original_height: int | float | None = None
    image_rotation: float | None = None
    score: float | None = None
    meta: Any = None
    value: msgspec.Raw = msgspec.Raw()

    @classmethod
    def of(cls, raw: msgspec.Raw) -> _Region:
        region = msgspec.json.decode(raw, type=cls)
        if not region.value:
            region.value = raw
        return region

    @property
    def counts(self) -> bool:
        """Tell regions with a label from relations, choices and what else there is."""
        return self.type.endswith("labels") or (not self.type and self.original_width is not None)


class _Value(msgspec.Struct, gc=False):
    """The shape and the labels of a region."""

    rle: list[int] | None = None
    points: list[tuple[float, float]] | None = None
    closed: bool = True
    brushlabels: list[str] = []
    polygonlabels: list[str] = []
    labels: list[str] = []

    @property
    def has_area(self) -> bool:
        return self.rle is not None or (self.points is not None and self.closed)

    def label(self, wanted: tuple[str, ...]) -> str | None:
        return next((each for each in self.brushlabels or self.polygonlabels or self.labels if each in wanted), None)

    def draw(self, width: int, height: int) -> Rle:
        if self.rle is None:
            points = [(x / 100 * width, y / 100 * height) for x, y in self.points or ()]
            return polygons_to_rle([[coordinate for point in points for coordinate in point]], height, width)
        try:
            code = bytes(self.rle)
        except ValueError as error:
            raise SampleError("bad-rle", "its brush code holds numbers that are no bytes") from error
        return mask_to_rle(decode_brush(code, height, width))


_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MEMBERS = frozenset({"data", "annotations", "predictions", "annotation_id"})
_ID = re.compile(r"p(-?[0-9]{1,18})")
_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

_OTHER_LABELS = "with other labels"
_OTHER_REGIONS = "with regions that are no masks"
_DRAFTS = "with drafts that nobody submitted"


class _Annotation(msgspec.Struct, gc=False):
    result: list[msgspec.Raw] | None = None
    was_cancelled: bool | None = None
    updated_at: str | None = None


class _Prediction(msgspec.Struct, gc=False):
    result: list[msgspec.Raw] | None = None
    score: float | None = None
    model_version: str | None = None


class _Answer(NamedTuple):
    """The regions that count, and columns that tell where they are from."""

    regions: list[msgspec.Raw]
    columns: Row


class _Task(msgspec.Struct, gc=False):
    """A task; in the place of annotations, predictions and drafts may stand their numbers."""

    data: Row | None = None
    annotations: list[_Annotation | int] | None = None
    predictions: list[_Prediction | int] | None = None
    drafts: list[msgspec.Raw] | None = None

    @classmethod
    def of(cls, raw: bytes) -> _Task:
        task = msgspec.json.decode(raw, type=cls)
        return task if task.data is not None else cls.of_json_min(raw)

    @classmethod
    def of_json_min(cls, raw: bytes) -> _Task:
        """Read a task of JSON_MIN: its members are the data, lists of regions and what is told of the annotation."""
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        first = {name: bytes(memoryview(value)[:1]) for name, value in members.items()}
        data = {name: msgspec.json.decode(value) for name, value in members.items() if first[name] not in b"[{"}
        if data.get("annotation_id") is None:
            return cls(data)
        lists = [msgspec.json.decode(members[name], type=list[msgspec.Raw]) for name in members if first[name] == b"["]
        regions = [each for listed in lists for each in listed if bytes(memoryview(each)[:1]) == b"{"]
        return cls(data, [_Annotation(regions)])

    def answer(self) -> _Answer | None:
        """Give the annotation or the prediction that counts."""
        annotations = [each for each in self.annotations or () if isinstance(each, _Annotation)]
        done = [each for each in annotations if not each.was_cancelled]
        if done:
            last = max(enumerate(done), key=lambda each: (_time(each[1].updated_at), each[0]))[1]
            return _Answer(last.result or [], {})
        predictions = [each for each in self.predictions or () if isinstance(each, _Prediction)]
        if not predictions:
            return None
        best = max(predictions, key=lambda each: -math.inf if each.score is None else each.score)
        return _Answer(best.result or [], {"model": best.model_version, "confidence": _share(best.score)})


def _share(score: float | None) -> float | None:
    """Give a score if it is one from 0 to 1: other tools use other scales."""
    return score if score is not None and 0 <= score <= 1 else None


def _time(text: str | None) -> datetime:
    """Read a time; what is none is before all others."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return _BEFORE_ALL
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class _Payload(NamedTuple):
    """Where a task stands in the file, and the path of its photo below the folder of photos."""

    offset: int
    length: int
    photo: str | None


class Tasks:
    """An opened file of tasks. Iterating reads it from the first to the last."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path / TASKS if path.is_dir() else path
        beside = self.path.parent / "images"
        self.images = options.images or (str(beside) if beside.is_dir() else None)
        self.total: int | None = None
        self.parse: Callable[[str, _Payload], Incoming] = _Parse(str(self.path), self.images, options.categories)
        try:
            for _, first in islice(_scan(self.path), 1):
                if not _MEMBERS & msgspec.json.decode(first, type=dict[str, msgspec.Raw]).keys():
                    raise InputError(f"{self.path} holds no tasks of Label Studio", "give what it exports as JSON")
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({error.strerror})", "give a file of tasks") from error
        except _BROKEN as error:
            raise InputError(f"{self.path} is not valid JSON ({error})", "give a file of tasks") from error

    def __iter__(self) -> Iterator[tuple[str, _Payload] | Outcome]:
        """Yield the key and the place of each task, and tell which have no annotation and no prediction."""
        keys: set[int] = set()
        for number, (offset, raw) in enumerate(_scan(self.path), start=1):
            key = f"task {number}"
            try:
                task = _Task.of(raw)
                data = task.data or {}
                photo = _find_photo(data, self.images)
                key = _key_of(data, photo)
                if task.answer() is None:
                    yield Outcome(key, "import", "skipped", "no-annotation", f"{self.path}: {key} {_why_not(task)}")
                    continue
                if hash_key(key) in keys:
                    raise SampleError(
                        "duplicate-key",
                        "there is another task with this key",
                        "keep one; JSON_MIN repeats a task with several annotations, JSON does not",
                    )
                keys.add(hash_key(key))
                if photo is None and self.images is not None:
                    raise SampleError(
                        "missing-file",
                        f"its photo {_url_of(data)[:200]} is not in {self.images}",
                        "give the folder of the photos",
                    )
            except SampleError as error:
                yield Outcome(key, "import", "failed", error.code, f"{self.path}: {key}: {error}")
            except _BROKEN as error:
                yield Outcome(key, "import", "failed", "bad-task", f"{self.path}: {key} cannot be read ({error})")
            else:
                yield key, _Payload(offset, len(raw), photo)


def _why_not(task: _Task) -> str:
    if task.drafts:
        return "has no annotation, but a draft: submit it"
    if task.predictions:
        return "has no annotation, and numbers instead of predictions: export a snapshot with whole predictions"
    return "has no annotation and no prediction"


def _url_of(data: Row) -> str:
    """Give the photo's URL: `image`, or else the first member that names an image file; empty if none does."""
    if isinstance(data.get(_IMAGE), str):
        return str(data[_IMAGE])
    texts = [value for value in data.values() if isinstance(value, str)]
    return next((text for text in texts if _path_in(text).lower().endswith(tuple(IMAGE_SUFFIXES))), "")


def _path_in(url: str) -> str:
    """Give the path of a URL, which is in ?d= where Label Studio serves local files; empty if it leads to no file."""
    try:
        parts = urlsplit(url)
        named = parse_qs(parts.query).get("d") or [unquote(parts.path)]
    except ValueError:
        return ""
    return "" if parts.scheme == "data" else named[0].replace("\\", "/")


def _find_photo(data: Row, images: str | None) -> str | None:
    """Give the photo's path below the folder of photos; None if it is not there, or there is no folder."""
    path = _path_in(_url_of(data))
    parts = [part for part in path.split("/") if part not in ("", ".") and not part.endswith(":")]
    if ".." in parts:
        path_of(path)
    if images is None or not parts:
        return None
    ends = ["/".join(parts[place:]) for place in range(len(parts))]
    ends = [end for end in ends if key_of(end) == data.get("key")] or ends
    if upload := _UPLOAD.fullmatch(parts[-1]):
        ends.append(upload[1])
    return next((end for end in ends if is_file(join_path(images, end))), None)


def _key_of(data: Row, photo: str | None) -> str:
    if isinstance(data.get("key"), str):
        return path_of(data["key"])
    path = f"/{_path_in(_url_of(data))}"
    name = photo or path.rpartition("/images/" if "/images/" in path else "/")[2]
    if not name:
        raise SampleError("no-key", "it names no image", "give its data an image or a key")
    return key_of(name)


class _Parse(msgspec.Struct, frozen=True):
    """Reads one task."""

    path: str
    images: str | None
    categories: tuple[str, ...]

    def __call__(self, key: str, payload: _Payload) -> Incoming:
        with local(self.path).open("rb") as file:
            file.seek(payload.offset)
            raw = file.read(payload.length)
        photo = None if payload.photo is None else read_file(join_path(self.images, payload.photo))
        try:
            task = _Task.of(raw)
            answer = task.answer() or _Answer([], {})
            regions = [region for region in map(_Region.of, answer.regions) if region.counts]
            width, height = _size(regions, task.data or {}, photo)
            drawn = _Drawn(width, height, self.categories)
            for region in regions:
                drawn.add(region)
        except SampleError as error:
            raise SampleError(error.code, f"{self.path}: {key}: {error.message}", error.hint) from error
        except _BROKEN as error:
            raise SampleError("bad-task", f"{self.path}: {key} cannot be read ({error})") from error
        if task.drafts:
            drawn.notes.add(_DRAFTS)
        void = rle_to_mask(merge_rles(drawn.void, height, width)) if drawn.void else None
        return Incoming(
            width,
            height,
            photo,
            payload.photo,
            drawn.persons,
            void=void,
            columns=answer.columns,
            note=", ".join(sorted(drawn.notes)),
        )


def _size(regions: list[_Region], data: Row, photo: bytes | None) -> tuple[int, int]:
    """Give width and height: those of the regions, those in the data, or else the photo's."""
    sizes = {(each.original_width, each.original_height) for each in regions}
    if len(sizes) > 1:
        raise SampleError("size-mismatch", f"its regions are for images of {len(sizes)} sizes")
    width, height = sizes.pop() if sizes else (data.get("width"), data.get("height"))
    if photo is not None and not regions:
        facts = check_photo(photo, "its photo")
        width, height = facts.width, facts.height
    if not (isinstance(width, int | float) and isinstance(height, int | float) and width >= 1 and height >= 1):
        raise SampleError("no-size", f"an image of {width} x {height} is none", "give the folder of the photos")
    if width * height > MOST_PIXELS:
        raise SampleError("huge-image", f"it claims {width} x {height} pixels, more than {MOST_PIXELS:,}")
    return int(width), int(height)


class _Drawn:
    """The regions of a task as persons, and what was left out."""

    def __init__(self, width: int, height: int, categories: tuple[str, ...]) -> None:
        self.width = width
        self.height = height
        self.categories = categories
        self.persons: list[Person] = []
        self.void: list[Rle] = []
        self.notes: set[str] = set()

    def add(self, region: _Region) -> None:
        value = msgspec.json.decode(region.value, type=_Value)
        if not value.has_area:
            self.notes.add(_OTHER_REGIONS)
            return
        label = value.label((*self.categories, VOID_LABEL))
        if label is None:
            self.notes.add(_OTHER_LABELS)
            return
        if region.image_rotation:
            raise SampleError(
                "rotated",
                f"region {region.id} was drawn on the image turned by {region.image_rotation} degrees",
                "turn it back in Label Studio and save the task",
            )
        try:
            rle = value.draw(self.width, self.height)
        except SampleError as error:
            raise SampleError(error.code, f"region {region.id}: {error.message}", error.hint) from error
        if label in self.categories:
            self.persons.append(_person(region, label, rle, {each.id for each in self.persons}))
        else:
            self.void.append(rle)


def _person(region: _Region, label: str, rle: Rle, taken: set[int | None]) -> Person:
    found = _ID.fullmatch(str(region.id))
    number = int(found[1]) if found else None
    meta = region.meta if isinstance(region.meta, dict) else {}
    category_id = meta.get("category_id")
    return Person(
        id=None if number in taken else number,
        category=label,
        crowd=meta.get("crowd") is True,
        rle=rle,
        category_id=category_id if type(category_id) is int else None,
        score=_share(region.score),
    )


_FIRST_BYTES = 1 << 16
_TELLING = re.compile(rb'"(?:annotations|predictions)"\s*:\s*\[|"format"\s*:\s*"rle"')


def recognise(path: Path) -> str | None:
    """Recognise an array whose first task has annotations, predictions or a brush region.

    >>> recognise(Path("no such folder")) is None
    True
    """
    try:
        file = path / TASKS if path.is_dir() else path
        if file.suffix.lower() != ".json":
            return None
        with file.open("rb") as opened:
            start = _stripped(opened.read(_FIRST_BYTES))
    except OSError:
        return None
    if start[:1] != b"[" or not start[1:].lstrip().startswith(b"{") or not _TELLING.search(start):
        return None
    return f"{file.name} is an array of tasks with annotations or predictions"


FORMAT = Format(
    name="label-studio",
    about="Label Studio tasks with brush masks, as annotations or as a model's predictions",
    reads="the exports JSON and JSON_MIN, and tasks.json: brush and polygon regions, with the photos in images/",
    writes="tasks.json, config.xml and images/, one brush region a person",
    loses="split, boxes, keypoints and photo ids; JSON_MIN also ids, crowd marks and scores of persons",
    kept="persons",
    recognise=recognise,
    open=Tasks,
    encode=encode,
    assemble=assemble,
    takes=("photo_url",),
)
