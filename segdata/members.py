"""Files that lie in tar archives, found by paths that go through the archive: shards/000000.tar/a.mask.png.

An archive on this machine is walked once by its headers. Of one in a store the places of the members are read from the
metadata shard beside it, 000000.jsonl, and each member is then read by itself.
"""

from __future__ import annotations

import errno
import os
import tarfile
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from segdata import storage

_TAR = ".tar/"
_SECONDS_TRUSTED = 5.0
_ARCHIVES_KNOWN = 8


class Place(NamedTuple):
    """Where the content of a member begins in its archive, and how many bytes it has."""

    offset: int
    size: int


class _Row(msgspec.Struct):
    members: dict[str, Place]


def in_archive(path: str | Path) -> bool:
    """Tell whether a path may lead through an archive.

    >>> in_archive("data/shards/000000.tar/a.jpg"), in_archive("data/a.tar")
    (True, False)
    """
    return _TAR in str(path)


def read_member(path: str) -> bytes:
    """Read a file that lies in an archive. Raises `OSError`, `FileNotFoundError` where it does not lie there."""
    archive, name = _parts(path)
    if not storage.is_url(archive):
        place = _found(path, _of_file(archive), name)
        with Path(archive).open("rb") as file:
            file.seek(place.offset)
            return file.read(place.size)
    for fresh in (False, True):
        place = _found(path, _of_url(archive, fresh=fresh), name)
        start = place.offset - tarfile.BLOCKSIZE
        data = storage.read(archive, start, tarfile.BLOCKSIZE + place.size)
        if _is_header_of(data[: tarfile.BLOCKSIZE], name, place.size):
            return data[tarfile.BLOCKSIZE :]
    raise OSError(errno.EIO, "the archive has changed while it was read")


def size_of_member(path: str) -> int | None:
    """Give the size of a file that lies in an archive; None where there is none. Raises `OSError`."""
    archive, name = _parts(path)
    try:
        known = _of_url(archive) if storage.is_url(archive) else _of_file(archive)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return known[name].size if name in known else None


def _parts(path: str) -> tuple[str, str]:
    archive, _, name = path.partition(_TAR)
    return f"{archive}.tar", name


def _found(path: str, known: dict[str, Place], name: str) -> Place:
    if name not in known:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return known[name]


def _of_file(archive: str) -> dict[str, Place]:
    status = os.stat(archive)  # noqa: PTH116 - once a member
    return _walked(archive, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_ARCHIVES_KNOWN)
def _walked(archive: str, size: int, changed: int) -> dict[str, Place]:  # noqa: ARG001 - a file that is still the same
    try:
        with tarfile.open(archive, "r:") as file:
            return {member.name: Place(member.offset_data, member.size) for member in file if member.isreg()}
    except tarfile.TarError as error:
        raise OSError(errno.EIO, f"{archive} is no tar archive that can be read ({error})") from error


_listed: dict[str, tuple[float, dict[str, Place]]] = {}


def _of_url(archive: str, *, fresh: bool = False) -> dict[str, Place]:
    known = _listed.get(archive)
    if known is not None and not fresh and time.monotonic() - known[0] < _SECONDS_TRUSTED:
        return known[1]
    places: dict[str, Place] = {}
    try:
        rows = storage.read(f"{archive.removesuffix('.tar')}.jsonl")
        for line in rows.splitlines():
            places |= msgspec.json.decode(line, type=_Row).members
    except FileNotFoundError:
        places = _of_file(str(storage.local_copy(archive)))
    except msgspec.DecodeError as error:
        raise OSError(errno.EIO, f"the metadata shard of {archive} cannot be read ({error})") from error
    if len(_listed) >= _ARCHIVES_KNOWN and archive not in _listed:
        del _listed[next(iter(_listed))]
    _listed[archive] = time.monotonic(), places
    return places


def _is_header_of(block: bytes, name: str, size: int) -> bool:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    in_full = name.isascii() and len(name) <= 100  # others stand in a header before this one
    return header.size == size and (header.name == name or not in_full)
