"""Where the objects of a large JSON file's arrays lie, without parsing them or holding the file in memory.

An annotation file of gigabytes is one object whose arrays hold millions of small objects. This module finds where
each of them starts and ends, block by block, at the speed of reading; whoever uses an object parses it then. The fast
way counts braces with NumPy and checks that nothing but a comma stands between two objects. Text with braces in it
fails that check, and the block is then parsed by the json module to find the same positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from segdata.errors import InputError

_BLOCK = 1 << 20
_LARGEST_VALUE = 1 << 28
_SPACE = b" \t\r\n"
_BETWEEN = np.zeros(256, np.bool_)
_BETWEEN[list(_SPACE + b",")] = True


class Block(NamedTuple):
    """Some consecutive objects of an array: `data[starts[i]:ends[i]]`, at `offset + starts[i]` in the file."""

    data: bytes
    offset: int
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


class Span(NamedTuple):
    """The array's objects found in a buffer, where the rest begins, and whether the array ends there."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    rest: int
    finished: bool


def scan(path: Path, arrays: frozenset[str]) -> Iterator[tuple[str, Block | bytes]]:
    """Walk through the top level of a JSON object in a file.

    Yields (name, `Block`) as often as needed for the members named in `arrays`, and (name, bytes of the value) once
    for each other member. Raises `InputError` that names the file and the byte for what is not such an object.
    """
    with path.open("rb", buffering=0) as file:
        yield from _Scanner(file, path).members(arrays)


