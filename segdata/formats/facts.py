"""What is known of a sample as one JSON object, for formats that carry the photo, the mask and all facts together.

The object has `key`, `width`, `height` and `persons`, and the columns of the sample's row under their own names. Names
of files, fingerprints and the orientation of the photo stay out: they are made anew where the sample comes in.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from segdata.dataset import Row
from segdata.errors import SampleError
from segdata.formats.base import Encoded, Incoming, Outgoing
from segdata.journal import EXPORTED
from segdata.masks import Mask, mask_to_rle, merge_rles, rle_area, rle_box, rle_to_mask, segmentation_to_rle
from segdata.sample import Person, Rle, Sample, encode
from segdata.steps import FINGERPRINTS

LARGEST_FILE = 1 << 30
"""Bytes of the largest photo or mask that goes out or comes in."""

_DERIVED = frozenset({"key", "width", "height", "persons", "exif_orientation", FINGERPRINTS, EXPORTED})
_LARGEST_ID = 1 << 62
_STALE = "whose mask is not that of its persons, kept without their masks"


class Columns(Sample, frozen=True, gc=False):
    """The columns that have a type wherever they come from; a row may have others beside them."""

    source_url: str | None = None
    licence_name: str | None = None
    licence_url: str | None = None
    model: str | None = None
    confidence: float | None = None


def is_derived(name: str) -> bool:
    """Tell whether a column is made anew by whoever reads the sample.

    >>> is_derived("edge_file_name"), is_derived("source")
    (True, False)
    """
    return name in _DERIVED or name.endswith("file_name")


def encode_facts(sample: Outgoing) -> Encoded:
    """Give a sample as the record that shards are made from: `split`, `photo`, `photo_name`, `mask` and `facts`.

    `photo` and `mask` are names for `Export.read`, the photo's None where none is wanted. Raises `SampleError`
    (``huge-file``) for a photo that would not be read back.
    """
    if sample.photo is not None and len(sample.photo) > LARGEST_FILE:
        raise SampleError("huge-file", f"the photo of {sample.key} has more than {LARGEST_FILE:,} bytes")
    listed = msgspec.convert(sample.row.get("persons") or [], list[Person])
    persons, stale = settled(listed, sample.mask, sample.void)
    columns = {name: value for name, value in sample.row.items() if not is_derived(name)}
    record = {
        "split": sample.row.get("split"),
        "photo": None if sample.photo is None else sample.photo_file,
        "photo_name": sample.photo_name,
        "mask": sample.mask_file,
        "facts": {
            "key": sample.key,
            "width": sample.width,
            "height": sample.height,
            "persons": persons,
            **columns,
        },
    }
    return Encoded(record=record, note=_STALE if stale else "")


def decode_facts(data: bytes | str, place: str) -> Row:
    """Read a JSON object. Raises `SampleError` (``bad-facts``) that names `place`.

    >>> decode_facts('{"source": "here"}', "a.json")
    {'source': 'here'}
    """
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SampleError("bad-facts", f"{place} holds no JSON object that can be read ({error})") from error


def incoming(
    key: str, place: str, facts: Row, masks: tuple[Mask, Mask | None], *, photo: bytes | None, suffix: str
) -> Incoming:
    """Make a sample of its facts, its mask and void pixels, bool (H, W), and its photo; `suffix` is the photo's.

    A mask that was changed is not that of the persons any more: one person gets it, several lose theirs.
    Raises `SampleError` that begins with `place` (``bad-facts`` for facts of a wrong type, ``bad-rle``,
    ``size-mismatch``).
    """
    mask, void = masks
    height, width = mask.shape
    columns = {name: value for name, value in facts.items() if not is_derived(name)}
    row = {"key": key, "width": width, "height": height, "persons": facts.get("persons") or [], **columns}
    try:
        known = msgspec.convert(row, Columns)
        encode(columns)
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise SampleError("bad-facts", f"{place}: its facts cannot be used ({error})") from error
    if any(abs(number) > _LARGEST_ID for number in _ids(known)):
        raise SampleError("bad-facts", f"{place}: an id is not from -2^62 to 2^62")
    persons, stale = settled([_checked(each, height, width, place) for each in known.persons], mask, void)
    return Incoming(
        width=width,
        height=height,
        photo=photo,
        photo_name=None if photo is None else f"{key}{suffix}",
        persons=persons,
        mask=mask,
        void=void,
        columns=columns,
        note=_STALE if stale else "",
    )


def _ids(known: Columns) -> list[int]:
    ids = [known.image_id, *(number for each in known.persons for number in (each.id, each.category_id))]
    return [number for number in ids if number is not None]


def _checked(person: Person, height: int, width: int, place: str) -> Person:
    if person.rle is None:
        return person
    try:
        rle = segmentation_to_rle(msgspec.to_builtins(person.rle), height, width)
    except SampleError as error:
        raise SampleError(error.code, f"{place}: person {person.id}: {error.message}", error.hint) from error
    return msgspec.structs.replace(person, rle=rle)


def settled(persons: list[Person], mask: Mask, void: Mask | None) -> tuple[list[Person], bool]:
    """Make sure that no person has a mask that is not in the sample's, which may have been changed since.

    Returns the persons and whether masks of several were dropped: where the union of all is not `mask`, bool (H, W),
    outside of `void`, only one person's can be told.

    >>> person = Person(id=7, rle=Rle((1, 2), "011"))
    >>> settled([person], np.array([[True, True]]), None)[0][0].rle
    Rle(size=(1, 2), counts='02')
    """
    rles = [person.rle for person in persons if person.rle is not None]
    if not rles or _covers(rles, mask, void):
        return persons, False
    known = len(rles) == 1 and bool(mask.any())
    rle = mask_to_rle(mask) if known else None
    changed = {"rle": None, "area": None} if rle is None else {"rle": rle, "area": rle_area(rle), "box": rle_box(rle)}
    return [each if each.rle is None else msgspec.structs.replace(each, **changed) for each in persons], not known


def _covers(rles: list[Rle], mask: Mask, void: Mask | None) -> bool:
    if any(rle.size != mask.shape for rle in rles):
        return False
    union = rle_to_mask(merge_rles(rles, *mask.shape))
    return np.array_equal(union if void is None else union & ~void, mask)
