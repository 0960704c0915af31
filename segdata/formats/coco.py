"""COCO annotation files (instances and person_keypoints), read image by image within a bound of memory.

Opening a file finds where each image's record and annotations lie: 28 bytes an image and 20 an annotation, in memory
or, beyond the bound, in temporary files. The records themselves are parsed when an image is asked for, by whichever
process asks. Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.disk_index import Column, Lines, Table, ordered
from segdata.errors import InputError, SampleError
from segdata.files import why
from segdata.formats.json_spans import Block, integers, scan
from segdata.masks import rle_area, rle_box, segmentation_to_rle
from segdata.memory import DEFAULT, share_of
from segdata.pixels import MOST_PIXELS
from segdata.sample import Person, key_of
from segdata.storage import as_path, is_url, local

T = TypeVar("T")

_ID = ("key", np.int64)
_NUMBER = ("number", np.int64)
_SPAN = (("offset", np.int64), ("length", np.int32))
_IMAGES_AT_A_TIME = 1 << 12

Id = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]


class CocoImage(msgspec.Struct, frozen=True, gc=False):
    """The record of one image. `width` and `height` in pixels; `license` is an id of the file's licences."""

    id: Id
    file_name: str
    width: Annotated[int, msgspec.Meta(ge=1)]
    height: Annotated[int, msgspec.Meta(ge=1)]
    license: int | str | None = None
    coco_url: str | None = None
    flickr_url: str | None = None


class CocoAnnotation(msgspec.Struct, frozen=True, gc=False):
    """One annotation; `segmentation` is polygons or run lengths, `keypoints` a flat list x, y, visibility, ...

    `face_box` (x, y, width, height) is not COCO's: files that grade domains by drawn faces carry it.
    """

    id: Id
    image_id: Id
    category_id: Id
    segmentation: Any = None
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: int | bool = 0
    keypoints: list[float] | None = None
    face_box: tuple[float, float, float, float] | None = None
    score: float | None = None


class _CategoryId(msgspec.Struct, gc=False):
    category_id: Id


class _ImageId(msgspec.Struct, gc=False):
    image_id: Id


class _ImageHead(msgspec.Struct, gc=False):
    id: Id
    file_name: str


class _Category(msgspec.Struct):
    id: Id
    name: str


class CocoTask(NamedTuple):
    """One image of a file: where its record and its annotations lie, as (offset, length) in bytes."""

    number: int
    image: tuple[int, int]
    annotations: list[tuple[int, int]]


class Problem(NamedTuple):
    """Something in the file that belongs to no image that can be processed."""

    code: str
    message: str


