"""A data set: a folder with metadata.jsonl, one row a sample, beside images/, masks/, edges/ and so on."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segdata.disk_index import Column, Table, ordered
from segdata.errors import InputError, SampleError
from segdata.files import put_in_place
from segdata.pixels import IMAGE_SUFFIXES
from segdata.sample import Sample, encode, key_of
from segdata.storage import as_path, files_below, is_url

METADATA = "metadata.jsonl"
OUTCOMES = "outcomes.jsonl"

Row = dict[str, Any]

# Of cameras, telephones and the web: whoever has some believes that they are photos like others.
_NOT_READ = (".arw", ".avif", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".nef")

# What msgspec raises for bytes that are no JSON, no UTF-8 or nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Named(msgspec.Struct, gc=False):
    key: Any = None
    file_name: Any = None


class Dataset:
    """A folder that holds a data set. Iterating gives its samples in order, reading the file as it goes.

    Raises `InputError` that names the folder if there is no metadata.jsonl in it, and on iteration the line of a row
    that cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = as_path(root)
        self.metadata = self.root / METADATA
        if not self.root.exists():
            raise InputError(f"{self.root} does not exist", "check the path")
        if not self.metadata.is_file():
            hint = f"give a folder with {METADATA}, such as merge-coco writes"
            if any(self.root.glob(f".{METADATA}.*.part")):
                hint = "the command that makes it was interrupted: run that again to finish it"
            raise InputError(f"{self.root} is not a data set", hint)

    def __iter__(self) -> Iterator[Sample]:
        for number, line in self._numbered():
            try:
                yield msgspec.json.decode(line, type=Sample)
            except UNREADABLE as error:
                raise self._bad_row(number, error) from error

    def __len__(self) -> int:
        return sum(1 for _ in self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the rows as they stand in the file, without the newline."""
        for _, line in self._numbered():
            yield line

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        with self.metadata.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")

    def rows(self) -> Iterator[Row]:
        """Yield the rows as dictionaries, with columns that segdata does not know; each has a `key`."""
        for number, line in self._numbered():
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
                if "key" not in row:
                    row["key"] = _key_in(row.get("file_name"))
                if isinstance(row["key"], str):
                    key_of(row["key"])  # outputs are named by it
            except (*UNREADABLE, SampleError) as error:
                raise self._bad_row(number, error) from error
            if not isinstance(row["key"], str):
                raise self._bad_row(number, "it needs a key that is text, or a file_name and no key")
            yield row

    def rewrite(self, rows: Iterator[Row]) -> None:
        """Put new rows in the place of the old ones, in one step."""
        write_lines(self.metadata, map(encode, rows))

    def _bad_row(self, number: int, error: object) -> InputError:
        return InputError(f"{self.metadata}, line {number}, cannot be read ({error})", "mend or remove that line")


def _key_in(file_name: object) -> str | None:
    return key_of(file_name).removeprefix("images/") if isinstance(file_name, str) else None


def write_lines(path: Path, lines: Iterator[bytes]) -> None:
    """Write lines to a file in one step; a file that holds the same is left alone.

    Raises `StorageError` when the place takes no more.
    """
    with put_in_place(path) as part, part.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)


class RowIndex:
    """Finds the row of a key in a .jsonl file; of several rows with one key the last. Memory is bounded.

    With `torn`, a last line without newline, as a killed run leaves it, is not counted; `size` is where the whole lines
    end.
    """

    def __init__(self, path: Path, *, torn: bool = False) -> None:
        self.path = path
        self.size = 0
        rows = Column([("key", np.uint64), ("offset", np.int64)])
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if torn and not line.endswith(b"\n"):
                        break
                    key = self._key(line)
                    if key is not None:
                        rows.append((hash_key(key), self.size))
                    self.size += len(line)
        self._rows = Table(rows)
        self._file = path.open("rb") if len(self._rows) else None

    @staticmethod
    def _key(line: bytes) -> str | None:
        try:
            named = msgspec.json.decode(line, type=_Named)
        except UNREADABLE:
            return None
        with suppress(SampleError):
            return named.key if isinstance(named.key, str) else _key_in(named.file_name)
        return None

    def find(self, key: str) -> tuple[int, bytes] | None:
        """Give the offset of a key's row and the row without the newline."""
        if self._file is None:
            return None
        row = self._rows.last(hash_key(key))
        if row is None:
            return None
        _, offset = row
        self._file.seek(offset)
        line = self._file.readline().rstrip(b"\n")
        return (offset, line) if self._key(line) == key else None

    def __len__(self) -> int:
        return len(self._rows)

    def without(self, hashes: Column) -> Iterator[tuple[int, bytes]]:
        """Yield the offset and the row of each key whose hash is not among `hashes`, in the order of the file."""
        if self._file is None:
            return
        others, left = Table(hashes), Column(np.int64)
        for rows in self._rows.blocks():
            left.extend(rows["offset"][~others.holds(rows["key"])])
        for offsets in ordered(left).blocks():
            for offset in offsets.tolist():
                self._file.seek(offset)
                yield offset, self._file.readline().rstrip(b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def hash_key(key: str) -> int:
    """Hash a key to 64 bits."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def find_images(folder: str | Path) -> dict[str, Path]:
    """Find the image files in a folder and the folders in it: key to path, sorted by key. Hidden files are left out.

    Of images in formats that are not read, such as HEIC, a warning in the log tells how many there are.
    Raises `InputError` that names both files when two differ only in their suffix, and when there is no such folder.
    """
    root = as_path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder", "check the path")
    found: dict[str, Path] = {}
    others: Counter[str] = Counter()
    for path in files_with(root, (*IMAGE_SUFFIXES, *_NOT_READ)):
        if path.suffix.lower() in _NOT_READ:
            others[path.suffix.lower()] += 1
            continue
        key = key_of(path.relative_to(root).as_posix())
        if key in found:
            raise InputError(f"{found[key]} and {path} differ only in their suffix", "rename or remove one of them")
        found[key] = path
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        message = "%s holds images that segdata does not read and leaves out (%s): convert them to JPEG or PNG"
        logging.getLogger("segdata").warning(message, root, kinds)
    return dict(sorted(found.items()))


def files_with(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files with one of the suffixes in a folder and the folders in it, sorted; hidden ones are left out."""
    in_store = is_url(root)
    paths = (root / name for name in files_below(str(root))) if in_store else sorted(root.rglob("*"))
    for path in paths:
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.name.lower().endswith(suffixes) and not hidden and (in_store or path.is_file()):
            yield path


def open_rows(path: str | Path, column: str) -> tuple[Path, Callable[[], Iterator[Row]]]:
    """Give the rows of a data set, or of a plain folder of images as if it were one.

    Returns the folder that file names are relative to, and a function that starts the rows from the first. For a
    plain folder they hold `key` and, under `column`, the file's name.
    """
    root = as_path(path)
    if (root / METADATA).is_file() or not root.is_dir():
        return root, Dataset(root).rows
    images = find_images(root)
    if not images:
        raise InputError(f"{root} holds no images and no {METADATA}", "give a data set or a folder of images")

    def rows() -> Iterator[Row]:
        for key, image in images.items():
            yield {"key": key, column: image.relative_to(root).as_posix()}

    return root, rows


def place_of_labels(root: Path, out: str | Path | None, what: str, of: str) -> tuple[Path, bool]:
    """Give the folder that labels of a data set or plain folder go to, and whether that is the data set itself.

    Raises `InputError` for a data set with `out`, which gets its labels in place, and a plain folder without.
    """
    if (root / METADATA).is_file():
        if out is not None:
            raise InputError(f"{root} is a data set and gets its {what} in place", "leave --out away")
        return root, True
    if out is None:
        raise InputError(f"{root} is a plain folder of {of}", f"give --out for the folder of the {what}")
    return as_path(out), False
