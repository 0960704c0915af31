"""Faults of one sample of a data set: its row, its files, its mask and its persons."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec
import numpy as np

from segdata.dataset import UNREADABLE, Row
from segdata.errors import SampleError
from segdata.files import read_file
from segdata.masks import Mask, check_rle, merge_rles, rle_to_mask
from segdata.pixels import IMAGE_SUFFIXES, MOST_PIXELS, PhotoFacts, check_photo, decode_labels
from segdata.quality.validate.findings import KIND, Fault, Finding, finding_of
from segdata.quality.validate.mask_faults import mask_faults
from segdata.quality.validate.persons import person_faults
from segdata.quality.validate.rules import RuleSample, run_rules
from segdata.sample import Person, Rle, key_of, path_of
from segdata.storage import join_path
from segdata.wording import amount

VOID = 255
_FILE = "file_name"
_PHOTO, _MASK = "file_name", "mask_file_name"

Size = tuple[int, int]


class Facts(NamedTuple):
    """What is compared between samples: the photo's hash, and the names of the sample's files that exist or not."""

    key: str
    photo: bytes | None
    files: tuple[str, ...]


class Checked(NamedTuple):
    """What was found in a sample."""

    findings: list[Finding]
    facts: Facts | None


class CheckSample(msgspec.Struct, frozen=True):
    """The check of one line of metadata.jsonl, picklable."""

    root: str
    metadata: str
    rules: str | None = None

    def __call__(self, task: tuple[int, bytes]) -> Checked:
        """Look at everything that the line names."""
        number, line = task
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
            key = key_in(row)
        except (*UNREADABLE, SampleError) as error:
            fault = Fault("bad-row", f"cannot be read ({error})")
            return Checked([finding_of(fault, self.metadata, f"line {number}")], None)
        sample = _Sample(self, key, row)
        findings = list(sample.check())
        if self.rules is not None:
            findings += run_rules(self.rules, self.metadata, RuleSample(key, row, sample.mask, sample.void, self.root))
        return Checked(findings, Facts(key, sample.photo_hash, tuple(sample.files)))


def key_in(row: Row) -> str:
    """Give a row's key. Raises `SampleError` where it has none that can name files."""
    key = row.get("key")
    if key is None and isinstance(row.get(_PHOTO), str):
        return key_of(row[_PHOTO]).removeprefix("images/")
    if not isinstance(key, str):
        raise SampleError("bad-row", "it needs a key that is text, or a file_name and no key")
    key_of(key)
    return key


class _Columns(msgspec.Struct, gc=False):
    """The types of the columns that segdata reads."""

    width: int | None = None
    height: int | None = None
    exif_orientation: int | None = None
    persons: list[Any] | None = None
    domain: str | None = None
    split: str | None = None
    image_id: int | None = None