class CocoFile:
    """An open COCO file: `categories` (id to name) and, on iteration, a `CocoTask` for each image in file order.

    `memory`, such as ``500MB``, bounds what the process takes, whatever the size of the file; what does not fit is held
    in temporary files. Raises `InputError` for what is not a COCO file and for too little memory, `StorageError` where
    the folder of temporary files takes no more.
    """

    def __init__(self, path: str | Path, memory: int | str = DEFAULT) -> None:
        self.path = as_path(path)
        self._share = share_of(memory)
        self.categories: dict[int, str] = {}
        self.licences: dict[int | str, dict[str, Any]] = {}
        self.description: str | None = None
        self.model: str | None = None
        self._problems = Lines(self._share.held)
        self._images = self._column([_ID, *_SPAN])
        annotations = self._column([_ID, *_SPAN])
        names = self._column(np.int64)
        needed = frozenset({"images", "annotations"})
        seen = set()
        try:
            for name, value in scan(self.path, needed, frozenset({"categories", "licenses", "info"})):
                if isinstance(value, Block) or value == b"[]":
                    seen.add(name)
                if name == "images" and isinstance(value, Block):
                    names.extend(self._add_images(value))
                elif name == "annotations" and isinstance(value, Block):
                    self._add_annotations(annotations, value)
                elif name == "categories" and isinstance(value, bytes):
                    self.categories = self._read_categories(value)
                elif name == "licenses" and isinstance(value, bytes):
                    self.licences = _by_id(_courtesy(value))
                elif name == "info" and isinstance(value, bytes):
                    info = _courtesy(value)
                    self.description, self.model = _text(info, "description"), _text(info, "model")
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({why(error)})", "check the path") from error
        for name in ("images", "annotations"):
            if name not in seen:
                raise InputError(f"{self.path} holds no array {name!r}", "give a COCO annotation file")
        self._duplicate_keys = self._repeated(ordered(names, self._share).blocks())
        del names
        by_id = self._by_id()
        self._duplicate_ids = self._repeated(block["key"] for block in by_id.blocks())
        self._annotations = self._grouped(annotations, by_id)

    def _column(self, dtype: npt.DTypeLike) -> Column:
        return Column(dtype, self._share.held)

    @property
    def problems(self) -> Iterator[Problem]:
        """The records that cannot be used at all: those without an id, and annotations of unknown images."""
        return (Problem(*json.loads(line)) for line in self._problems)

    def _report(self, code: str, message: str) -> None:
        self._problems.append(json.dumps(Problem(code, message)).encode())

    def _add_images(self, block: Block) -> npt.NDArray[np.int64]:
        try:
            records = b"[" + block.data[block.starts[0] : block.ends[-1]] + b"]"
            heads = msgspec.json.decode(records, type=list[_ImageHead])
        except (msgspec.DecodeError, ValueError, RecursionError):
            tried = [self._head(block, number) for number in range(len(block.starts))]
            block = block.only([head is not None for head in tried])
            heads = [head for head in tried if head is not None]
        _add(self._images, block, np.array([head.id for head in heads], np.int64))
        return np.array(_hash_keys([head.file_name for head in heads]), np.int64)

    def _head(self, block: Block, number: int) -> _ImageHead | None:
        record = block.data[block.starts[number] : block.ends[number]]
        try:
            return decode_record(record, _ImageHead)
        except msgspec.DecodeError as error:
            where = f"the image record at byte {block.offset + int(block.starts[number])}"
            message = f"{self.path}: {where} (image {_any_id(record)}) has no usable id and file_name ({error})"
            self._report("bad-image-record", message)
            return None

    def _add_annotations(self, annotations: Column, block: Block) -> None:
        image_ids = integers(block, b"image_id")
        if image_ids is None:
            tried = [self._image_id(block, number) for number in range(len(block.starts))]
            block = block.only([image_id is not None for image_id in tried])
            image_ids = np.array([image_id for image_id in tried if image_id is not None], np.int64)
        _add(annotations, block, image_ids)

    def _image_id(self, block: Block, number: int) -> int | None:
        record = block.data[block.starts[number] : block.ends[number]]
        try:
            return decode_record(record, _ImageId).image_id
        except msgspec.DecodeError as error:
            where = f"the annotation at byte {block.offset + int(block.starts[number])}"
            message = f"{self.path}: {where} (annotation {_any_id(record)}) has no usable image_id ({error})"
            self._report("bad-annotation", message)
            return None

    def _read_categories(self, value: bytes) -> dict[int, str]:
        try:
            return {category.id: category.name for category in decode_record(value, list[_Category])}
        except msgspec.DecodeError as error:
            raise InputError(
                f"{self.path}: 'categories' cannot be read ({error})", "each needs an id and a name"
            ) from error

    def _by_id(self) -> Column:
        """Give the numbers of the images, sorted by their ids."""
        numbered = self._column([_ID, _NUMBER])
        first = 0
        for block in self._images.blocks(self._share.run):
            records = np.empty(len(block), numbered.dtype)
            records["key"], records["number"] = block["key"], np.arange(first, first + len(block))
            numbered.extend(records)
            first += len(block)
        return ordered(numbered, self._share)

    def _repeated(self, blocks: Iterable[npt.NDArray[np.int64]]) -> Table:
        """Find the values that stand more than once among sorted ones."""
        found = self._column(np.int64)
        last = np.zeros(0, np.int64)
        for block in blocks:
            values = np.concatenate([last, block])
            found.extend(values[1:][values[1:] == values[:-1]])
            last = values[-1:]
        return Table(found, self._share)

    def _grouped(self, annotations: Column, by_id: Column) -> Column:
        """Sort the annotations by image, keeping the file's order within one."""
        known = self._column([_ID, *_SPAN])  # the key is now the number of the image
        for block in annotations.blocks(self._share.run):
            order = np.argsort(block["key"], kind="stable")
            wanted, numbers = block["key"][order], np.full(len(block), -1)
            for images in by_id.blocks(self._share.run):
                ids = images["key"]
                within = slice(np.searchsorted(wanted, ids[0]), np.searchsorted(wanted, ids[-1], side="right"))
                place = np.searchsorted(ids, wanted[within])
                found = (ids[place] == wanted[within]) & (numbers[order[within]] < 0)
                numbers[order[within][found]] = images["number"][place[found]]
            for annotation in block[numbers < 0]:
                self._report_unknown(*annotation.item())
            records = block[numbers >= 0]
            records["key"] = numbers[numbers >= 0]
            known.extend(records)
        return ordered(known, self._share)

    def _report_unknown(self, image_id: int, offset: int, length: int) -> None:
        record = self.read(offset, length)
        message = f"annotation {_any_id(record)} belongs to image {image_id}, which the file does not list"
        self._report("unknown-image", f"{self.path}: {message}")

    def __len__(self) -> int:
        return len(self._images)

    def choose(self, names: Sequence[str]) -> dict[int, str]:
        """Give the categories of these names: id to name. Raises `InputError` for a name that there is not."""
        for name in names:
            if name not in self.categories.values():
                raise InputError(
                    f"{self.path} has no category {name!r}",
                    f"it has {', '.join(sorted(self.categories.values())) or 'none'}",
                )
        return {number: name for number, name in self.categories.items() if name in names}

    @property
    def annotation_count(self) -> int:
        """How many annotations belong to the file's images."""
        return len(self._annotations)

    def __iter__(self) -> Iterator[CocoTask]:
        images = chain.from_iterable(block.tolist() for block in self._images.blocks(_IMAGES_AT_A_TIME))
        annotations = chain.from_iterable(block.tolist() for block in self._annotations.blocks(_IMAGES_AT_A_TIME))
        owner, *span = next(annotations, (-1,))
        for number, (_, offset, length) in enumerate(images):
            spans = []
            while owner == number:
                spans.append(tuple(span))
                owner, *span = next(annotations, (-1,))
            yield CocoTask(number, (offset, length), spans)

    def read(self, offset: int, length: int) -> bytes:
        """Read some bytes of the file."""
        return read_bytes(str(self.path), offset, length)

    def image(self, task: CocoTask) -> CocoImage:
        """Parse the record of an image.

        Raises `SampleError` for a record that cannot be used: ``bad-image-record``, ``duplicate-id``,
        ``duplicate-key``, ``unsafe-name``, ``huge-image``.
        """
        record = self.read(*task.image)
        try:
            image = decode_record(record, CocoImage)
        except msgspec.DecodeError as error:
            raise SampleError("bad-image-record", f"{self.path}: image {_any_id(record)}: {error}") from error
        if image.width * image.height > MOST_PIXELS:
            raise SampleError(
                "huge-image",
                f"{self.path}: {image.file_name} (image id {image.id}) claims {image.width} x {image.height} pixels",
            )
        try:
            key_of(image.file_name)
        except SampleError as error:
            raise SampleError(error.code, f"{self.path}: image {image.id}: {error.message}", error.hint) from error
        if self._duplicate_ids and self._duplicate_ids.last(image.id) is not None:
            raise SampleError(
                "duplicate-id", f"{self.path}: {image.file_name} shares its image id {image.id} with another image"
            )
        if self._duplicate_keys and self._duplicate_keys.last(_hash_key(image.file_name)) is not None:
            raise SampleError(
                "duplicate-key",
                f"{self.path}: {image.file_name} (image id {image.id}) differs from another image only in its suffix",
                "rename one of them",
            )
        return image

    def __repr__(self) -> str:
        return f"CocoFile({str(self.path)!r}: {len(self)} images, {self.annotation_count} annotations)"


