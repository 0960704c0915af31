"""How much memory a command may take for what it must know of a whole file at once."""

from __future__ import annotations

import re
from typing import NamedTuple

from segdata.errors import InputError

DEFAULT = "500MB"

_PROGRAM = 130_000_000  # Python, its libraries and what is read at a time
_LEAST = 150_000_000
_UNITS = {
    **{unit: 1000**power for power, unit in enumerate(("", "kb", "mb", "gb", "tb"))},
    **{unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
}


class Share(NamedTuple):
    """What `segdata.disk_index` holds in memory: bytes of a column, and records that are sorted at a time."""

    held: int = 1 << 20
    run: int = 1 << 16


def bytes_of(memory: int | str) -> int:
    """Read a bound such as ``500MB``, ``2 GiB`` or a number of bytes. Raises `InputError` for what is none.

    >>> bytes_of("500MB"), bytes_of("1.5 GiB")
    (500000000, 1610612736)
    """
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([a-z]*)\s*", str(memory).lower())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{memory!r} is no amount of memory", "give one such as 500MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2]])


def share_of(memory: int | str) -> Share:
    """Share out a bound of the whole process among the columns of an index, of which up to five live at once.

    Raises `InputError` for less than the program itself takes.
    """
    whole = bytes_of(memory)
    if whole < _LEAST:
        raise InputError(f"{memory} of memory is too little", f"give {_LEAST // 10**6}MB or more")
    left = whole - _PROGRAM
    return Share(held=left // 10, run=left // 400)
