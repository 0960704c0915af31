"""Where the objects of a large JSON file's arrays lie, without parsing them or holding the file in memory.

An annotation file of gigabytes is one object whose arrays hold millions of small objects. This module finds where
each of them starts and ends, block by block, at the speed of reading; whoever uses an object parses it then. The fast
way counts the braces outside of text with NumPy and checks that nothing but a comma stands between two objects. Where
something else does, the block is parsed by the json module to find the same positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from segdata.errors import InputError
from segdata.storage import local

_BLOCK = 1 << 20
_LARGEST_VALUE = 1 << 28
_SPACE = b" \t\r\n"
_DEEPER = np.zeros(256, np.int64)
_DEEPER[list(b"[{")] = 1
_DEEPER[list(b"]}")] = -1
_BEHIND_VALUE = frozenset(" \t\r\n,:]}")  # anything else behind a number is more of it: 1 may be the start of 1.5
_BETWEEN = np.zeros(256, np.bool_)
_BETWEEN[list(_SPACE + b",")] = True
_BEHIND_NUMBER = np.zeros(256, np.bool_)
_BEHIND_NUMBER[list(_SPACE + b",}")] = True


class Block(NamedTuple):
    """Some consecutive objects of an array: `data[starts[i]:ends[i]]`, at `offset + starts[i]` in the file.

    `quotes` are the places in `data` of all quotes that start and end text.
    """

    data: bytes
    offset: int
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    quotes: npt.NDArray[np.int64]

    def only(self, wanted: Sequence[bool]) -> Block:
        """Give the block with some of its objects: one truth value an object."""
        chosen = np.array(wanted, np.bool_)
        return self._replace(starts=self.starts[chosen], ends=self.ends[chosen])


class Span(NamedTuple):
    """The array's objects found in a buffer, where the rest begins, and whether the array ends there."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    rest: int
    finished: bool


def scan(path: Path, arrays: frozenset[str], values: frozenset[str]) -> Iterator[tuple[str, Block | bytes]]:
    """Walk through the top level of a JSON object in a file.

    Yields (name, `Block`) as often as needed for the members named in `arrays`, and (name, bytes of the value) once
    for those in `values`, and for one in `arrays` that is empty or no array. Others are passed over. Raises
    `InputError` that names the file and the byte for what is not such an object.
    """
    with local(path).open("rb", buffering=0) as file, ThreadPoolExecutor(1) as reader:
        yield from _Scanner(_Chunks(file, reader), path).members(arrays, values)


class _Marks(NamedTuple):
    """Places of quotes and of braces."""

    quotes: npt.NDArray[np.int64]
    braces: npt.NDArray[np.int64]

    def moved(self, first: int, by: int) -> _Marks:
        """Give those from the place `first` on, counted from another start."""
        return _Marks(*(kind[np.searchsorted(kind, first) :] + by for kind in self))


class _Chunk(NamedTuple):
    """Some bytes of the file, none at its end, and where in them quotes and braces stand, in text or not."""

    data: bytes
    marks: _Marks


class _Chunks:
    """Reads one chunk ahead in a thread of its own, for reading and marking let go of the interpreter."""

    def __init__(self, file: BinaryIO, reader: ThreadPoolExecutor) -> None:
        self.file = file
        self.reader = reader
        self.size = _BLOCK
        self.buffers = np.empty((2, self.size), np.bool_)  # one for all chunks: new memory costs more than the work
        self.ahead = reader.submit(self._read)

    def next(self) -> _Chunk:
        chunk = self.ahead.result()
        self.ahead = self.reader.submit(self._read)
        return chunk

    def _read(self) -> _Chunk:
        data = self.file.read(self.size)
        codes = np.frombuffer(data, np.uint8)
        quotes, high = self.buffers[:, : len(codes)]
        np.equal(codes, 34, out=quotes)
        np.greater(codes, 122, out=high)  # braces are 123 and 125, and little else is as high
        places = np.flatnonzero(np.logical_or(quotes, high, out=quotes))
        values = codes[places]
        return _Chunk(data, _Marks(places[values == 34], places[(values == 123) | (values == 125)]))


