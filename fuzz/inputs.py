"""What the fuzzers feed to readers: mutations that keep inputs well-formed enough to reach what is behind parsers."""

from __future__ import annotations

import copy
import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

Bytes = Callable[[bytes, int], bytes]
Mutator = Callable[[bytes, int, random.Random, Bytes], bytes]

_PNG = b"\x89PNG\r\n\x1a\n"
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 255, 256, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, 1 << 64, -(1 << 63)),
    *(0.5, -0.5, 1.5, 1e-300, 1e6, 1e9, 1e300, float("nan"), float("inf"), float("-inf")),
    *("", "person", "void", "a", "..", "../a", "/a", "a/b", "a\x00b", "\ud800", "é", "0", "1" * 400),
    *([], {}, [[]], [0], [0, 0], [1, 1, 3, 1, 3, 3], [[1, 1, 3, 1, 3, 3, 1, 3]], {"size": [4, 5], "counts": "121"}),
)
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?")
_NUMBERS = (b"0", b"1", b"-1", b"0.5", b"1.0", b"1.01", b"-0.01", b"1e3", b"1e309", b"nan", b"99999999999", b"")


def flip(data: bytes, size: int, rng: random.Random) -> bytes:
    """Change a few bytes at random: what is used where libFuzzer's own mutations are not at hand."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        place = rng.randrange(len(changed) or 1)
        kind = rng.randrange(4)
        if kind == 0 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and changed:
            changed[place] = rng.choice(b'\x00\x01\x7f\x80\xff0123456789,-.;"{}[]<>&')
        elif kind == 2:
            changed[place:place] = bytes(changed[rng.randrange(len(changed) or 1) :][: rng.randrange(1, 24)])
        else:
            del changed[place : place + rng.choice((1, 1, 2, 8, 64))]
    return bytes(changed[:size])


def mutate_json(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Change one to three values of a JSON document, or now and then its bytes."""
    if rng.random() < 0.3:
        return mutate(data, size)
    try:
        root = [json.loads(data)]
    except (ValueError, RecursionError):
        return mutate(data, size)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change(root, rng, mutate)
    try:
        changed = json.dumps(root[0]).encode()
    except (ValueError, RecursionError):
        return mutate(data, size)
    return changed if len(changed) <= size else mutate(data, size)


def mutate_lines(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Change one line, as JSON."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    lines[place] = mutate_json(lines[place], size, rng, mutate)
    if rng.random() < 0.1:
        lines.insert(place, rng.choice(lines))
    return b"\n".join(lines)[:size]


def mutate_numbers(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Change one to three of the numbers in a text, or now and then its bytes."""
    if rng.random() < 0.3:
        return mutate(data, size)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_NUMBER.finditer(data))
        if not places:
            return mutate(data, size)
        place = rng.choice(places)
        number = place.group()
        other = rng.choice((*_NUMBERS, b"%d" % rng.randrange(20), b"%.3f" % rng.random(), number + b"0", number[:-1]))
        data = data[: place.start()] + other + data[place.end() :]
    return data if len(data) <= size else mutate(data, size)


def mutate_toml(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Change a value of a TOML document, or its bytes."""
    import tomllib  # not before the fuzzer looks into it

    try:
        root = [tomllib.loads(data.decode())]
    except (ValueError, RecursionError):
        return mutate(data, size)
    if rng.random() < 0.3:
        return mutate(data, size)
    _change(root, rng, mutate)
    document = root[0] if isinstance(root[0], dict) else {"step": root[0]}
    try:
        changed = "".join(f"{json.dumps(name)} = {_toml(value)}\n" for name, value in document.items()).encode()
    except RecursionError:
        return mutate(data, size)
    return changed if len(changed) <= size else mutate(data, size)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, int | str):
        return json.dumps(value)
    return '"none"' if value is None else str(value)  # a date


def _change(root: list[Any], rng: random.Random, mutate: Bytes) -> None:
    holder: Any = root
    while True:
        places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not places:
            return
        place = rng.choice(places)
        if not isinstance(holder[place], dict | list) or not holder[place] or rng.random() < 0.12:
            break
        holder = holder[place]
    kind = rng.randrange(8)
    if kind == 0 and holder is not root:
        del holder[place]
    elif kind == 1 and isinstance(holder, list) and holder is not root:
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[place]))
    elif kind == 2 and isinstance(holder, dict):
        holder[rng.choice(list(holder))] = copy.deepcopy(holder[place])
    else:
        holder[place] = _other(holder[place], rng, mutate)


