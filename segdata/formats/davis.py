"""DAVIS 2017: videos as sequences of frames, with an index mask for each frame.

Specification: https://davischallenge.org/davis2017/code.html, and what its evaluation code reads
(https://github.com/davisvideochallenge/davis2017-evaluation)::

    JPEGImages/480p/SEQUENCE/FRAME.jpg   the photos, as they are, under the suffix that they have
    Annotations/480p/SEQUENCE/FRAME.png  palette PNG: 0 background, then an index for each person
    ImageSets/2017/train.txt ...         the sequences of each split; default.txt those without one

The folder of a key is its sequence, and may have folders above it. A key without folder, or named like its folder, is a
sequence of its own that is named like the frame: ``0001`` is written as 0001/0001 and read as ``0001`` again. DAVIS
numbers its frames 00000, 00001, ...; frames keep their names here, and the tools take them in the order of these. The
folder is named 480p whatever the size, for the tools look there.

An index is the same person in all frames of a sequence. Persons whose ids are 1 to 254 in a frame have them as
indices, so that what comes from DAVIS goes back the same; otherwise they are numbered in their order, frame by frame. A
pixel of several persons goes to the smallest; one without a pixel of its own is lost. Void pixels are 255, which the
evaluation code leaves out. DAVIS lists whole sequences: one whose frames are of several splits is in default.txt.

Reading takes the one resolution that there is, or the one that the path names (Annotations/480p). An index is the id of
a person, but for the value `ReadOptions.void`. DAVIS says nothing of what an object is: all are taken for persons.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import msgspec
import numpy as np

from segdata.dataset import Row, hash_key
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.folders import SplitLists, as_key, find_photo, only_file, split_to_list, walk_masks, write_lists
from segdata.formats.palette import MOST_PERSONS, check_count, draw_persons, encode_palette_png, values_in
from segdata.masks import mask_to_rle
from segdata.pixels import decode_labels
from segdata.sample import Outcome, Person
from segdata.storage import as_path

_PHOTOS = "JPEGImages"
_MASKS = "Annotations"
_LISTS = "ImageSets/2017"
_WRITTEN = "480p"
_RESOLUTION = re.compile(r"\d+p|Full-Resolution")


class _Payload(NamedTuple):
    """The mask, the place of the frame without suffix, and the split."""

    mask: str
    frame: str
    split: str | None


class Davis:
    """An opened folder. Iterating lists the sequences by name, and the frames of each."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.masks = _masks_in(path)
        root = self.masks.parent.parent
        photos = as_path(options.images or root / _PHOTOS / self.masks.name)
        self.lists = SplitLists(root / _LISTS)
        self.parse: Callable[[str, _Payload], Incoming] = _Parse(str(photos) if photos.is_dir() else None, options.void)
        self.total: int | None = sum(1 for _ in self)
        if not self.total:
            raise InputError(f"{self.masks} holds no masks", "check that it is a data set of the form of DAVIS")

    def __iter__(self) -> Iterator[tuple[str, _Payload] | Outcome]:
        """Yield each key with its mask."""
        for frame, files in walk_masks(self.masks):
            try:
                key = _key_of_frame(as_key(frame))
                split = self.lists.split_of(_sequence_of(frame))
                yield key, _Payload(only_file(self.masks, frame, files), frame, split)
            except SampleError as error:
                yield Outcome(frame, "import", "failed", error.code, str(error))


def _masks_in(path: Path) -> Path:
    """Find the folder of masks of the one resolution."""
    if path.parent.name == _MASKS and path.is_dir():
        return path
    found = _resolutions(path)
    if len(found) > 1:
        names = " and ".join(each.name for each in found)
        raise InputError(f"{path / _MASKS} holds the resolutions {names}", f"give one of them, such as {found[0]}")
    if not found:
        raise InputError(
            f"{path} has no folder {_MASKS} with a resolution such as {_WRITTEN} in it",
            f"give the folder that has {_MASKS}",
        )
    return found[0]


def _resolutions(path: Path) -> list[Path]:
    folder = path / _MASKS
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if _RESOLUTION.fullmatch(each.name) and each.is_dir())


def _sequence_of(frame: str) -> str:
    """Give the folder of a frame. Raises `SampleError` (``no-sequence``) for one that is in none."""
    sequence = frame.rpartition("/")[0]
    if not sequence:
        raise SampleError("no-sequence", f"{frame} lies in no sequence", "put it into a folder")
    return sequence


def _frame_of_key(key: str) -> str:
    """Give the sequence and name of the frame of a key.

    >>> _frame_of_key("walk/00000"), _frame_of_key("0001"), _frame_of_key("a/a")
    ('walk/00000', '0001/0001', 'a/a/a')
    """
    folder, _, name = key.rpartition("/")
    return key if folder and PurePath(folder).name != name else f"{key}/{name}"