def _add(column: Column, block: Block, ids: npt.NDArray[np.int64]) -> None:
    """Add the ids of a block's records, and where they lie."""
    records = np.empty(len(ids), column.dtype)
    records["key"], records["offset"] = ids, block.starts + block.offset
    records["length"] = block.ends - block.starts
    column.extend(records)


def decode_record(record: bytes, kind: type[T]) -> T:
    """Decode a record; one with NaN or Infinity, which are no JSON but which Python writes, is read as Python does.

    Raises `msgspec.DecodeError`.
    """
    try:
        return msgspec.json.decode(record, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        try:
            value = json.loads(record)
            return msgspec.convert(value, kind)
        except msgspec.DecodeError:
            raise
        except (ValueError, RecursionError) as error:  # half a pair of surrogates is one of them
            raise msgspec.DecodeError(str(error)) from error


def _courtesy(value: bytes) -> Any:
    """Licences and info are a courtesy: what does not follow the format states nothing."""
    try:
        return decode_record(value, Any)
    except msgspec.DecodeError:
        return None


def _by_id(licences: Any) -> dict[int | str, dict[str, Any]]:
    entries = [entry for entry in licences if isinstance(entry, dict)] if isinstance(licences, list) else []
    return {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), int | str)}


def _text(info: Any, name: str) -> str | None:
    text = info.get(name) if isinstance(info, dict) else None
    return text if isinstance(text, str) else None


