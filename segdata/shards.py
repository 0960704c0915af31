"""Shards: the files of many samples in one tar archive, for a hundred million small files are no data set.

A sharded data set is one whose rows name files in archives, ``shards/000000.tar/a.mask.png``. The members are named as
WebDataset wants it (https://github.com/webdataset/webdataset): those of a sample follow each other and share their
name up to its first dot, with a JSON object of what is known of the sample. Beside each archive lies a metadata shard,
``shards/000000.jsonl``, with its rows and the places of its members.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from segdata.dataset import Row
from segdata.errors import SampleError
from segdata.files import put_in_place, read_file, remove_file, write_file
from segdata.members import in_archive
from segdata.sample import encode, path_of
from segdata.storage import as_path, entries_in, is_url, join_path

_RESERVED = re.compile(r"[%.\x00-\x1f\x7f]|^__")
_SHARD = re.compile(r"(\d{6,})\.(?:tar|jsonl)")
_FILE = "file_name"
_FOLDERS = {"file_name": "images", "mask_file_name": "masks", "probability_file_name": "probabilities"}
_NOT_KNOWN = frozenset({"fingerprints", "exif_orientation"})

Sampled = tuple[str, Any, Row | None]


def name_of(key: str) -> str:
    """Write a key as the name that the members of a sample share; `urllib.parse.unquote` undoes it.

    >>> name_of("shoot.1/a b"), name_of("__a__/100%")
    ('shoot%2E1/a b', '%5F%5Fa__/100%25')
    """
    return _RESERVED.sub(lambda found: "".join(f"%{ord(letter):02X}" for letter in found[0]), key)


def tar_member(name: str, content: bytes) -> Iterator[bytes]:
    """Give a member's header, of no user and no time, and its content.

    >>> [len(block) for block in tar_member("a.txt", b"abc")]
    [512, 3, 509]
    """
    header = tarfile.TarInfo(name)
    header.size = len(content)
    yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
    yield content
    yield bytes(-len(content) % tarfile.BLOCKSIZE)


END = bytes(2 * tarfile.BLOCKSIZE)
"""What an archive ends with."""


def loose_name(column: str, key: str, name: str) -> str:
    """Give the name of a sample's file as it is where files lie by themselves, whether it is in an archive or not.

    >>> loose_name("mask_file_name", "a", "shards/000000.tar/a.mask.png")
    'masks/a.png'
    >>> loose_name("mask_file_name", "a", "labels/a.png")
    'labels/a.png'
    """
    if not in_archive(name):
        return path_of(name)
    folder = _FOLDERS.get(column, column.removesuffix(f"_{_FILE}") + "s")
    return path_of(f"{folder}/{key}{PurePosixPath(name).suffix}")


class WriteShard(msgspec.Struct, frozen=True):
    """Does a step's work on the samples of one shard in a folder of its own, and puts what comes out in an archive.

    `folder` is that of the shards below `out`; `work` has a member `out`; with `batch` it takes so many at once.
    """

    work: Any
    out: str
    folder: str
    batch: int | None
    whole: bool
    """Whether an archive holds samples, or files that are added to them."""

    def __call__(self, number: int, samples: list[Sampled], attempt: Callable[..., Any]) -> list[Any]:
        """Give what the work gives for each sample; `attempt` gives the exception that a sample's work raises."""
        with tempfile.TemporaryDirectory(prefix="segdata-") as temporary:
            begun = [(key, payload, self._unpacked(previous, temporary)) for key, payload, previous in samples]
            work = msgspec.structs.replace(self.work, out=temporary)
            results: list[Any] = []
            if self.batch is None:
                results = [attempt(work, *sample) for sample in begun]
            else:
                for first in range(0, len(begun), self.batch):
                    results += work(begun[first : first + self.batch])
            done = [(sample, result) for sample, result in zip(samples, results, strict=True) if _is_done(result)]
            rows = [(key, result.row) for (key, *_), result in done]
            if not any(result.fresh for _, result in done) and self._keys_in(number) == [key for key, _ in rows]:
                packed = iter([_as_packed(result.row, previous) for (*_, previous), result in done])
            else:
                packed = iter(self._pack(number, rows, Path(temporary)))
            return [result._replace(row=next(packed)) if _is_done(result) else result for result in results]

    def _unpacked(self, row: Row | None, temporary: str) -> Row | None:
        """Lay the files that an earlier run put in archives where the work expects them."""
        if row is None:
            return None
        row = dict(row)
        for column, name in _files_of(row):
            if name.startswith(f"{self.folder}/") and in_archive(name):
                loose = loose_name(column, row["key"], name)
                try:
                    write_file(f"{temporary}/{loose}", read_file(join_path(self.out, name)))
                except SampleError:  # it is made again
                    continue
                row[column] = loose
        return row

    def _keys_in(self, number: int) -> list[str]:
        """Give the keys of the samples of a shard as it was left."""
        try:
            lines = read_file(join_path(self.out, f"{self.folder}/{number:06}.jsonl")).splitlines()
        except SampleError:
            return []
        return [msgspec.json.decode(line, type=_Named).key for line in lines]

    def _pack(self, number: int, rows: list[tuple[str, Row]], temporary: Path) -> list[Row]:
        archive = f"{self.folder}/{number:06}.tar"
        records = f"{self.folder}/{number:06}.jsonl"
        packed, lines, offset = [], [], 0
        with put_in_place(as_path(join_path(self.out, archive))) as part, part.open("wb") as file:
            for key, row in rows:
                places = {}
                new = dict(row)
                for member, content, column in self._members(key, row, temporary):
                    for block in tar_member(member, content):
                        file.write(block)
                    at = file.tell() - len(content) - -len(content) % tarfile.BLOCKSIZE
                    places[member] = (at, len(content))
                    if column is not None:
                        new[column] = f"{archive}/{member}"
                packed.append(new)
                lines.append(encode({**new, "members": places}))
            file.write(END)
            offset = file.tell()
        if offset > len(END):
            write_file(join_path(self.out, records), b"".join(line + b"\n" for line in lines))
        else:
            remove_file(join_path(self.out, archive))
            remove_file(join_path(self.out, records))
        for path in sorted(temporary.rglob("*")):
            if path.is_file():  # what no column names, such as previews
                write_file(join_path(self.out, path.relative_to(temporary).as_posix()), path.read_bytes())
        return packed

    def _members(self, key: str, row: Row, temporary: Path) -> Iterator[tuple[str, bytes, str | None]]:
        stem = name_of(key)
        for column, name in _files_of(row):
            path = temporary / name
            if path.is_file():
                kind = column.removesuffix(_FILE).removesuffix("_")
                yield f"{stem}{kind and '.'}{kind}{path.suffix}", path.read_bytes(), column
                path.unlink()
        if self.whole:
            known = {name: value for name, value in row.items() if name not in _NOT_KNOWN and not name.endswith(_FILE)}
            yield f"{stem}.json", encode(known), None


def remove_shards_from(out: Path, folder: str, first: int) -> None:
    """Remove the shards of an earlier run that had more of them. Raises `OSError`."""
    place = join_path(out, folder)
    if is_url(place):
        names = [name for name, _ in entries_in(place)]
    else:
        names = sorted(path.name for path in Path(place).iterdir()) if Path(place).is_dir() else []
    for name in names:
        found = _SHARD.fullmatch(name)
        if found is not None and int(found[1]) >= first:
            remove_file(join_path(place, name))


class _Named(msgspec.Struct):
    key: str


def _as_packed(row: Row, previous: Row | None) -> Row:
    names = dict(_files_of(previous or {}))
    return {column: names.get(column, value) for column, value in row.items()}


def _files_of(row: Row) -> list[tuple[str, str]]:
    return [(column, name) for column, name in row.items() if column.endswith(_FILE) and isinstance(name, str)]


def _is_done(result: object) -> bool:
    return not isinstance(result, Exception)
