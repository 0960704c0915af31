"""PASCAL VOC: the class of each pixel, and which of the objects it is, as palette PNGs.

Specification: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/ (the development kit); the file labelmap.txt and
colour PNGs as CVAT and datumaro write them: https://docs.cvat.ai/docs/manual/advanced/formats/format-voc/ ::

    JPEGImages/KEY.jpg                      the photos, under the suffix that they have
    SegmentationClass/KEY.png               15 person, 0 background, 255 void
    SegmentationObject/KEY.png              1, 2, ... the persons in their order, 255 void
    ImageSets/Segmentation/train.txt ...    the keys of each split; trainval.txt those of train and val, default.txt
                                            those without a split
    labelmap.txt                            the classes and their colours

Names with folders stay as they are, which datumaro reads and VOC's own scripts do not forbid. A pixel of several
persons goes to the smallest, and one without a pixel of its own is lost. Persons lose their ids, crowd marks, boxes and
keypoints; a photo holds 254 at most.

Reading takes classes by their name in labelmap.txt, or VOC's twenty where there is none; palette PNGs, grey ones of
class numbers, and coloured ones. In a palette PNG the colours count where labelmap.txt has all of them, the numbers
otherwise. Void is dropped unless `ReadOptions.void` is given. Each object that has pixels of a chosen class is a
person, with the object's number as id; pixels of the class in no object are one more, without id. Without
SegmentationObject all pixels of a class are one. A listed photo without masks shows nobody where there is a
labelmap.txt, for CVAT and datumaro write none for it, and fails otherwise: VOC keeps the masks of its test photos back.

datumaro reads and writes VOC, and is not used: it needs OpenCV and pandas of its own, and holds all items in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.files import is_file, read_file, write_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.folders import SplitLists, as_key, find_photo, only_file, split_to_list, walk_masks, write_lists
from segdata.formats.palette import (
    NO_INDEX,
    VOID,
    check_count,
    code_of,
    draw_persons,
    encode_palette_png,
    is_coloured,
    palette_of,
    unpaint,
    values_in,
    voc_colours,
)
from segdata.masks import Mask, mask_to_rle
from segdata.pixels import check_photo, decode_image, decode_labels
from segdata.sample import Outcome, Person, path_of
from segdata.storage import as_path, join_path

_PHOTOS = "JPEGImages"
_CLASSES = "SegmentationClass"
_OBJECTS = "SegmentationObject"
_LISTS = "ImageSets/Segmentation"
_LABEL_MAP = "labelmap.txt"

_NAMES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_BACKGROUND = "background"
_IGNORED = ("ignored", "void")
_PERSON = _NAMES.index("person")
_BLACK = -2  # the colour black, where no label has it
_TRAINVAL = ("train", "val")

Labels = npt.NDArray[np.int32]


class _Label(NamedTuple):
    name: str
    number: int
    colour: tuple[int, int, int]


def _standard() -> list[_Label]:
    colours = [(int(red), int(green), int(blue)) for red, green, blue in voc_colours()]
    labels = [_Label(name, number, colours[number]) for number, name in enumerate(_NAMES)]
    return [*labels, _Label(_IGNORED[0], VOID, colours[VOID])]


def _read_label_map(path: Path) -> list[_Label]:
    """Read lines of name:red,green,blue:parts:actions; a label's number is its place. # starts a comment."""
    colours = voc_colours()
    labels: list[_Label] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", "check that it is a text file in UTF-8") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, *rest = text.split(":")
        place = len(labels)
        parts = [part.strip() for part in (rest[0] if rest else "").split(",") if part.strip()]
        if not parts and place <= VOID:
            parts = [str(level) for level in colours[place]]
        if len(parts) != 3 or not all(part.isdecimal() and int(part) <= 255 for part in parts):
            raise InputError(
                f"{path}, line {number}, gives the label {name!r} no colour",
                "write name:red,green,blue::, each 0 to 255",
            )
        red, green, blue = map(int, parts)
        labels.append(_Label(name.strip(), place, (red, green, blue)))
        same = next(label for label in labels if label.colour == labels[-1].colour)
        if same.number != place:
            raise InputError(
                f"{path}, line {number}, gives {name!r} the colour of {same.name!r}", "give each label its own colour"
            )
    return labels


class _Payload(NamedTuple):
    """The mask of classes, None for a listed photo without, and the split."""

    classes: str | None
    split: str | None


