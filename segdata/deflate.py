"""Zlib streams of data that is nearly all zeros, the same on every machine and faster than a general compressor.

A mask under PNG's filter "up" is zeros with a byte here and there where the outline runs. That needs no search for
matches: each such byte is a literal, the zeros between are runs (RFC 1951, one block of fixed Huffman codes).
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

_LONGEST_RUN = 258
_HEADER = b"\x78\x01"
# Base lengths and numbers of extra bits of the length symbols 257 to 285.
_BASES = (
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    13,
    15,
    17,
    19,
    23,
    27,
    31,
    35,
    43,
    51,
    59,
    67,
    83,
    99,
    115,
    131,
    163,
    195,
    227,
    258,
)
_EXTRAS = (*[0] * 8, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, *[5] * 4, 0)


def _reversed(code: int, bits: int) -> int:
    """Turn a Huffman code round: they are packed from the highest bit, everything else from the lowest."""
    return int(f"{code:0{bits}b}"[::-1], 2)


def _symbol(number: int) -> tuple[int, int]:
    """Give the fixed Huffman code of a symbol, ready to be packed, and its bits."""
    if number < 144:
        return _reversed(0x30 + number, 8), 8
    if number < 256:
        return _reversed(0x190 + number - 144, 9), 9
    if number < 280:
        return _reversed(number - 256, 7), 7
    return _reversed(0xC0 + number - 280, 8), 8


def _run(length: int) -> tuple[int, int]:
    """Give the code of a run that repeats the byte before it: length, extra bits, and distance 1 (five zeros)."""
    index = max(i for i, base in enumerate(_BASES) if base <= length)
    code, bits = _symbol(257 + index)
    return code | (length - _BASES[index]) << bits, bits + _EXTRAS[index] + 5


_TOKENS = [_symbol(value) for value in range(256)] + [_run(length) for length in range(3, _LONGEST_RUN + 1)]
_CODES = np.array([code for code, _ in _TOKENS], np.uint64)
_BITS = np.array([bits for _, bits in _TOKENS], np.int64)
_RUN_OF_THREE = 256


def compress_sparse(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> bytes:
    """Compress uint8 (N,) that is zero everywhere but at `places`, which rise, to a zlib stream.

    >>> import zlib
    >>> data = np.zeros(1000, np.uint8)
    >>> data[[3, 700]] = 7, 255
    >>> zlib.decompress(compress_sparse(data, np.array([3, 700]))) == data.tobytes()
    True
    """
    # Each byte at a place, and a virtual one before the data, is followed by zeros: the first as a literal, the others
    # as runs of 258, one shorter run, and up to two literals.
    zeros = np.diff(places, prepend=-1, append=len(data)) - 1
    repeated = np.maximum(zeros - 1, 0)
    full = repeated // _LONGEST_RUN
    rest = repeated - full * _LONGEST_RUN
    short = rest >= 3
    literals = np.where(short, 0, rest)
    counts = (zeros > 0) + full + short + literals + 1
    counts[0] -= 1
    ends = np.cumsum(counts)
    tokens = np.full(int(ends[-1]), _RUN_OF_THREE + _LONGEST_RUN - 3)
    starts = ends - counts
    values = data[places].astype(np.int64)
    tokens[starts[1:]] = values
    first_zero = starts + (np.arange(len(starts)) > 0)
    tokens[first_zero[zeros > 0]] = 0
    tokens[ends[short] - 1] = _RUN_OF_THREE + rest[short] - 3
    tokens[ends[literals > 0] - 1] = 0
    tokens[ends[literals > 1] - 2] = 0
    checksum = 1 + int(values.sum()), len(data) + int(values @ (len(data) - places))  # Adler-32: zeros add nothing
    return _HEADER + _packed(tokens) + struct.pack(">HH", checksum[1] % 65521, checksum[0] % 65521)


def _packed(tokens: npt.NDArray[np.int64]) -> bytes:
    """Pack tokens into one final block of fixed Huffman codes."""
    bits = _BITS[tokens]
    ends = np.cumsum(bits) + 3  # behind the block's header: final, fixed codes
    starts = ends - bits
    total = int(ends[-1]) + 7 if len(ends) else 10  # the end of the block is seven zeros
    shifted = _CODES[tokens] << (starts % 32).astype(np.uint64)
    words = starts // 32
    length = total // 32 + 2
    # No two codes share a bit, so sums are unions, and below 2**53 a float holds them exactly.
    low = np.bincount(words, (shifted & np.uint64(0xFFFFFFFF)).astype(np.float64), length)
    high = np.bincount(words + 1, (shifted >> np.uint64(32)).astype(np.float64), length)
    packed = (low + high).astype("<u4")
    packed[0] |= 3
    return packed.tobytes()[: (total + 7) // 8]
