"""What formats share that hold many samples in each of several files."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import count, islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from segdata.dataset import files_with, hash_key
from segdata.errors import InputError
from segdata.formats.base import Export
from segdata.pixels import IMAGE_SUFFIXES
from segdata.sample import Outcome

UNNAMED = "data"
"""What samples of no split are filed under."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_SIGNATURES = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)


class Shard(NamedTuple):
    """A file to write: which `number`, from 0, it has, how many (`of`) there are of its `split`, and its records."""

    split: str
    number: int
    of: int
    records: Iterator[dict[str, Any]]


def shards_of(export: Export, names: Mapping[str, str], alone: str) -> Iterator[Shard]:
    """Deal the records of an export to files of `WriteOptions.per_shard` each, split by split.

    `names` gives splits other names. Samples without a split are filed under ``data``, or under `alone` where no
    sample has one. The records are read once and once more for each split, so that memory stays flat.
    """
    found = Counter(_split_of(record, names) for _, record in export.records())
    unnamed = alone if set(found) == {""} else UNNAMED
    counts: Counter[str] = Counter()
    for split, number in found.items():
        counts[split or unnamed] += number
    for split in sorted(counts):
        records = (record for _, record in export.records() if (_split_of(record, names) or unnamed) == split)
        of = -(-counts[split] // export.options.per_shard)
        for number in range(of):
            yield Shard(split, number, of, islice(records, export.options.per_shard))


def _split_of(record: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Give a split's name in file names: letters, digits and underscores."""
    split = re.sub(r"\W", "_", str(record["split"] or ""))
    return names.get(split, split)


def split_in(path: Path) -> str | None:
    """Tell the split from the name of a file, or else of its folder, as people name them.

    >>> split_in(Path("data/train-00000-of-00002.parquet")), split_in(Path("Validation/0.tar")), split_in(Path("a.tar"))
    ('train', 'val', None)
    """
    for name in (path.name, path.parent.name):
        word = re.match(r"[a-z]*", name.lower())
        if word is not None and word[0] in _SPLITS:
            return _SPLITS[word[0]]
    return None


def suffix_of(name: str | None, data: bytes) -> str:
    r"""Give a photo's suffix: that of its name, or the one of its first bytes where the name has none.

    >>> suffix_of("a.JPG", b""), suffix_of(None, b"\x89PNG")
    ('.JPG', '.png')
    """
    suffix = PurePosixPath(name or "").suffix
    if suffix.lower() in IMAGE_SUFFIXES:
        return suffix
    return next((suffix for signature, suffix in _SIGNATURES if data.startswith(signature)), ".jpg")


def remove_others(folder: Path, names: re.Pattern[str], written: Collection[str]) -> None:
    """Remove the files of an earlier export that were not written now, and what killed runs left of any.

    `names` has three groups: the number is the second. Files are of an export if their numbers run from 0 without a
    gap; the last is removed first, so that it stays so.
    """
    numbered: dict[tuple[str, str], dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") and names.fullmatch(path.name[1:].removesuffix(".part")):
            path.unlink()
        elif (found := names.fullmatch(path.name)) is not None and path.is_file():
            numbered.setdefault((found[1], found[3]), {})[int(found[2])] = path
    for files in numbered.values():
        length = next(number for number in count() if number not in files)
        for number in reversed(range(length)):
            if files[number].name not in written:
                files[number].unlink()


def files_of(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Give a file itself, or the files with one of the suffixes in a folder and the folders in it, sorted.

    Hidden names are left out. Raises `InputError` for a folder without such a file.
    """
    if path.is_file():
        return [path]
    found = list(files_with(path, suffixes))
    if not found:
        raise InputError(f"{path} holds no {suffixes[0]} files", f"give a {suffixes[0]} file or a folder of them")
    return sorted(found, key=lambda file: file.as_posix())


def recognised(path: Path, suffixes: tuple[str, ...], what: str) -> str | None:
    """Say that a path is a file with one of the suffixes, or a folder with such files in it or in a folder in it.

    Gives None for what is neither, and never raises.
    """
    with suppress(OSError):
        if path.is_file():
            return f"it is a {what}" if path.name.lower().endswith(suffixes) else None
        for pattern in ("*", "*/*"):
            for each in path.glob(pattern):
                if each.name.lower().endswith(suffixes) and not each.name.startswith("."):
                    return f"it holds {each.name}, a {what}"
    return None


class Keys:
    """The keys that were seen, as hashes: 8 bytes of memory a key."""

    _MOST_LATE = 1 << 16

    def __init__(self) -> None:
        self._early = np.zeros(0, np.uint64)
        self._late: set[int] = set()

    def add(self, key: str) -> bool:
        """Remember a key, and tell whether it is new.

        >>> keys = Keys()
        >>> keys.add("a"), keys.add("a")
        (True, False)
        """
        number = hash_key(key)
        place = int(np.searchsorted(self._early, np.uint64(number)))
        if number in self._late or (place < self._early.size and self._early[place] == number):
            return False
        self._late.add(number)
        if len(self._late) == self._MOST_LATE:
            late = np.frombuffer(array("Q", self._late), np.uint64)
            self._early = np.sort(np.concatenate((self._early, late)))
            self._late.clear()
        return True


def failed(key: str, code: str, message: str) -> Outcome:
    """Give the outcome of a sample that cannot be begun; its name may be of any bytes."""
    return Outcome(key.encode("utf-8", "replace").decode(), "import", "failed", code, message)


def repeated(key: str, place: str) -> Outcome:
    """Give the outcome of a sample whose key another one had before it."""
    return failed(key, "duplicate-key", f"{place}: another sample before it has the key {key}, and keeps it")
