"""Records that outgrow memory: gathered, sorted and found again in temporary files.

What a command must know of all its samples at once, such as where each row lies and which were seen, is some bytes a
sample. Up to a bound they are held in memory, and beyond it in temporary files without a name, in the folder that
Python's `tempfile` chooses (TMPDIR); they go with the process, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Any

import numpy as np
import numpy.typing as npt

from segdata.errors import StorageError
from segdata.memory import Share

Records = npt.NDArray[Any]

_BLOCK = 1 << 13
_PAGE = 1 << 7
_FEWEST_OF_A_RUN = 1 << 8


_SHARE = Share()


class Spool:
    """A file that is held in memory up to a number of bytes, and is then a temporary file. Written at its end alone.

    Raises `StorageError` where the folder of temporary files takes no more.
    """

    def __init__(self, held: int = _SHARE.held) -> None:
        self._file = SpooledTemporaryFile(max_size=held)  # noqa: SIM115 - lives as long as its owner
        self.size = 0
        self._at_end = True

    def __del__(self) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append some bytes."""
        try:
            if not self._at_end:
                self._file.seek(self.size)
                self._at_end = True
            self._file.write(data)
        except OSError as error:
            raise _full(error) from error
        self.size += len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Read some bytes; fewer at the end."""
        self._at_end = False
        try:
            self._file.seek(offset)
            return self._file.read(length)
        except OSError as error:  # what was written lately is in a buffer until then
            raise _full(error) from error


def _full(error: OSError) -> StorageError:
    why = os.strerror(error.errno) if error.errno else error
    return StorageError(
        f"the folder of temporary files, {gettempdir()}, cannot be written ({why})",
        "make room there, or name another folder by the environment variable TMPDIR",
    )


class Column:
    """Records of one NumPy dtype, in the order in which they were added; `held` bytes of them in memory.

    >>> column = Column(np.int64)
    >>> column.append(7)
    >>> column.extend(np.array([1, 2]))
    >>> len(column), column.read(1, 3).tolist()
    (3, [1, 2])
    """

    def __init__(self, dtype: npt.DTypeLike, held: int = _SHARE.held) -> None:
        self.dtype = np.dtype(dtype)
        self._spool = Spool(held)
        self._tail: list[Any] = []

    def __len__(self) -> int:
        return self._spool.size // self.dtype.itemsize + len(self._tail)

    def append(self, record: Any) -> None:
        """Add one record: a number, or a tuple of them where the dtype has fields."""
        self._tail.append(record)
        if len(self._tail) == _BLOCK:
            self._settle()

    def extend(self, records: Records) -> None:
        """Add records."""
        self._settle()
        self._spool.write(records.astype(self.dtype, copy=False).tobytes())

    def _settle(self) -> None:
        tail = np.array(self._tail, self.dtype)
        self._tail.clear()
        self._spool.write(tail.tobytes())

    def read(self, start: int, stop: int) -> Records:
        """Give the records of these numbers."""
        if self._tail:
            self._settle()
        size = self.dtype.itemsize
        return np.frombuffer(self._spool.read(start * size, (stop - start) * size), self.dtype)

    def blocks(self, size: int = _BLOCK) -> Iterator[Records]:
        """Yield all records in their order, `size` of them at a time."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)


def _keys(records: Records) -> Records:
    return records["key"] if records.dtype.names else records


def ordered(column: Column, share: Share = _SHARE) -> Column:
    """Give the records sorted by the field `key`, or by themselves; of equal ones the first added comes first.

    >>> column = Column(np.int64)
    >>> column.extend(np.array([3, 1, 2]))
    >>> ordered(column).read(0, 3).tolist()
    [1, 2, 3]
    """
    runs = Column(column.dtype, share.held)
    for block in column.blocks(share.run):
        runs.extend(block[np.argsort(_keys(block), kind="stable")])
    if len(runs) <= share.run:
        return runs
    merged = Column(column.dtype, share.held)
    for block in _merged(runs, share.run):
        merged.extend(block)
    return merged


