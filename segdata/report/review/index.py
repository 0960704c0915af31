"""Where the row of each sample begins, and the numbers in its columns: what a queue of any size needs in memory."""

from __future__ import annotations

import math
import os
from array import array
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import UNREADABLE, Dataset, Row
from segdata.errors import InputError, SampleError
from segdata.sample import key_of

_NUMBER = frozenset(b"-0123456789")
# Numbers that say nothing of how good a sample is.
_NAMES_OF_THINGS = frozenset({"image_id", "licence", "exif_orientation", "threshold"})
_Raw = dict[str, msgspec.Raw]


class Index:
    """The samples of a data set in the order of its file: `keys`, `columns` of numbers, and their rows on demand.

    A column is float64 (N,), NaN where a row has no number. Takes about 200 bytes of memory a sample and 8 more a
    column. Of several rows with one key the last counts. Raises `InputError` that names the line of a row that cannot
    be read.
    """

    def __init__(self, root: str | Path) -> None:
        dataset = Dataset(root)
        self.root, self.path = dataset.root, dataset.metadata
        self._seen = _state_of(self.path)
        lines: dict[str, int] = {}
        offsets = array("q")
        columns: dict[str, array[float]] = {}
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        row = msgspec.json.decode(line, type=_Raw)
                        lines[_key(row)] = len(offsets)
                    except (*UNREADABLE, SampleError) as error:
                        raise InputError(
                            f"{self.path}, line {number}, cannot be read ({error})", "mend or remove that line"
                        ) from error
                    _take_numbers(row, columns, len(offsets))
                    offsets.append(offset)
                offset += len(line)
        kept = np.fromiter(lines.values(), np.int64, len(lines))
        self.keys = list(lines)
        self._number = {key: place for place, key in enumerate(self.keys)}
        self._offsets = np.frombuffer(offsets, np.int64)[kept] if offsets else kept
        self.columns = {name: _padded(values, len(offsets))[kept] for name, values in sorted(columns.items())}

    def __len__(self) -> int:
        return len(self.keys)

    def number(self, key: str) -> int | None:
        """Give the place of a sample in the file."""
        return self._number.get(key)

    def row(self, key: str) -> Row | None:
        """Read the row of a sample; None where there is none, or the file has been replaced meanwhile."""
        place = self._number.get(key)
        if place is None:
            return None
        try:
            with self.path.open("rb") as file:
                file.seek(int(self._offsets[place]))
                line = file.readline()
            row: Row = msgspec.json.decode(line, type=dict[str, Any])
            return {**row, "key": key} if _key(msgspec.json.decode(line, type=_Raw)) == key else None
        except (OSError, *UNREADABLE, SampleError):
            return None

    def is_current(self) -> bool:
        """Tell whether the file is still the one that was read; while it is gone, the old one counts."""
        try:
            return _state_of(self.path) == self._seen
        except FileNotFoundError:
            return True


def _state_of(path: Path) -> tuple[int, int, int]:
    state = os.stat(path)  # noqa: PTH116 - asked for at every request
    return state.st_mtime_ns, state.st_size, state.st_ino


def _key(row: _Raw) -> str:
    """Give the key of a row as `Dataset.rows` does."""
    key = msgspec.json.decode(row["key"]) if "key" in row else None
    if key is None and "file_name" in row:
        name = msgspec.json.decode(row["file_name"])
        key = key_of(name).removeprefix("images/") if isinstance(name, str) else None
    if not isinstance(key, str):
        raise SampleError("no-key", "it has no key and no file_name")
    key_of(key)  # outputs are named by it
    return key


def _take_numbers(row: _Raw, columns: dict[str, array[float]], place: int) -> None:
    for name, value in row.items():
        if memoryview(value)[0] in _NUMBER and name not in _NAMES_OF_THINGS:
            column = columns.setdefault(name, array("d"))
            if len(column) < place:
                column.extend([math.nan] * (place - len(column)))
            column.append(float(bytes(value)))


def _padded(values: array[float], count: int) -> npt.NDArray[np.float64]:
    column = np.full(count, np.nan)
    column[: len(values)] = values
    return column