class _Sample:
    """The check of a sample, step by step: each leaves what the next ones need."""

    def __init__(self, work: CheckSample, key: str, row: Row) -> None:
        self.work, self.key, self.row = work, key, row
        self.files: list[str] = []
        self.photo_hash: bytes | None = None
        self.photo: PhotoFacts | None = None
        self.size: Size | None = None  # height and width that everything must have
        self.mask: Mask | None = None
        self.void: Mask | None = None
        self.rles: list[Rle] | None = None

    def check(self) -> Iterator[Finding]:
        yield from self._types()
        yield from self._photo()
        yield from self._mask_file()
        yield from self._row_size()
        yield from self._labels()
        yield from self._persons()
        yield from self._mask()

    def _finding(self, fault: Fault, file: str | None = None) -> Finding:
        where = self.work.metadata if file is None else join_path(self.work.root, file)
        return finding_of(fault, where, self.key if file is None else f"{file} of {self.key}", key=self.key)

    def _types(self) -> Iterator[Finding]:
        """Drop columns of the wrong type, so that the rest can be looked at."""
        for name in _Columns.__struct_fields__:
            try:
                msgspec.convert({name: self.row.get(name)}, _Columns)
            except msgspec.ValidationError as error:
                yield self._finding(Fault("bad-row", f"has a column that cannot be read ({error})"))
                self.row = {**self.row, name: None}
        for name in ("width", "height"):
            if self.row.get(name) is not None and self.row[name] < 1:
                yield self._finding(Fault("bad-row", f"has the {name} {self.row[name]}"))
                self.row = {**self.row, name: None}
        if (self.row.get("width") or 0) * (self.row.get("height") or 0) > MOST_PIXELS:
            yield self._finding(Fault("huge-image", f"is {self.row['width']} x {self.row['height']} by its row"))
            self.row = {**self.row, "width": None, "height": None}

    def _name(self, column: str) -> tuple[str | None, Finding | None]:
        name = self.row.get(column)
        if name is None or name == "":
            return None, None
        if not isinstance(name, str):
            return None, self._finding(Fault("bad-row", f"has a {column} that is no text"))
        try:
            path = path_of(name)
        except SampleError as error:
            return None, self._finding(Fault("unsafe-name", f"names {name!r} as {column}", remedy=error.hint))
        self.files.append(path)
        return path, None

    def _read(self, column: str) -> Iterator[Finding | tuple[str, bytes]]:
        """Yield the name and content of a file, or what is wrong with it; nothing where the row names none."""
        path, finding = self._name(column)
        if finding is not None:
            yield finding
        if path is None:
            return
        try:
            yield path, read_file(join_path(self.work.root, path))
        except SampleError as error:
            what = "does not exist" if error.code == "missing-file" else "cannot be read"
            yield self._finding(Fault(error.code, what), path)

    def _broken(self, error: SampleError, path: str) -> Finding:
        message = error.message.removeprefix(path).strip()
        code = error.code if error.code in KIND else "unreadable-image"
        return self._finding(Fault(code, message, remedy=error.hint), path)

    def _photo(self) -> Iterator[Finding]:
        for found in self._read(_PHOTO):
            if isinstance(found, Finding):
                yield found
                continue
            path, data = found
            self.photo_hash = hashlib.blake2b(data, digest_size=16).digest()
            try:
                self.photo = check_photo(data, path)
                self.size = (self.photo.height, self.photo.width)
            except SampleError as error:
                yield self._broken(error, path)

    def _mask_file(self) -> Iterator[Finding]:
        for found in self._read(_MASK):
            if isinstance(found, Finding):
                yield found
                continue
            path, data = found
            try:
                labels = decode_labels(data, path)
            except SampleError as error:
                mendable = error.code == "colour-mask" and two_colours(data, path) is not None
                broken = self._broken(error, path)
                yield msgspec.structs.replace(broken, mendable=mendable)
                continue
            yield from self._size_faults(path, labels.shape)
            yield from self._values(path, labels)

    def _size_faults(self, path: str, shape: Size) -> Iterator[Finding]:
        self.size = self.size or shape
        if shape == self.size:
            return
        stored = None if self.photo is None else self.photo.stored_size[::-1]
        sizes = f"{shape[1]} x {shape[0]}"
        if self.photo is not None and shape == stored:
            turned = f"which its EXIF orientation {self.photo.orientation} turns"
            yield self._finding(Fault("rotated-photo", f"is {sizes}, as the photo is stored, {turned}"), path)
        else:
            yield self._finding(
                Fault("size-mismatch", f"is {sizes}, where {self.size[1]} x {self.size[0]} is wanted"), path
            )

    def _values(self, path: str, labels: Any) -> Iterator[Finding]:
        if labels.dtype == np.bool_:
            self.mask = labels
            return
        person = labels != 0
        values = np.unique(labels[person])[:5].tolist()
        if len(values) == 2 and values == [1, VOID]:
            self.void = labels == VOID
            self.mask = labels == 1
        elif len(values) > 1:
            many = ", ".join(map(str, values[:4])) + (", ..." if len(values) > 4 else "")
            yield self._finding(Fault("not-binary", f"holds the values {many} beside 0"), path)
        else:
            self.mask = person

    def _row_size(self) -> Iterator[Finding]:
        row, photo = self.row, self.photo
        width, height = row.get("width"), row.get("height")
        if photo is None:
            if self.size is None and width and height:
                self.size = (height, width)
            elif self.size is not None and width and height and (height, width) != self.size:
                yield self._finding(
                    Fault(
                        "size-mismatch", f"is {width} x {height} by its row, its mask {self.size[1]} x {self.size[0]}"
                    )
                )
            return
        stated = (width or photo.width, height or photo.height)
        orientation = row.get("exif_orientation")
        fits = self.mask is None or self.mask.shape == (photo.height, photo.width)
        if stated != (photo.width, photo.height):
            if stated == photo.stored_size and not fits:
                return  # said of the mask: the labels are for the pixels as stored
            text = f"is {stated[0]} x {stated[1]} by its row, its photo {photo.width} x {photo.height} upright"
            yield self._finding(Fault("row-size", text, mendable=fits))
        elif orientation is not None and orientation != photo.orientation:
            text = f"has the EXIF orientation {orientation} by its row, {photo.orientation} by its photo"
            yield self._finding(Fault("row-size", text, mendable=True))

    def _labels(self) -> Iterator[Finding]:
        """Look at the other files that the row names: edges, saliency maps and whatever else."""
        for column in self.row:
            if not column.endswith(_FILE) or column in (_PHOTO, _MASK):
                continue
            for found in self._read(column):
                if isinstance(found, Finding):
                    yield found
                elif PurePosixPath(found[0]).suffix.lower() in IMAGE_SUFFIXES:
                    try:
                        facts = check_photo(found[1], found[0])
                    except SampleError as error:
                        yield self._broken(error, found[0])
                        continue
                    yield from self._size_faults(found[0], (facts.height, facts.width))

    def _persons(self) -> Iterator[Finding]:
        rows = self.row.get("persons")
        if rows is None or self.size is None:
            return
        self.rles, ids = [], set()
        for number, each in enumerate(rows):
            id_ = each.get("id") if isinstance(each, dict) else None
            id_ = id_ if isinstance(id_, int) else None
            faults = list(self._person(each, self.size))
            if id_ is not None and id_ in ids:
                faults.append(Fault("duplicate-id", "has the id of another person of the photo"))
            ids.add(id_)
            subject = f"person {number if id_ is None else id_} of {self.key}"
            for fault in faults:
                yield finding_of(fault, self.work.metadata, subject, key=self.key, number=number, id=id_)

    def _person(self, each: Any, size: Size) -> Iterator[Fault]:
        box = each.get("box") if isinstance(each, dict) else None
        odd = isinstance(box, list) and len(box) != 4 and all(isinstance(number, int | float) for number in box)
        if odd:
            each = {**each, "box": None}  # said as a fault of the box
        try:
            person = msgspec.convert(each, Person)
        except msgspec.ValidationError as error:
            self.rles = None
            yield Fault("bad-person", f"cannot be read ({error})")
            return
        rle = person.rle
        try:
            if rle is not None and rle.size != size:
                rotated = self.photo is not None and rle.size == self.photo.stored_size[::-1]
                text = (
                    f"has run lengths for {rle.size[1]} x {rle.size[0]} pixels, where {size[1]} x {size[0]} are wanted"
                )
                yield Fault("rotated-photo" if rotated else "size-mismatch", text)
                rle = None
            elif rle is not None:
                check_rle(rle)
        except SampleError as error:
            yield Fault("bad-rle", f"has bad run lengths: {error.message}")
            rle = None
        if self.rles is not None:
            self.rles = None if rle is None else [*self.rles, rle]
        yield from person_faults(
            size,
            rle,
            box=box if odd else person.box,
            area=person.area,
            keypoints=person.keypoints,
            crowd=person.crowd,
        )

    def _mask(self) -> Iterator[Finding]:
        mask = self.mask
        if mask is None:
            return
        known_empty = self.row.get("persons") == []
        if not mask.any():
            if known_empty:
                yield self._finding(Fault("nobody", "shows nobody, by mask and row"))
            else:
                yield self._finding(Fault("empty-mask", "has an empty mask"))
        elif mask.all():
            yield self._finding(Fault("full-mask", "has a mask that covers all of the photo"))
        union = None
        if self.rles is not None and (self.rles or known_empty) and mask.shape == self.size:
            union = rle_to_mask(merge_rles(self.rles, *mask.shape))
            differs = (union != mask) if self.void is None else (union != mask) & ~self.void
            count = int(np.count_nonzero(differs))
            if count:
                inverted = ": it is inverted" if count == mask.size else ""
                text = f"has a mask that differs from its persons in {amount(count, 'pixel')}{inverted}"
                yield self._finding(Fault("mask-persons", text))
                union = None
        alone = union is None and len(self.row.get("persons") or ()) <= 1
        drawn = union is not None and not any("estimated" in person for person in self.row.get("persons") or ())
        for fault in mask_faults(mask, tiny=alone, cuts=not drawn):  # outlines run along walls, and no tile ends there
            yield self._finding(fault)


def two_colours(data: bytes, name: str) -> Mask | None:
    """Give the mask, bool (H, W), of an image of black and one other colour; None of any other image."""
    from segdata.pixels import decode_image  # noqa: PLC0415

    with suppress(SampleError):
        pixels = decode_image(data, name)
        packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        mask: Mask = packed != 0
        if mask.any() and np.count_nonzero(packed == packed.max()) == np.count_nonzero(mask):
            return mask
    return None