class _Scanner:
    """A window over the file: `data` from the byte `offset` on, with its `marks`, read up to `position`."""

    def __init__(self, chunks: _Chunks, path: Path) -> None:
        self.chunks = chunks
        self.path = path
        self.data = b""
        self.marks = _Marks(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self.offset = 0
        self.position = 0
        self.at_end = False

    def members(self, arrays: frozenset[str], values: frozenset[str]) -> Iterator[tuple[str, Block | bytes]]:
        self.more(_BLOCK)
        if self.data.startswith(b"\xef\xbb\xbf"):
            self.position = 3
        if not self.data:
            raise InputError(f"{self.path} is empty (0 bytes)")
        if self.peek() != b"{":
            raise self.error("does not hold a JSON object with 'images' and 'annotations'")
        self.position += 1
        while self.peek() != b"}":
            name = json.loads(self.value().decode("utf-8", "replace"))
            if not isinstance(name, str) or self.peek() != b":":
                raise self.broken()
            self.position += 1
            if name in arrays and self.peek() == b"[":
                self.position += 1
                if self.peek() == b"]":
                    yield name, b"[]"
                for block in self.blocks():
                    yield name, block
            elif name in arrays or name in values:
                yield name, self.value()
            else:
                self.skip()
            if self.peek() == b",":
                self.position += 1
            elif self.peek() != b"}":
                raise self.broken()
        self.position += 1
        self.end()

    def end(self) -> None:
        """Make sure that nothing but white space follows."""
        while self.position < len(self.data) or not self.at_end:
            if self.data[self.position :].strip(_SPACE):
                raise self.error("goes on behind the end of its JSON object")
            self.position = len(self.data)
            self.more(_BLOCK)

    def error(self, what: str) -> InputError:
        where = self.offset + self.position
        return InputError(f"{self.path} {what} (at byte {where})", "check that it is a whole COCO annotation file")

    def broken(self) -> InputError:
        """Give the error for what is no JSON."""
        return self.error("ends too early or is not valid JSON" if self.at_end else "is not valid JSON")

    def more(self, size: int) -> None:
        """Drop what has been read and append `size` bytes or a little more."""
        parts, marks = [self.data[self.position :]], [self.marks.moved(self.position, -self.position)]
        wanted = len(parts[0]) + size
        length = len(parts[0])
        self.at_end = True
        while length < wanted and (chunk := self.chunks.next()).data:
            self.at_end = False
            parts.append(chunk.data)
            marks.append(chunk.marks.moved(0, length))
            length += len(chunk.data)
        self.data, self.marks = b"".join(parts), _Marks(*(np.concatenate(kind) for kind in zip(*marks, strict=True)))
        self.offset += self.position
        self.position = 0

    def syntax(self) -> _Marks:
        """Give the marks from the position on that are no part of text."""
        quotes, braces = (kind[np.searchsorted(kind, self.position) :] for kind in self.marks)
        quotes = _unescaped(self.data, self.position, quotes)
        return _Marks(quotes, braces[np.searchsorted(quotes, braces) % 2 == 0])

    def peek(self) -> bytes:
        """Skip white space and give the next byte."""
        while True:
            while self.data[self.position : self.position + 1] in (b" ", b"\n", b"\r", b"\t"):
                self.position += 1
            if self.position < len(self.data):
                return self.data[self.position : self.position + 1]
            if self.at_end:
                raise self.broken()
            self.more(_BLOCK)

    def value(self) -> bytes:
        """Read one JSON value, whatever it is."""
        self.peek()
        while True:
            text = self.data[self.position :].decode("latin-1")  # one character a byte: positions stay the same
            try:
                _, length = json.JSONDecoder().raw_decode(text)
                if self.at_end or text[length : length + 1] in _BEHIND_VALUE:
                    value = self.data[self.position : self.position + length]
                    self.position += length
                    return value
            except RecursionError as error:
                raise self.error("is nested too deeply") from error
            except ValueError as error:
                if self.at_end or len(text) > _LARGEST_VALUE:
                    raise self.broken() from error
            self.more(max(_BLOCK, len(text)))

    def skip(self) -> None:
        """Pass over a value of any size without holding it."""
        if self.peek() not in (b"[", b"{"):
            self.value()
            return
        depth = 0
        while True:
            codes = np.frombuffer(self.data, np.uint8)
            quotes = self.syntax().quotes
            whole = int(quotes[-1]) if len(quotes) % 2 else len(codes)  # a text may go on in the next block
            brackets = np.flatnonzero(_DEEPER[codes[self.position : whole]]) + self.position
            brackets = brackets[np.searchsorted(quotes, brackets) % 2 == 0]
            depths = depth + np.cumsum(_DEEPER[codes[brackets]])
            closed = np.flatnonzero(depths == 0)
            if len(closed):
                self.position = int(brackets[closed[0]]) + 1
                return
            if self.at_end or len(codes) - whole > _LARGEST_VALUE:
                raise self.broken()
            depth = int(depths[-1]) if len(depths) else depth
            self.position = whole
            self.more(max(_BLOCK, len(codes) - whole))

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
            marks = self.syntax()
            span = _find_objects(self.data, self.position, marks) or _parse_objects(self.data, self.position)
            if len(span.starts):
                yield Block(self.data, self.offset, span.starts, span.ends, marks.quotes)
                self.position = span.rest
                if span.finished:
                    self.position += 1
                    return
            elif self.at_end or len(self.data) > _LARGEST_VALUE:
                raise self.broken()
            else:
                self.more(len(self.data))


def _unescaped(data: bytes, position: int, quotes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Leave out the quotes behind an odd number of backslashes, which are part of text."""
    if data.find(b"\\", position) < 0:
        return quotes
    codes = np.frombuffer(data, np.uint8)
    backslashes = np.flatnonzero(codes[position:] == 92) + position
    number = np.arange(len(backslashes))
    first_of_run = np.maximum.accumulate(np.where(np.diff(backslashes, prepend=-2) == 1, 0, number))
    before = np.searchsorted(backslashes, quotes) - 1
    escaped = (backslashes[before] == quotes - 1) & ((number - first_of_run)[before] % 2 == 0)
    ends: npt.NDArray[np.int64] = quotes[~escaped]
    return ends


def _find_objects(data: bytes, position: int, marks: _Marks) -> Span | None:
    """Find the objects from `position` on by their braces; None if something else stands between them."""
    codes = np.frombuffer(data, np.uint8)
    braces = marks.braces
    opens = codes[braces] == 123
    if opens[::2].all() and not opens[1::2].any():  # nothing nested, as with polygons
        starts, ends = braces[::2], braces[1::2] + 1
    else:
        depth = np.cumsum(np.where(opens, 1, -1))
        starts, ends = braces[opens & (depth == 1)], braces[~opens & (depth == 0)] + 1
    complete = min(len(starts), len(ends))
    starts, ends = starts[:complete], ends[:complete]
    if not complete or data[position : starts[0]].strip(_SPACE) or (starts >= ends).any():
        return None
    last = _first_irregular(codes, ends[:-1], starts[1:])
    regular = last == complete - 1
    end = int(ends[last])
    behind = data[end : end + 4096].lstrip(_SPACE)
    rest = end + len(data[end : end + 4096]) - len(behind)
    if behind.startswith(b"]"):
        return Span(starts[: last + 1], ends[: last + 1], rest, finished=True)
    if not regular or (behind and not behind.startswith(b",")):
        return None
    return Span(starts, ends, end, finished=False)


def _first_irregular(codes: npt.NDArray[np.uint8], froms: npt.NDArray[np.int64], tos: npt.NDArray[np.int64]) -> int:
    """Give the number of the first gap that holds anything but one comma and white space; how many gaps, if none."""
    gaps = tos - froms
    if not len(gaps):
        return 0
    first = codes[froms[0] : tos[0]]
    if (gaps == gaps[0]).all() and len(first) <= 64 and _BETWEEN[first].all() and np.count_nonzero(first == 44) == 1:
        same = (codes[froms + column] == code for column, code in enumerate(first))  # machines write gaps all alike
        if all(column.all() for column in same):
            return len(gaps)
    regular = np.zeros(len(gaps), np.bool_)
    for length in np.unique(gaps[(gaps > 0) & (gaps <= 64)]):
        here = np.flatnonzero(gaps == length)
        between = codes[froms[here][:, None] + np.arange(length)]
        regular[here] = _BETWEEN[between].all(axis=1) & (np.count_nonzero(between == 44, axis=1) == 1)
    return int(np.argmin(regular)) if not regular.all() else len(gaps)


def _parse_objects(data: bytes, position: int) -> Span:
    """Find the same positions by parsing."""
    text = data.decode("latin-1")
    decoder = json.JSONDecoder()
    starts: list[int] = []
    ends: list[int] = []
    while True:
        while text[position : position + 1] in (" ", "\t", "\r", "\n", ","):
            position += 1
        if text[position : position + 1] == "]":
            return Span(np.array(starts, np.int64), np.array(ends, np.int64), position, finished=True)
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):  # the last object goes on behind this block
            break
        if text[end : end + 1] not in _BEHIND_VALUE:
            break
        starts.append(position)
        ends.append(end)
        position = end
    return Span(np.array(starts, np.int64), np.array(ends, np.int64), position, finished=False)


def integers(block: Block, name: bytes) -> npt.NDArray[np.int64] | None:
    """Read the whole number behind ``"name":`` in every object; None unless each object has that name exactly once.

    `name` has six letters or more. None as well where what follows is not a colon, at most one space and a plain
    whole number of up to 13 digits.
    """
    quoted = np.frombuffer(b'"' + name + b'"', np.uint8)
    last = int(block.ends[-1])
    data = block.data if last + 16 <= len(block.data) else block.data + b" " * 16
    words = np.ndarray(len(data) - 7, np.uint64, data, strides=(1,))  # eight bytes from each place on
    pairs = block.quotes[: np.searchsorted(block.quotes, last)]  # text starts and ends by turns
    starts, ends = pairs[: len(pairs) // 2 * 2 : 2], pairs[1::2]
    places = starts[ends - starts == len(quoted) - 1]
    for offset in {0, len(quoted) - 8}:
        places = places[words[places + offset] == quoted[offset : offset + 8].copy().view(np.uint64)]
    if len(places) != len(block.starts) or not len(places):
        return None
    if not ((places > block.starts) & (places < block.ends)).all():
        return None
    cursor = places + len(quoted)
    behind = np.stack((words[cursor], words[cursor + 8]), axis=1).view(np.uint8)
    start = 1 + int((behind[:, 1] == 32).all())  # nearly every file has a colon, a space or none, and digits
    if not (behind[:, 0] == 58).all():
        return None
    digits = behind[:, start:] - 48
    is_digit = digits < 10
    lengths = np.argmin(is_digit, axis=1)
    if not lengths.all():  # no digit, or nothing but digits
        return None
    if not _BEHIND_NUMBER[behind[np.arange(len(places)), start + lengths]].all():
        return None
    values = np.zeros(len(places), np.int64)
    for column in range(int(lengths.max())):
        values = np.where(column < lengths, values * 10 + digits[:, column], values)
    return values