class _Scanner:
    """A window over the file: `data` from the byte `offset` on, read up to `position`."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.data = b""
        self.offset = 0
        self.position = 0
        self.at_end = False

    def members(self, arrays: frozenset[str]) -> Iterator[tuple[str, Block | bytes]]:
        self.more(_BLOCK)
        if self.data.startswith(b"\xef\xbb\xbf"):
            self.position = 3
        if not self.data:
            raise InputError(f"{self.path} is empty (0 bytes)")
        if self.peek() != b"{":
            raise self.error("does not hold a JSON object with 'images' and 'annotations'")
        self.position += 1
        while self.peek() != b"}":
            name = json.loads(self.value())
            if not isinstance(name, str) or self.peek() != b":":
                raise self.error("is not valid JSON")
            self.position += 1
            if name in arrays and self.peek() == b"[":
                self.position += 1
                for block in self.blocks():
                    yield name, block
            else:
                yield name, self.value()
            if self.peek() == b",":
                self.position += 1
            elif self.peek() != b"}":
                raise self.error("is not valid JSON")

    def error(self, what: str) -> InputError:
        where = self.offset + self.position
        if self.at_end and self.position >= len(self.data):
            return InputError(f"{self.path} ends too early, after {where} bytes", "copy or download it again")
        return InputError(f"{self.path} {what} (at byte {where})", "check that it is a COCO annotation file")

    def more(self, size: int) -> None:
        """Drop what has been read and append up to `size` bytes."""
        new = self.file.read(size)
        self.at_end = not new
        self.data = self.data[self.position :] + new
        self.offset += self.position
        self.position = 0

    def peek(self) -> bytes:
        """Skip white space and give the next byte."""
        while True:
            while self.data[self.position : self.position + 1] in (b" ", b"\n", b"\r", b"\t"):
                self.position += 1
            if self.position < len(self.data):
                return self.data[self.position : self.position + 1]
            if self.at_end:
                raise self.error("is not valid JSON")
            self.more(_BLOCK)

    def value(self) -> bytes:
        """Read one JSON value, whatever it is."""
        self.peek()
        while True:
            text = self.data[self.position :].decode("latin-1")  # one character a byte: positions stay the same
            try:
                _, length = json.JSONDecoder().raw_decode(text)
                if length < len(text) or self.at_end:  # a number may go on in the next block
                    value = self.data[self.position : self.position + length]
                    self.position += length
                    return value
            except ValueError as error:
                if self.at_end or len(text) > _LARGEST_VALUE:
                    raise self.error("is not valid JSON") from error
            self.more(max(_BLOCK, len(text)))

    def blocks(self) -> Iterator[Block]:
        """Read the array that the position is in, and stand behind its end."""
        while True:
            if self.peek() == b",":
                self.position += 1
                self.peek()
            if self.peek() == b"]":
                self.position += 1
                return
            if len(self.data) - self.position < _BLOCK and not self.at_end:
                self.more(_BLOCK)
            data = self.data[self.position :] if self.position else self.data
            span = _find_objects(data) or _parse_objects(data)
            if len(span.starts):
                yield Block(data, self.offset + self.position, span.starts, span.ends)
                self.position += span.rest
                if span.finished:
                    self.position += 1
                    return
            elif self.at_end or len(data) > _LARGEST_VALUE:
                raise self.error("is not valid JSON")
            else:
                self.more(len(data))


def _find_objects(data: bytes) -> Span | None:
    """Find the objects at the front of `data` by their braces; None if something else stands between them."""
    codes = np.frombuffer(data, np.uint8)
    braces = np.flatnonzero(((codes - 123) & 253) == 0)  # "{" is 123, "}" is 125
    opens = codes[braces] == 123
    depth = np.cumsum(np.where(opens, 1, -1))
    starts, ends = braces[opens & (depth == 1)], braces[~opens & (depth == 0)] + 1
    complete = min(len(starts), len(ends))
    starts, ends = starts[:complete], ends[:complete]
    if not complete or data[: starts[0]].strip(_SPACE) or (starts >= ends).any():
        return None
    gaps = starts[1:] - ends[:-1]
    regular = np.zeros(len(gaps), np.bool_)
    for length in np.unique(gaps[(gaps > 0) & (gaps <= 64)]):
        here = np.flatnonzero(gaps == length)
        between = codes[ends[here][:, None] + np.arange(length)]
        regular[here] = _BETWEEN[between].all(axis=1) & (np.count_nonzero(between == 44, axis=1) == 1)
    last = int(np.argmin(regular)) if not regular.all() else len(gaps)
    end = int(ends[last])
    behind = data[end : end + 4096].lstrip(_SPACE)
    rest = end + len(data[end : end + 4096]) - len(behind)
    if behind.startswith(b"]"):
        return Span(starts[: last + 1], ends[: last + 1], rest, finished=True)
    if last < len(gaps) or (behind and not behind.startswith(b",")):
        return None
    return Span(starts, ends, end, finished=False)


def _parse_objects(data: bytes) -> Span:
    """Find the same positions by parsing."""
    text = data.decode("latin-1")
    decoder = json.JSONDecoder()
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    while True:
        while text[position : position + 1] in (" ", "\t", "\r", "\n", ","):
            position += 1
        if text[position : position + 1] == "]":
            return Span(np.array(starts, np.int64), np.array(ends, np.int64), position, finished=True)
        try:
            _, end = decoder.raw_decode(text, position)
        except ValueError:  # the last object goes on behind this block
            break
        if end == len(text):
            break
        starts.append(position)
        ends.append(end)
        position = end
    return Span(np.array(starts, np.int64), np.array(ends, np.int64), ends[-1] if ends else 0, finished=False)


def integers(block: Block, name: bytes) -> npt.NDArray[np.int64] | None:
    """Read the whole number behind ``"name":`` in every object; None unless each object has that name exactly once."""
    quoted = b'"' + name + b'"'
    found = []
    position = block.data.find(quoted, int(block.starts[0]), int(block.ends[-1]))
    end = int(block.ends[-1])
    while position >= 0:
        found.append(position)
        position = block.data.find(quoted, position + 1, end)
    places = np.array(found, np.int64)
    if len(places) != len(block.starts) or not ((places > block.starts) & (places < block.ends)).all():
        return None
    codes = np.frombuffer(block.data + b" " * 32, np.uint8)
    window = codes[(places + len(quoted))[:, None] + np.arange(24)] - 48
    is_digit = window < 10
    values = np.zeros(len(places), np.int64)
    ended = np.zeros(len(places), np.bool_)
    for column in range(24):
        digit = is_digit[:, column]
        ended |= ~digit & (column > 0) & is_digit[:, column - 1]
        values = np.where(digit & ~ended, values * 10 + window[:, column], values)
    return values
