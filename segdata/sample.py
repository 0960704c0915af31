"""The facts about one sample. Frozen, and without pixels: those are read when they are needed.

These are msgspec Structs rather than dataclasses: they are as frozen and as typed, and read and write a row of
metadata.jsonl about ten times as fast.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import msgspec

from segdata.errors import SampleError


class Rle(msgspec.Struct, frozen=True, gc=False):
    """A mask as COCO's compressed run lengths: `size` is (height, width)."""

    size: tuple[int, int]
    counts: str


class Person(msgspec.Struct, frozen=True, gc=False):
    """One person of a sample.

    `box` is x, y, width, height in pixels of the upright photo. `keypoints` holds 17 rows of x, y, visibility in
    COCO's order (visibility 0: not labelled, 1: labelled and hidden, 2: visible), or is None. `face_box` is as `box`.
    `category_id` is the category's number in the file that the person comes from, `score` in [0, 1] how sure the model
    was that found it.
    """

    id: int | None = None
    category: str = "person"
    box: tuple[float, float, float, float] | None = None
    area: float | None = None
    crowd: bool = False
    keypoints: list[tuple[float, float, float]] | None = None
    face_box: tuple[float, float, float, float] | None = None
    rle: Rle | None = None
    category_id: int | None = None
    score: float | None = None


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One row of metadata.jsonl: the columns that segdata knows. Others live beside them in the file."""

    key: str
    width: int
    height: int
    file_name: str | None = None
    mask_file_name: str | None = None
    edge_file_name: str | None = None
    saliency_file_name: str | None = None
    persons: list[Person] = []
    face_box: tuple[float, float, float, float] | None = None
    domain: str | None = None
    split: str | None = None
    source: str | None = None
    licence: int | str | None = None
    image_id: int | None = None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A sample that a step did not process: one row of outcomes.jsonl. `code` is a stable word for programs."""

    key: str
    step: str
    status: str
    code: str
    message: str


def path_of(file_name: str) -> str:
    r"""Give a file name as its POSIX relative path.

    Raises `SampleError` for an absolute path, a drive, an empty name, or one with ``..``: it becomes the path of an
    output, which must stay inside the output folder. So does a name that is not valid Unicode.

    >>> path_of("shoot 1/0001.jpg"), path_of("a\\b.png")
    ('shoot 1/0001.jpg', 'a/b.png')
    """
    name = file_name.replace("\\", "/")
    drive = name[1:2] == ":"
    if name.startswith("/") or drive or "\0" in name or ".." in name.split("/"):
        raise _unsafe(file_name)
    if "//" in name or "./" in name:
        name = PurePosixPath(name).as_posix()
    if name.rpartition("/")[2] in ("", ".") or not _is_unicode(name):
        raise _unsafe(file_name)
    return name


def key_of(file_name: str) -> str:
    """Give the key of a file name: its POSIX relative path without suffix.

    Raises `SampleError` as `path_of` does.

    >>> key_of("shoot 1/0001.jpg")
    'shoot 1/0001'
    """
    folder, slash, last = path_of(file_name).rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return folder + slash + (stem if dot and stem.strip(".") else last)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unsafe(file_name: str) -> SampleError:
    return SampleError(
        "unsafe-name",
        f"the file name {file_name!r} is not a relative path inside the data set",
        "rename it to one without '..', drive or leading '/'",
    )


def encode(value: Any) -> bytes:
    """Give one line of JSON without the newline."""
    return msgspec.json.encode(value)