def _merged(runs: Column, run: int) -> Iterator[Records]:
    """Merge sorted runs of one length: again and again the first of each, up to the least key that all are known to."""
    starts = list(range(0, len(runs), run))
    ends = [*starts[1:], len(runs)]
    size = max(run // len(starts), _FEWEST_OF_A_RUN)
    heads = [np.zeros(0, runs.dtype)] * len(starts)
    while True:
        for number, head in enumerate(heads):
            if len(head) < size and starts[number] < ends[number]:
                stop = min(starts[number] + size - len(head), ends[number])
                heads[number] = np.concatenate([head, runs.read(starts[number], stop)])
                starts[number] = stop
        least = [(_keys(heads[number])[-1], number) for number in range(len(heads)) if starts[number] < ends[number]]
        if not least:
            break
        # The first run whose head ends with the least key may go on with it, so later ones wait with theirs.
        key, first = min(least)
        counts = [
            int(np.searchsorted(_keys(head), key, side="right" if number <= first else "left"))
            for number, head in enumerate(heads)
        ]
        yield _together([head[:count] for head, count in zip(heads, counts, strict=True)])
        heads = [head[count:] for head, count in zip(heads, counts, strict=True)]
    yield _together(heads)


def _together(parts: list[Records]) -> Records:
    records = np.concatenate(parts)
    return records[np.argsort(_keys(records), kind="stable")]


class Table:
    """Records that are found by the field `key`, or are keys themselves: a page is read for one, 0.06 bytes each held.

    >>> column = Column([("key", np.uint64), ("offset", np.int64)])
    >>> column.append((5, 0)); column.append((5, 70))
    >>> Table(column).last(5)
    (5, 70)
    """

    def __init__(self, column: Column, share: Share = _SHARE) -> None:
        self._records = ordered(column, share)
        firsts = [_keys(block)[::_PAGE].copy() for block in self._records.blocks()]
        self._firsts = np.concatenate([_keys(np.zeros(0, column.dtype)), *firsts])

    def __len__(self) -> int:
        return len(self._records)

    def blocks(self, size: int = _BLOCK) -> Iterator[Records]:
        """Yield all records by key, `size` of them at a time."""
        return self._records.blocks(size)

    def last(self, key: int) -> Any:
        """Give the last added record of a key, None if there is none."""
        wanted = self._firsts.dtype.type(key)
        page = int(self._firsts.searchsorted(wanted, "right")) - 1
        if page < 0:
            return None
        records = self._records.read(page * _PAGE, (page + 1) * _PAGE)
        keys = _keys(records)
        place = keys.searchsorted(wanted, "right") - 1
        return records[place].item() if keys[place] == wanted else None

    def holds(self, keys: Records) -> npt.NDArray[np.bool_]:
        """Tell of each of some keys, in ascending order, whether it has a record."""
        found = np.zeros(len(keys), np.bool_)
        if not len(keys):
            return found
        pages = np.searchsorted(self._firsts, keys[[0, -1]], side="right")
        end = int(pages[1]) * _PAGE
        for start in range(max(int(pages[0]) - 1, 0) * _PAGE, end, _BLOCK):
            found |= np.isin(keys, _keys(self._records.read(start, min(start + _BLOCK, end))))
        return found


class Lines:
    """Lines of bytes in the order in which they were added, iterated as often as asked; they hold no newline."""

    def __init__(self, held: int = _SHARE.held) -> None:
        self._spool = Spool(held)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, line: bytes) -> None:
        """Add a line."""
        self._spool.write(line + b"\n")
        self._count += 1

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for offset in range(0, self._spool.size, _BLOCK):
            *lines, rest = (rest + self._spool.read(offset, _BLOCK)).split(b"\n")
            yield from lines