def _other(value: Any, rng: random.Random, mutate: Bytes) -> Any:
    if rng.random() < 0.25:
        return copy.deepcopy(rng.choice(_VALUES))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + rng.choice((-1, 1, 2, -7, 16, value, 1000))
    if isinstance(value, float):
        return value * rng.choice((-1, 0.5, 2, 1e3)) + rng.choice((0, 0.25, -1))
    if isinstance(value, str):
        return mutate(value.encode(errors="replace"), len(value) + 32).decode("latin-1")
    return copy.deepcopy(rng.choice(_VALUES))


def mutate_png(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Change a chunk of a PNG, its pixels before they are packed included, and make its checksum right again."""
    chunks = _chunks(data)
    if chunks is None or rng.random() < 0.1:
        return mutate(data, size)
    place = rng.randrange(len(chunks))
    kind, body = chunks[place]
    choice = rng.randrange(10)
    if choice == 0 and len(chunks) > 1:
        del chunks[place]
    elif choice == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), (kind, body))
    elif kind == b"IHDR" and len(body) == 13:
        width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", body)
        width, height = (max(side + rng.choice((0, 0, 0, -1, 1, 8, side)), 0) & 0xFFFFFFFF for side in (width, height))
        depth, colour = rng.choice((depth, 1, 2, 4, 8, 16)), rng.choice((colour, colour, 0, 2, 3, 4, 6))
        rest[2] = rng.choice((rest[2], rest[2], 0, 1))
        chunks[place] = kind, struct.pack(">IIBBBBB", width, height, depth, colour, *rest)
    elif kind == b"IDAT":
        try:
            inflater = zlib.decompressobj()
            raw = inflater.decompress(body, 1 << 16)
            chunks[place] = kind, zlib.compress(mutate(raw, len(raw) + 64), 1)
        except zlib.error:
            chunks[place] = kind, mutate(body, len(body) + 16)
    elif choice == 2:
        chunks[place] = rng.choice((b"tRNS", b"PLTE", b"eXIf", b"gAMA", b"acTL", b"iCCP", b"zTXt", b"IDAT")), body
    else:
        chunks[place] = kind, mutate(body, len(body) + 16)
    packed = _PNG + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return packed if len(packed) <= size else mutate(data, size)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    if not data.startswith(_PNG):
        return None
    place, chunks = len(_PNG), []
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += length + 12
    return chunks or None


def pack(parts: list[bytes]) -> bytes:
    """Join several files as one input.

    >>> unpack(pack([b"one", b"", b"two"]), 3)
    [b'one', b'', b'two']
    """
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)


def unpack(data: bytes, count: int) -> list[bytes]:
    """Give the files of an input; what is missing is empty, and the last takes the rest."""
    parts = []
    for _ in range(count - 1):
        length = int.from_bytes(data[:2])
        parts.append(data[2 : 2 + length])
        data = data[2 + length :]
    return [*parts, data[2:]]


def each_by(*mutators: Mutator) -> Mutator:
    """Give a mutator of packed inputs that changes one of the files by its own mutator."""

    def mutator(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
        parts = unpack(data, len(mutators))
        place = rng.randrange(len(parts))
        room = max(size - sum(map(len, parts)) - 2 * len(parts) + len(parts[place]), 1)
        parts[place] = mutators[place](parts[place], min(room, 0xFFFF), rng, mutate)
        return pack(parts)[:size]

    return mutator


def mutate_bytes(data: bytes, size: int, _: random.Random, mutate: Bytes) -> bytes:
    """Leave it to libFuzzer."""
    return mutate(data, size)