def _key_of_frame(frame: str) -> str:
    """Give the key of a frame: `_frame_of_key` undone.

    >>> _key_of_frame("walk/00000"), _key_of_frame("0001/0001"), _key_of_frame("a/a/a")
    ('walk/00000', '0001', 'a/a')
    """
    folder, _, name = frame.rpartition("/")
    return folder if PurePath(folder).name == name else frame


class _Parse(msgspec.Struct, frozen=True):
    """Reads the files of one frame."""

    photos: str | None
    void: int | None

    def __call__(self, key: str, payload: _Payload) -> Incoming:
        photo_file = None
        if self.photos is not None:
            photo_file = find_photo(self.photos, payload.frame) or find_photo(self.photos, key)
        if photo_file is None and self.photos is not None:
            raise SampleError("no-photo", f"{payload.mask} has no photo in {self.photos}", "add it or remove the mask")
        indices = decode_labels(read_file(payload.mask), payload.mask)
        numbers = [number for number in values_in(indices) if number not in {0, self.void}]
        check_count(len(numbers), payload.mask)
        void = None if self.void is None else indices == self.void
        columns: Row = {} if payload.split is None else {"split": payload.split}
        return Incoming(
            width=indices.shape[1],
            height=indices.shape[0],
            photo=None if photo_file is None else read_file(photo_file),
            photo_name=None if photo_file is None else key + PurePath(photo_file).suffix,
            persons=[Person(id=number, rle=mask_to_rle(indices == number)) for number in numbers],
            void=void,
            columns=columns,
        )


def encode(sample: Outgoing, _options: WriteOptions) -> Encoded:
    """Give the photo, the mask and the split of a frame."""
    split = split_to_list(sample.key, sample.row)
    check_count(len(sample.persons), sample.key)
    frame = _frame_of_key(sample.key)
    drawn = draw_persons(sample.persons, _indices(sample), sample.void, sample.mask.shape)
    files = [(f"{_MASKS}/{_WRITTEN}/{frame}.png", encode_palette_png(drawn))]
    if sample.photo is not None and sample.photo_name is not None:
        files.append((f"{_PHOTOS}/{_WRITTEN}/{frame}{PurePath(sample.photo_name).suffix}", sample.photo))
    return Encoded(files, split)


def _indices(sample: Outgoing) -> list[int]:
    """Give the indices of the persons: the ids of the row, which repeat from frame to frame, where they can be."""
    own = [person.get("id") for person in sample.row.get("persons") or () if person.get("rle")]
    usable = len({*own}) == len(own) == len(sample.persons) and all(
        type(number) is int and 1 <= number <= MOST_PERSONS for number in own
    )
    return own if usable else list(range(1, len(sample.persons) + 1))


def assemble(export: Export) -> None:
    """Write the lists of sequences."""

    def frames() -> Iterator[tuple[str, str | None]]:
        for key, split in export.records():
            yield _sequence_of(_frame_of_key(key)), split

    splits: dict[str | None, int] = {}
    hashes, numbers = array("Q"), array("q")
    for sequence, split in frames():
        hashes.append(hash_key(sequence))
        numbers.append(splits.setdefault(split, len(splits)))
    _, first, place = np.unique(np.array(hashes, np.uint64), return_index=True, return_inverse=True)
    number = np.array(numbers, np.int64)
    mixed = np.zeros(len(first), np.bool_)
    np.logical_or.at(mixed, place, number != number[first][place])
    is_first = np.zeros(len(number), np.bool_)
    is_first[first] = True

    def sequences() -> Iterator[tuple[str, str | None]]:
        for row, (sequence, split) in enumerate(frames()):
            if is_first[row]:
                yield sequence, None if mixed[place[row]] else split

    write_lists(export.out / _LISTS, sequences)


def recognise(path: Path) -> str | None:
    """Recognise the folder of masks of a resolution.

    >>> recognise(Path("no such folder")) is None
    True
    """
    found = _resolutions(path)
    return f"it has {_MASKS}/{found[0].name}/" if found else None


FORMAT = Format(
    name="davis",
    about="DAVIS 2017: frames of videos with index masks",
    reads="Annotations/ of one resolution, JPEGImages/, ImageSets/2017/",
    writes="palette PNGs, an index a person (254 at most); a photo without folder is a sequence of its own",
    loses="ids but 1 to 254, crowd marks, boxes, keypoints, scores; a pixel of several persons goes to the smallest",
    kept="mask",
    recognise=recognise,
    open=Davis,
    encode=encode,
    assemble=assemble,
)
