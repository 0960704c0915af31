"""The members of a tar archive, one after the other, for archives that nobody vouches for.

The standard library's tarfile takes an archive that ends in the middle for complete, holds extended headers of any size
in memory, keeps all members, and may walk in circles on negative sizes. Here it reads single headers, in the dialects
that it knows (USTAR, PAX and GNU: https://docs.python.org/3/library/tarfile.html), and nothing is unpacked.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from segdata.files import why
from segdata.storage import local

SPECIAL = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
"""The kinds of members that are neither files nor folders, in words."""

_EMPTY = frozenset({*SPECIAL, tarfile.DIRTYPE})
_PAX = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENSIONS = _PAX | {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}

_BLOCK = 512
_END = bytes(_BLOCK)
_RECORD = re.compile(rb"(\d{1,9}) ")
_DIGITS = re.compile(rb"\d{1,18}")
_LARGEST_HEADER = 1 << 20
_LARGEST = 1 << 62
_ALWAYS_UNPACKED = 1 << 26
_UNPACKED_A_BYTE = 50  # photos hardly compress


class BrokenError(Exception):
    """The archive cannot be read any further. The message says what it does: ``ends ...``, ``is broken ...``."""


class TornError(BrokenError):
    """The archive ends inside the member that was given last."""


class Member(NamedTuple):
    """A member: its name as it stands, tarfile's type of it, and where its content lies, in bytes."""

    name: str
    kind: bytes
    offset: int
    size: int

    @property
    def is_file(self) -> bool:
        """Tell whether it has content of its own."""
        return self.kind in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.kind == tarfile.DIRTYPE


def open_archive(path: Path) -> BinaryIO:
    """Open an archive, plain or gzipped whatever its name. Raises `BrokenError` for a file that cannot be read."""
    try:
        file = local(path)
        with file.open("rb") as opened:
            compressed = opened.read(2) == b"\x1f\x8b"
        return cast(BinaryIO, gzip.open(file)) if compressed else file.open("rb")
    except OSError as error:
        raise BrokenError(f"cannot be read ({why(error)})") from error


def is_compressed(archive: BinaryIO) -> bool:
    """Tell whether an archive's content can be read once alone, from its beginning to its end."""
    return isinstance(archive, gzip.GzipFile)


def members(archive: BinaryIO) -> Iterator[Member]:
    """Walk an archive. Whoever gets a member may read its content before asking for the next.

    Raises `BrokenError` where the archive ends too early, is damaged, or claims more than it can hold.
    """
    offset = 0
    extended: dict[bytes, bytes] = {}
    most = _most_in(archive)
    while (block := read_at(archive, _BLOCK, offset)) != _END:
        if not block:
            raise BrokenError(f"ends at byte {offset:,} without the mark of its end" if offset else "is empty")
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise BrokenError(f"is broken at byte {offset:,} ({error})") from error
        offset += _BLOCK
        is_extension = header.type in _EXTENSIONS
        size = header.size if is_extension else int(extended.get(b"size", header.size))
        if header.type in _EMPTY:
            size = 0
        if not 0 <= size <= min(most - offset, _LARGEST_HEADER if is_extension else _LARGEST):
            raise BrokenError(f"is broken at byte {offset:,} (a member claims {size:,} bytes)")
        if is_extension:
            extended |= _extension(header.type, read_at(archive, size, offset), offset)
        else:
            name = extended.get(b"path")
            known = header.name if name is None else name.decode("utf-8", "surrogateescape")
            yield Member(known, header.type, offset, size)
            extended = {}
            end = offset + size
            # A compressed archive that was read up to here must not be wound back.
            if size and not (is_compressed(archive) and archive.tell() == end) and not read_at(archive, 1, end - 1):
                raise TornError(f"ends in the middle of {known}")
        offset += -(-size // _BLOCK) * _BLOCK


def _most_in(archive: BinaryIO) -> int:
    """Give the size that an archive may have: a gzipped one that claims far more than it holds is a bomb."""
    if not is_compressed(archive):
        return 2 * _LARGEST
    return _ALWAYS_UNPACKED + _UNPACKED_A_BYTE * os.fstat(archive.fileno()).st_size


def _extension(kind: bytes, content: bytes, offset: int) -> dict[bytes, bytes]:
    """Read what a header says of the path and the size of the member after it."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {b"path": content.partition(b"\0")[0]}
    found: dict[bytes, bytes] = {}
    start = 0
    while kind in _PAX and (record := _RECORD.match(content, start)):  # length of the record, blank, name=value
        end = start + int(record[1])
        name, _, value = content[record.end() : end - 1].partition(b"=")
        if end <= record.end() or (name == b"size" and not _DIGITS.fullmatch(value)):
            raise BrokenError(f"is broken at byte {offset:,} (a header that cannot be read)")
        if name in {b"path", b"size"}:
            found[name] = value
        start = end
    return found


def read_at(archive: BinaryIO, size: int, offset: int | None = None) -> bytes:
    """Read `size` bytes, or less at the end, from `offset` on or from where the archive stands."""
    try:
        if offset is not None:
            archive.seek(offset)
        return archive.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise BrokenError(f"ends too early or is damaged ({error})") from error
