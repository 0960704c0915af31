"""The packages that segdata asks for, as its own metadata say: those of the core, and those of each extra."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from typing import NamedTuple

from segdata.errors import InputError

CORE = "core"

_LINE = re.compile(r"([\w.-]+)(?:\[.*?\])?\s*([^;]*?)\s*(?:;(.*))?")
_EXTRA = re.compile(r"extra == ['\"](.+?)['\"]")
_PYTHON = re.compile(r"python_version (<|>=) ['\"](.+?)['\"]")
_BOUND = re.compile(r"(<|>=)([\d.]+)")
_RELEASE = re.compile(r"\d+(\.\d+)*")


class Requirement(NamedTuple):
    """A package, the part of segdata that needs it (``core`` or the name of an extra), and which versions will do."""

    package: str
    part: str
    bounds: str


def requirements() -> list[Requirement]:
    """List what the installed segdata asks for with this Python, extras within extras left out.

    Raises `InputError` where segdata is not installed, but only found.
    """
    try:
        lines = metadata.requires("segdata") or []
    except metadata.PackageNotFoundError as error:
        raise InputError("segdata is not installed, only its folder was found", "pip install segdata") from error
    return [each for each in map(read_requirement, lines) if each and each.package != "segdata"]


def read_requirement(line: str) -> Requirement | None:
    """Read a line of metadata; None for one that is not meant for this Python.

    >>> read_requirement("torch>=2.6; extra == 'train'")
    Requirement(package='torch', part='train', bounds='>=2.6')
    >>> read_requirement("tomli>=2; python_version < '3.11'")
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    package, bounds, marker = found[1], found[2], found[3] or ""
    for sign, bound in _PYTHON.findall(marker):
        if (sys.version_info[:2] < _numbers(bound)) != (sign == "<"):
            return None
    extra = _EXTRA.search(marker)
    return Requirement(package, extra[1] if extra else CORE, bounds)


def fits(version: str, bounds: str) -> bool:
    """Tell whether a version is within bounds such as ``>=1.2,<2``; letters after its numbers do not count.

    >>> fits("0.10.14", ">=0.10.14,<0.10.22"), fits("0.10.30", ">=0.10.14,<0.10.22")
    (True, False)
    """
    return all((_numbers(version) < _numbers(bound)) == (sign == "<") for sign, bound in _BOUND.findall(bounds))


def _numbers(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()