def _hash_key(file_name: str) -> int:
    try:
        return hash(key_of(file_name))
    except SampleError:
        return hash(file_name)


def _hash_keys(file_names: list[str]) -> list[int]:
    """Do what `_hash_key` does for names that are as plain as almost all are, at ten times its speed."""
    joined = "\n".join(file_names) + "\n"
    suffix = "." + file_names[0].rpartition(".")[2] + "\n" if file_names else "\n"
    odd = any(part in joined for part in ("\\", "//", "./", ":", f"/{suffix}", f"\n{suffix}", f".{suffix}"))
    odd = odd or "/" in suffix or joined.count("\n") != len(file_names)
    if odd or joined.count(suffix) != len(file_names) or joined.startswith((suffix, "/")):
        return [_hash_key(name) for name in file_names]
    end = 1 - len(suffix)
    return [hash(name[:end]) for name in file_names]


def _any_id(record: bytes) -> Any:
    try:
        value = json.loads(record)
    except (ValueError, RecursionError):
        return "that is not valid JSON"
    return value.get("id", "without id") if isinstance(value, dict) else "that is no object"


class _Held(NamedTuple):
    path: str
    identity: tuple[int, int, int, int]
    descriptor: int


_held: _Held | None = None


def _descriptor(path: str) -> int:
    """Open a file, and keep it open until another is asked for, or this one has changed."""
    global _held  # noqa: PLW0603 - one file a process, whoever asks
    if is_url(path):
        path = str(local(path))
    status = os.stat(path)  # noqa: PTH116 - a third of the time, once a record
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if _held is None or _held[:2] != (path, identity):
        if _held is not None:
            os.close(_held.descriptor)
            _held = None
        _held = _Held(path, identity, os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
    return _held.descriptor


def read_bytes(path: str, offset: int, length: int) -> bytes:
    """Read `length` bytes at `offset`; the file stays open for the next call."""
    descriptor = _descriptor(path)
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows
    return os.read(descriptor, length)


def category_of(record: bytes) -> int | None:
    """Give the category id of an annotation, whatever else is wrong with it; None if it has none."""
    try:
        return decode_record(record, _CategoryId).category_id
    except msgspec.DecodeError:
        return None


def parse_annotation(record: bytes, path: str, image: CocoImage) -> CocoAnnotation:
    """Parse an annotation of an image.

    Raises `SampleError` (``bad-annotation``) that names the file, the annotation and the image.
    """
    try:
        annotation = decode_record(record, CocoAnnotation)
    except msgspec.DecodeError as error:
        raise SampleError(
            "bad-annotation", f"{path}: annotation {_any_id(record)} of {image.file_name}: {error}"
        ) from error
    for name in ("bbox", "face_box", "keypoints"):
        if not all(map(math.isfinite, getattr(annotation, name) or ())):
            where = f"{path}: annotation {annotation.id} of {image.file_name}"
            raise SampleError("bad-annotation", f"{where}: its {name} holds a number that is not finite")
    if annotation.image_id != image.id:
        raise SampleError(
            "bad-annotation", f"{path}: annotation {annotation.id} was taken for one of {image.file_name}, and is not"
        )
    return annotation


def person_of(annotation: CocoAnnotation, category: str, path: str, image: CocoImage, hint: str = "") -> Person:
    """Give the person that an annotation of an image marks, with its mask drawn.

    Raises `SampleError` (``bad-polygon``, ``bad-rle``, ``size-mismatch``, ``bad-keypoints``) that names the file, the
    annotation and the image; `hint` is said where the error has none of its own. A score that is not finite is none.
    """
    try:
        rle = segmentation_to_rle(annotation.segmentation, image.height, image.width)
        keypoints = _triples(annotation.keypoints)
    except SampleError as error:
        where = f"{path}: annotation {annotation.id} of {image.file_name}"
        raise SampleError(error.code, f"{where}: {error.message}", error.hint or hint) from error
    return Person(
        id=annotation.id,
        category=category,
        box=annotation.bbox or rle_box(rle),
        area=rle_area(rle),
        crowd=bool(annotation.iscrowd),
        keypoints=keypoints,
        face_box=annotation.face_box,
        rle=rle,
        category_id=annotation.category_id,
        score=annotation.score if math.isfinite(annotation.score or 0) else None,
    )


def _triples(keypoints: list[float] | None) -> list[tuple[float, float, float]] | None:
    if not keypoints:
        return None
    if len(keypoints) % 3:
        raise SampleError("bad-keypoints", f"its {len(keypoints)} keypoint numbers are no rows of x, y, visibility")
    return list(zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True))
