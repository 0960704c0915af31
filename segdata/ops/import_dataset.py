"""Make a data set out of what another tool wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segdata.dataset import Row
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, read_file, write_file
from segdata.formats.base import Incoming, ReadOptions
from segdata.formats.folders import find_photo
from segdata.formats.registry import find_format, recognise
from segdata.journal import Report
from segdata.masks import Mask, mask_to_rle, merge_rles, rle_area, rle_box, rle_to_mask
from segdata.memory import DEFAULT
from segdata.pixels import PhotoFacts, check_photo, encode_png, encode_rle_png
from segdata.sample import Person, encode, path_of
from segdata.steps import Progress, Result, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "import"
AUTO = "auto"

_VOID = 255
_PERSON_BESIDE_VOID = 1


def import_dataset(
    format: str,  # noqa: A002 - the word that users know
    path: str | Path,
    *,
    out: str | Path,
    images: str | Path | None = None,
    categories: Sequence[str] = ("person",),
    void: int | None = None,
    memory: int | str = DEFAULT,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a data set from a file or folder of another format.

    Parameters
    ----------
    format : one of `segdata.formats.registry.FORMATS`, or ``auto`` to recognise it.
    path : the file or folder.
    out : folder of the data set: masks/, metadata.jsonl and, where there are photos, images/. A second run does what
        has changed.
    images : folder of the photos, where they do not lie where the format says.
    categories : names of what is a person; other labels are left out.
    void : for formats of mask files, the value of pixels that nobody knows; they are written as 255, persons as 1.
    memory : the most that this process takes for a COCO file, in bytes or as ``500MB``; what it must know of a larger
        one is held in temporary files. Work on photos in this process comes on top.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Returns
    -------
    The counts of what was done. Samples that fail are rows of outcomes.jsonl.

    Raises
    ------
    InputError
        For a format that there is not or that is not recognised, a path that is not of it, and an `out` that cannot be
        used.
    StorageError
        If the place takes no more. The same call goes on from there.
    """
    if format == AUTO:
        format, reason = recognise(path)  # noqa: A001
        logging.getLogger("segdata").info("%s is %s: %s", path, format, reason)
    found = find_format(format)
    if images is not None and not as_path(images).is_dir():
        raise InputError(f"{images} is not a folder", "give the folder of the photos")
    if not as_path(path).exists():
        raise InputError(f"{path} does not exist", "check the path")
    options = ReadOptions(None if images is None else str(images), tuple(categories), void, memory)
    source = found.open(as_path(path), options)
    total = sum(1 for _ in source) if shards is not None and source.total is None else source.total
    work = Import(str(path), str(out), options.images, source.parse)
    return run_step(
        STEP, as_path(out), work, iter(source), engine=engine, progress=progress, shards=shards, total=total
    )


class Import(msgspec.Struct, frozen=True):
    """The work on one sample."""

    path: str
    out: str
    images: str | None
    parse: Callable[[str, Any], Incoming]

    def __call__(self, key: str, payload: Any, previous: Row | None) -> Result:
        """Parse, write the mask and the photo, and give the row."""
        found = self.parse(key, payload)
        if found.photo is None and self.images is not None:
            found = _with_photo(found, key, self.images)
        persons = [_complete(person) for person in found.persons]
        mask = found.mask if found.mask is not None else _union(persons, found)
        mark = _mark(found, persons, mask)
        note = ", ".join(filter(None, (found.note, "without a photo" if found.photo is None else "")))
        if unchanged(previous, STEP, mark, self.out, ("file_name", "mask_file_name")) and previous is not None:
            return Result(previous, fresh=False, note=note)
        facts = self._facts(key, found)
        mask_name = f"masks/{key}.png"
        write_file(join_path(self.out, mask_name), _encode(mask, found.void))
        photo_name = None
        if found.photo is not None and found.photo_name is not None:
            photo_name = f"images/{path_of(found.photo_name)}"
            write_file(join_path(self.out, photo_name), found.photo)
        columns: Row = {
            "key": key,
            "file_name": photo_name,
            "mask_file_name": mask_name,
            "width": found.width,
            "height": found.height,
            "exif_orientation": None if found.photo is None else facts.orientation,
            "persons": persons,
            **found.columns,
        }
        return Result(updated(previous, STEP, mark, columns), fresh=True, note=note)

    def _facts(self, key: str, found: Incoming) -> PhotoFacts:
        """Make sure that the photo and its masks have one size."""
        facts = PhotoFacts(found.width, found.height, 1)
        if found.photo is not None:
            facts = check_photo(found.photo, f"{found.photo_name} of {self.path}")
        if (facts.width, facts.height) != (found.width, found.height):
            raise SampleError(
                "size-mismatch",
                f"{self.path}: the photo of {key} is {facts.width} x {facts.height} (upright), its masks are for "
                f"{found.width} x {found.height}",
                "give the photos that were annotated",
            )
        return facts


def _with_photo(found: Incoming, key: str, images: str) -> Incoming:
    """Add the photo of a sample, by its key, where the format neither holds nor names it."""
    path = find_photo(images, key)
    if path is None:
        raise SampleError("no-photo", f"{images} holds no photo of {key}", "give the folder of the photos")
    return found._replace(photo=read_file(path), photo_name=path.removeprefix(f"{images}/"))


def _complete(person: Person) -> Person:
    """Give a person with the area and, where it has none, the box of its mask."""
    if person.rle is None:
        return person
    return msgspec.structs.replace(person, area=rle_area(person.rle), box=person.box or rle_box(person.rle))


def _union(persons: list[Person], found: Incoming) -> Mask:
    mask = rle_to_mask(merge_rles([each.rle for each in persons if each.rle is not None], found.height, found.width))
    return mask if found.void is None else mask & ~found.void


def _mark(found: Incoming, persons: list[Person], mask: Mask) -> str:
    pixels = [mask_to_rle(each).counts.encode() for each in (mask, found.void) if each is not None]
    facts = encode([found.width, found.height, found.photo_name, persons, found.columns])
    return fingerprint(facts, *pixels, *([] if found.photo is None else [b"photo", found.photo]))


def _encode(mask: Mask, void: Mask | None) -> bytes:
    if void is None:
        return encode_rle_png(mask_to_rle(mask))
    return encode_png(np.where(void, np.uint8(_VOID), mask.view(np.uint8) * np.uint8(_PERSON_BESIDE_VOID)))