class Voc:
    """An opened folder. Iterating lists SegmentationClass, then photos that are listed and have no mask there."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.root = path
        if not (path / _CLASSES).is_dir():
            raise InputError(f"{path} holds no {_CLASSES}", f"give the folder that has {_CLASSES} and {_PHOTOS} in it")
        label_map = path / _LABEL_MAP
        labels = _read_label_map(label_map) if label_map.is_file() else _standard()
        chosen = {label.number: label.name for label in labels if label.name in options.categories}
        for name in options.categories:
            if name not in chosen.values():
                known = ", ".join(label.name for label in labels)
                source = label_map if label_map.is_file() else "PASCAL VOC"
                raise InputError(f"{source} has no label {name!r}", f"it has {known}")
        self.lists = SplitLists(path / _LISTS)
        photos = as_path(options.images or path / _PHOTOS)
        self.parse: Callable[[str, _Payload], Incoming] = _Parse(
            root=str(path),
            photos=str(photos) if photos.is_dir() and any(photos.iterdir()) else None,
            labels=labels,
            chosen=chosen,
            void=options.void,
            mapped=label_map.is_file(),
        )
        self.total: int | None = sum(1 for _ in self)
        if not self.total:
            raise InputError(f"{path / _CLASSES} holds no masks", "check that it is a data set of segmentations")

    def __iter__(self) -> Iterator[tuple[str, _Payload] | Outcome]:
        """Yield each key with its mask and split."""
        classes = self.root / _CLASSES
        for name, files in walk_masks(classes):
            try:
                yield as_key(name), _Payload(only_file(classes, name, files), self.lists.split_of(name))
            except SampleError as error:
                yield Outcome(name, "import", "failed", error.code, str(error))
        for name in self.lists:
            try:
                if not (classes / f"{path_of(name)}.png").is_file():
                    yield name, _Payload(None, self.lists.split_of(name))
            except SampleError as error:
                yield Outcome(name, "import", "failed", error.code, str(error))


class _Parse(msgspec.Struct, frozen=True):
    """Reads the files of one sample. `mapped` is whether the labels are those of a labelmap.txt."""

    root: str
    photos: str | None
    labels: list[_Label]
    chosen: dict[int, str]
    void: int | None
    mapped: bool

    def __call__(self, key: str, payload: _Payload) -> Incoming:
        photo_file = self._photo(key)
        photo = None if photo_file is None else read_file(photo_file)
        photo_name = None if photo_file is None else key + PurePath(photo_file).suffix
        columns: Row = {} if payload.split is None else {"split": payload.split}
        if payload.classes is None:
            width, height = self._size_without_mask(key, photo)
            known = None if self.void is None else np.zeros((height, width), np.bool_)
            return Incoming(width, height, photo, photo_name, void=known, columns=columns)
        classes = self._classes(payload.classes)
        void = classes.are([*self._named(_IGNORED), VOID if self.void is None else self.void])
        mask = classes.are([*self.chosen]) & ~void
        background = classes.are([*self._named(_BACKGROUND), _BLACK])
        notes = [] if (mask | void | background).all() else ["with other classes, left out"]
        if self.void is None and void.any():
            notes.append("with void pixels, taken for background")
        return Incoming(
            width=mask.shape[1],
            height=mask.shape[0],
            photo=photo,
            photo_name=photo_name,
            persons=self._persons(payload.classes, classes, mask, self._objects(key, mask.shape)),
            mask=mask,
            void=None if self.void is None else void,
            columns=columns,
            note=" and ".join(notes),
        )

    def _photo(self, key: str) -> str | None:
        if self.photos is None:
            return None
        found = find_photo(self.photos, key)
        if found is None:
            raise SampleError("no-photo", f"{key} of {self.root} has no photo in {self.photos}", "add or remove it")
        return found

    def _object_file(self, key: str) -> str:
        return join_path(self.root, f"{_OBJECTS}/{key}.png")

    def _size_without_mask(self, key: str, photo: bytes | None) -> tuple[int, int]:
        """Give the width and height of a photo without mask, if it shows nobody."""
        if not self.mapped or photo is None or is_file(self._object_file(key)):
            raise SampleError(
                "no-mask",
                f"{self.root}/{_LISTS} lists {key}, which has no mask in {_CLASSES}",
                "add it or leave it out",
            )
        facts = check_photo(photo, key)
        return facts.width, facts.height

    def _named(self, names: Sequence[str]) -> list[int]:
        return [label.number for label in self.labels if label.name in names]

    def _classes(self, name: str) -> _Classes:
        data = read_file(name)
        numbers = {code_of((0, 0, 0)): _BLACK, code_of(voc_colours()[VOID]): VOID}
        numbers |= {code_of(label.colour): label.number for label in self.labels}
        if is_coloured(data):
            codes = {code: place for place, code in enumerate(numbers)}
            return _Classes(_of_colours(data, codes, name), np.array([*numbers.values()], np.int32))
        values = decode_labels(data, name)
        if values.dtype == np.bool_:
            values = values.view(np.uint8)
        present = values_in(values)
        palette = palette_of(data) if self.mapped else None
        if palette is not None and present and present[-1] < len(palette):
            of_colour = unpaint(palette, numbers)
            if (of_colour[present] != NO_INDEX).all():
                return _Classes(values, of_colour)
        return _Classes(values, np.arange(1 + max(present, default=0), dtype=np.int32))

    def _objects(self, key: str, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
        """Give the number of the object of each pixel, 0 for none; None where there is no such mask."""
        name = self._object_file(key)
        if not is_file(name):
            return None
        data = read_file(name)
        if is_coloured(data):
            codes = {code_of(colour): number for number, colour in enumerate(voc_colours())}
            objects: npt.NDArray[Any] = _of_colours(data, codes, name)
        else:
            objects = decode_labels(data, name)
        if objects.shape != shape:
            raise SampleError(
                "size-mismatch",
                f"{name} is {objects.shape[1]} x {objects.shape[0]}, the mask of classes {shape[1]} x {shape[0]}",
                "give both the size of the photo",
            )
        return np.where(objects == VOID, objects.dtype.type(0), objects)

    def _persons(self, name: str, classes: _Classes, mask: Mask, objects: npt.NDArray[Any] | None) -> list[Person]:
        """Give a person for each object, or else for each class; last what is of no object."""
        apart = classes.numbers[classes.values] if objects is None else objects
        found = sorted(values_in(apart[mask]), key=lambda each: (each == 0, each))
        check_count(len(found) - (0 in found), name)
        persons = []
        for number in found:
            part = mask & (apart == number)
            label = int(classes.numbers[np.bincount(classes.values[part]).argmax()])
            own = None if objects is None or number == 0 else number
            persons.append(Person(id=own, category=self.chosen[label], category_id=label, rle=mask_to_rle(part)))
        return persons


class _Classes(NamedTuple):
    """What a mask of classes holds: a value for each pixel, (H, W), and the number of the label of each value."""

    values: npt.NDArray[Any]
    numbers: Labels

    def are(self, numbers: Sequence[int]) -> Mask:
        """Tell which pixels have one of the labels."""
        found = np.zeros(self.values.shape, np.bool_)
        for value in np.flatnonzero(np.isin(self.numbers, numbers)):  # few, and quicker one by one than by a table
            found |= self.values == value
        return found


def _of_colours(data: bytes, codes: dict[int, int], name: str) -> Labels:
    pixels = decode_image(data, name)
    found = unpaint(pixels, codes)
    unknown = found == NO_INDEX
    if unknown.any():
        colour = ",".join(map(str, pixels[unknown][0].tolist()))
        raise SampleError(
            "unknown-colour",
            f"{name} has pixels of the colour {colour}, which is no label's",
            f"add it to {_LABEL_MAP}",
        )
    return found


def encode(sample: Outgoing, _options: WriteOptions) -> Encoded:
    """Give the photo, the two masks and the split of a sample."""
    key, persons = sample.key, sample.persons
    split = split_to_list(key, sample.row)
    check_count(len(persons), key)
    classes = sample.mask.astype(np.uint8) * np.uint8(_PERSON)
    if sample.void is not None:
        classes[sample.void] = VOID
    objects = draw_persons(persons, range(1, len(persons) + 1), sample.void, sample.mask.shape)
    files = [
        (f"{_CLASSES}/{key}.png", encode_palette_png(classes)),
        (f"{_OBJECTS}/{key}.png", encode_palette_png(objects)),
    ]
    if sample.photo is not None and sample.photo_name is not None:
        files.append((f"{_PHOTOS}/{key}{PurePath(sample.photo_name).suffix}", sample.photo))
    return Encoded(files, split)


def assemble(export: Export) -> None:
    """Write labelmap.txt and the lists."""
    lines = [":".join((label.name, ",".join(map(str, label.colour)), "", "")) for label in _standard()]
    write_file(export.out / _LABEL_MAP, "\n".join(["# label:color_rgb:parts:actions", *lines, ""]).encode())

    def names() -> Iterator[tuple[str, str | None]]:
        for key, split in export.records():
            yield key, split
            if split in _TRAINVAL:
                yield key, "trainval"

    write_lists(export.out / _LISTS, names)


def recognise(path: Path) -> str | None:
    """Recognise the folder of the masks of classes.

    >>> recognise(Path("no such folder")) is None
    True
    """
    return f"it has {_CLASSES}/" if (path / _CLASSES).is_dir() else None


FORMAT = Format(
    name="voc",
    about="PASCAL VOC segmentation: palette PNGs of classes and objects",
    reads="SegmentationClass/, SegmentationObject/, ImageSets/, labelmap.txt, as VOC, CVAT and datumaro write them",
    writes="class 15 for persons, an object for each (254 at most), lists of the splits, labelmap.txt",
    loses="ids, crowd marks, boxes, keypoints, scores; a pixel of several persons goes to the smallest",
    kept="mask",
    recognise=recognise,
    open=Voc,
    encode=encode,
    assemble=assemble,
)
