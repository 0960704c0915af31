"""Label Studio's run-length code against a decoder that goes bit by bit."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from inputs import Bytes
from oracle import equal
from reading import Reader

from segdata.formats.brush_rle import decode_brush, encode_brush


def _seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(1)
    for height, width in ((1, 1), (2, 3), (7, 5), (16, 16), (60, 64)):
        for share in (0, 0.02, 0.5, 1):
            mask = rng.random((height, width)) < share
            yield bytes((height, width)) + encode_brush(mask)
    for block in ("0", "1"):  # values one by one, and runs of other values than 0 and 255
        bits = (
            f"{4:032b}{7:05b}" + "0010" * 4 + (block + "00" + "011" + ("00001111" * 4 if block == "0" else "00000001"))
        )
        yield bytes((1, 1)) + int(bits.ljust(104, "0"), 2).to_bytes(13)


def _mutate(data: bytes, size: int, rng: random.Random, mutate: Bytes) -> bytes:
    """Leave the header alone more often than not."""
    if rng.random() < 0.2 or len(data) < 10:
        return mutate(data, size)
    return data[:9] + mutate(data[9:], size - 9)


def decode_slowly(code: bytes, count: int) -> list[int]:
    """Give the values that a code holds; it must be long enough."""
    bits = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def take(length: int) -> int:
        nonlocal place
        taken = bits[place : place + length]
        place += length
        if len(taken) < length:
            raise EOFError
        return int(taken, 2)

    values: list[int] = []
    take(32)
    word = take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    while len(values) < count:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    return values


def _check(data: bytes) -> bool:
    height, width = (data[0] % 65, data[1] % 65) if len(data) > 1 else (1, 1)
    mask = decode_brush(data[2:], height, width)
    alpha = np.array(decode_slowly(data[2:], height * width * 4)[3::4], np.uint8)
    equal(mask, alpha.reshape(height, width) != 0, "the mask of a brush code")
    equal(decode_brush(encode_brush(mask), height, width), mask, "a brush code written and read")
    return True


READER = Reader("brush", _seeds, _mutate, _check)
