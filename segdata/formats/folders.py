"""Formats that are a folder tree with files for each sample, and text files that say which split its parts are of."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segdata.dataset import Row, hash_key, write_lines
from segdata.errors import InputError, SampleError
from segdata.files import is_file, storage_error, why
from segdata.pixels import IMAGE_SUFFIXES
from segdata.sample import path_of
from segdata.storage import entries_in, is_url, join_path

_NO_SPLIT = "default"  # as CVAT and datumaro name it
_FIRST = ("train", "val", "test")
_TELL_NOTHING = ("trainval", _NO_SPLIT)
_SUFFIXES = sorted(IMAGE_SUFFIXES, key=lambda suffix: (suffix != ".jpg", suffix))
_SPACE = " \t\r\n\v\f"


class Listing(NamedTuple):
    """What lies directly in a folder: `images` by their names without suffix, and `folders`, both sorted.

    The names of images that differ in their suffix alone share a list.
    """

    images: dict[str, list[str]]
    folders: list[str]


def list_folder(folder: str | Path) -> Listing:
    """List a folder; one that does not exist is empty. Hidden names and links to folders are left out.

    Raises `InputError` for a folder that cannot be read.
    """
    images: dict[str, list[str]] = {}
    folders: list[str] = []
    try:
        if is_url(folder):
            for name, kind in entries_in(str(folder)):
                _list(images, folders, name, is_folder=kind == "directory")
            return Listing(images, folders)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder or os.path.isfile(entry):  # noqa: PTH113 - False for links in circles
                    _list(images, folders, entry.name, is_folder=is_folder)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({why(error)})", "check its permissions") from error
    return Listing(images, folders)


def _list(images: dict[str, list[str]], folders: list[str], name: str, *, is_folder: bool) -> None:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    if name.startswith("."):
        return
    if is_folder:
        folders.append(name)
    elif suffix.lower() in IMAGE_SUFFIXES:
        images.setdefault(stem, []).append(name)


def below(folder: str, name: str) -> str:
    """Join a POSIX path below a root, which may be empty, and a name.

    >>> below("", "a"), below("a/b", "c.png")
    ('a', 'a/b/c.png')
    """
    return f"{folder}/{name}" if folder else name


def as_key(name: str) -> str:
    """Give a path that was found below a folder as a key.

    Raises `SampleError` (``unsafe-name``) for one that would not be the same path on every system.

    >>> as_key("shoot 1/0001")
    'shoot 1/0001'
    """
    if path_of(name) != name:
        raise SampleError("unsafe-name", f"the file name {name!r} has a backslash", "rename it")
    return name


def walk_masks(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the PNGs below a folder by their path without suffix, each with its file names.

    These are several only where their suffixes differ in case. Only the names of one folder are in memory at a time.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        listing = list_folder(root / folder)
        for stem, names in listing.images.items():
            if masks := [name for name in names if name.lower().endswith(".png")]:
                yield below(folder, stem), masks
        folders += (below(folder, each) for each in reversed(listing.folders))


def only_file(root: Path, name: str, names: list[str]) -> str:
    """Give the path of the one image of a name that `walk_masks` yields.

    Raises `SampleError` (``two-files``) where there are several.
    """
    files = [join_path(root, below(name.rpartition("/")[0], each)) for each in names]
    if len(files) > 1:
        raise SampleError("two-files", f"{' and '.join(files)} are of one sample", "remove all but one of them")
    return files[0]


def find_photo(root: str, name: str) -> str | None:
    """Give the path of the photo with a name, without suffix, below a folder; None where there is none.

    >>> find_photo("no such folder", "a") is None
    True
    """
    for suffix in _SUFFIXES:
        for each in (suffix, suffix.upper()):
            if is_file(path := join_path(root, f"{name}{each}")):
                return path
    return None


class SplitLists:
    """Text files of names, one a line, that tell the split: train.txt and so on. 16 bytes of memory a line.

    A name that is in several lists is of the first of train, val, test, and then of the others by their names.
    default.txt and trainval.txt name samples, but no split.

    Raises `InputError` for a list that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        paths = {path.stem: path for path in sorted(folder.glob("*.txt")) if not path.name.startswith(".")}
        others = [name for name in paths if name not in {*_FIRST, *_TELL_NOTHING}]
        self._paths = {name: paths[name] for name in (*_FIRST, *others, *_TELL_NOTHING) if name in paths}
        hashes, ends = array("Q"), []
        for path in self._paths.values():
            hashes.extend(map(hash_key, _lines(path)))
            ends.append(len(hashes))
        self._ends = np.array(ends, np.int64)
        self._hashes, self._first_lines = np.unique(np.array(hashes, np.uint64), return_index=True)

    def _first_line(self, name: str) -> int | None:
        hashed = np.uint64(hash_key(name.strip(_SPACE)))
        place = int(np.searchsorted(self._hashes, hashed))
        found = place < len(self._hashes) and self._hashes[place] == hashed
        return int(self._first_lines[place]) if found else None

    def split_of(self, name: str) -> str | None:
        """Give the split of a name, None for one that is in no list that tells it."""
        line = self._first_line(name)
        if line is None:
            return None
        split = list(self._paths)[int(np.searchsorted(self._ends, line, side="right"))]
        return None if split in _TELL_NOTHING else split

    def __iter__(self) -> Iterator[str]:
        """Yield each name once. Lines that start with # are comments."""
        lines = (line for path in self._paths.values() for line in _lines(path))
        for number, line in enumerate(lines):
            if not line.startswith("#") and self._first_line(line) == number:
                yield line


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                name = line.decode("utf-8-sig" if number == 1 else "utf-8").strip(_SPACE)
                if name:
                    yield _in_one_spelling(name)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {number}, is not UTF-8", "store it in that encoding") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({why(error)})", "check it") from error


def _in_one_spelling(name: str) -> str:
    try:
        return path_of(name)
    except SampleError:  # whoever goes by it meets the error
        return name


def split_to_list(key: str, row: Row) -> str | None:
    """Give the split of a row, by which a list is named that holds the key.

    Raises `SampleError` (``bad-name``) for a key or split of which that cannot be made.

    >>> split_to_list("a", {"split": "val"})
    'val'
    """
    split: str | None = row.get("split")
    if "\n" in key or key != key.strip(_SPACE):
        what = "has two lines" if "\n" in key else "starts or ends with space"
        raise SampleError("bad-name", f"the key {key!r} {what}, and a list has one for each key", "rename the photo")
    if split is None:
        return None
    if not split.isprintable() or split[:1] in {"", "."} or {*"/\\:"} & {*split}:
        raise SampleError("bad-name", f"the split {split!r} of {key} cannot be the name of a list", "rename it")
    return split


def write_lists(folder: Path, names: Callable[[], Iterator[tuple[str, str | None]]]) -> None:
    """Write a list for each split, of the names that `names` gives with it; those without go to default.txt.

    Lists of the common splits that have no name any more are removed. Raises `StorageError`.
    """
    splits = sorted({split or _NO_SPLIT for _, split in names()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split in {*_FIRST, *_TELL_NOTHING} - {*splits}:
            (folder / f"{split}.txt").unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    for split in splits:
        write_lines(
            folder / f"{split}.txt", (name.encode() for name, of_name in names() if (of_name or _NO_SPLIT) == split)
        )
