"""The run-length code of Label Studio's brush, to and from masks.

The code is that of thi.ng's rle-pack (https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack) over the
flattened RGBA pixels of the upright photo: a stream of bits, the highest of a byte first. It starts with the number of
values (32 bits), the bits of a value less one (5) and four sizes less one (4 each). Blocks follow: a bit that tells a
run of one value from values one by one, which of the four sizes is used (2 bits), how many values less one (in as many
bits), and the value or values.

label_studio_sdk.converter.brush reads and writes the same, a character a bit. It is not used: that takes more than ten
times as long, and takes the memory that a code claims before looking at the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.masks import Mask
from segdata.pixels import MOST_PIXELS

_CHANNELS = 4
_WORD_BITS = 8
_SIZES = (3, 4, 8, 16)  # those of Label Studio
_HEADER_BITS = 32 + 5 + 4 * 4
_LONGEST_RUN = 1 << _SIZES[-1]
_MOST_VALUES = (1 << 32) - 1
_SET = 255


class _Header(NamedTuple):
    values: int
    word_bits: int
    sizes: tuple[int, ...]


def encode_brush(mask: Mask) -> bytes:
    """Encode bool (H, W) as the code of an RGBA image that is 255 in all channels in the mask and 0 elsewhere.

    Raises `SampleError` (``huge-image``) for 2^30 pixels or more, whose values the code cannot count.

    >>> decode_brush(encode_brush(np.array([[True, False, False]])), 1, 3)
    array([[ True, False, False]])
    """
    values = mask.size * _CHANNELS
    if values > _MOST_VALUES:
        raise SampleError("huge-image", f"a brush mask has less than {MOST_PIXELS:,} pixels, not {mask.size:,}")
    lengths, is_set = _runs(mask)
    kind = np.searchsorted([1 << size for size in _SIZES], lengths)
    size = np.array(_SIZES)[kind]
    blocks = 4 | kind  # a bit for a run, two for the size
    blocks = (((blocks << size) | (lengths - 1)) << _WORD_BITS) | np.where(is_set, _SET, 0)
    header = values
    for number, bits in ((_WORD_BITS - 1, 5), *((each - 1, 4) for each in _SIZES)):
        header = header << bits | number
    return _pack(header, blocks.astype(np.uint64), 3 + size + _WORD_BITS)


def _runs(mask: Mask) -> tuple[npt.NDArray[np.int64], Mask]:
    """Give how many values each run has, at most `_LONGEST_RUN`, and whether it is set."""
    pixels = np.ascontiguousarray(mask).reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(changes, prepend=0, append=pixels.size) * _CHANNELS
    is_set = pixels[np.concatenate(([0], changes))] if pixels.size else pixels
    pieces = -(-lengths // _LONGEST_RUN)
    if (pieces == 1).all():
        return lengths, is_set
    last = pieces.cumsum() - 1
    split = np.full(int(pieces.sum()), _LONGEST_RUN, np.int64)
    split[last[pieces > 0]] = (lengths - (pieces - 1) * _LONGEST_RUN)[pieces > 0]
    return split, np.repeat(is_set, pieces)


def _pack(header: int, blocks: npt.NDArray[np.uint64], widths: npt.NDArray[np.int64]) -> bytes:
    """Write the header's bits and then as many of each block as its width says, of which there are 32 at most."""
    ends = widths.cumsum() + _HEADER_BITS
    total = int(ends[-1]) if ends.size else _HEADER_BITS
    starts = ends - widths
    words = np.zeros(total // 32 + 2, np.uint64)  # of 32 bits, so that a block lies in two of them
    words[:2] = divmod(header << (64 - _HEADER_BITS), 1 << 32)
    place = starts >> 5
    shifted = blocks << (64 - (starts & 31) - widths).astype(np.uint64)
    np.add.at(words, place, shifted >> np.uint64(32))
    np.add.at(words, place + 1, shifted & np.uint64(0xFFFFFFFF))
    return words.astype(">u4").tobytes()[: -(-total // 8)]


def decode_brush(code: bytes, height: int, width: int) -> Mask:
    """Decode the code of an RGBA image of `height` x `width` pixels to bool (H, W): set where alpha is not 0.

    A brush stroke's border, which is partly transparent, is thus part of the mask, as on the screen.

    Raises `SampleError`, before memory is taken: ``huge-image`` for more than `MOST_PIXELS`, ``size-mismatch`` for a
    code of another size than the image, ``bad-rle`` for one that ends too early, runs past the image or holds values
    of other than 8 bits.

    >>> decode_brush(encode_brush(np.zeros((2, 2), np.bool_)), 2, 2).any()
    np.False_
    """
    if height * width > MOST_PIXELS:
        raise SampleError("huge-image", f"{width} x {height} pixels are more than {MOST_PIXELS:,}")
    header = _read_header(code)
    if header.values != height * width * _CHANNELS:
        raise SampleError(
            "size-mismatch",
            f"the brush code holds {header.values} values, an image of {width} x {height} has "
            f"{height * width * _CHANNELS}",
        )
    if header.word_bits != _WORD_BITS:
        raise SampleError("bad-rle", f"the brush code holds values of {header.word_bits} bits instead of 8")
    ends, is_set = _read_blocks(code, header)
    # Alpha is the last of a pixel's four values: a run covers as many pixels as it covers of those.
    pixels = np.diff(ends // _CHANNELS, prepend=0)
    return np.repeat(is_set, pixels).reshape(height, width)


def _read_header(code: bytes) -> _Header:
    if len(code) * 8 < _HEADER_BITS:
        raise SampleError("bad-rle", f"the brush code has {len(code)} bytes and ends within its header")
    bits = int.from_bytes(code[:8].ljust(8, b"\0"))
    return _Header(bits >> 32, (bits >> 27 & 31) + 1, tuple((bits >> shift & 15) + 1 for shift in (23, 19, 15, 11)))


def _read_blocks(code: bytes, header: _Header) -> tuple[npt.NDArray[np.int64], Mask]:
    """Give where each run of equal values ends, counted in values, and whether they are set."""
    ends: list[int] = []
    values = bytearray()
    position, done, end_of_code = _HEADER_BITS, 0, len(code) * 8
    padded = code + bytes(8)
    sizes, total = header.sizes, header.values
    while done < total:
        byte, bit = divmod(position, 8)
        window = int.from_bytes(padded[byte : byte + 5]) << bit  # 33 bits or more, of which a run takes 27 at most
        size = sizes[window >> 37 & 3]
        count = (window >> 37 - size & (1 << size) - 1) + 1
        if window >> 39 & 1:
            done += count
            ends.append(done)
            values.append(window >> 29 - size & 255)
            position += 11 + size
        else:
            first = position + 3 + size
            position = first + count * _WORD_BITS
            ends += range(done + 1, done + count + 1)
            done += count
            values += _read_bytes(padded, first, count)
        if position > end_of_code:
            raise SampleError("bad-rle", f"the brush code ends after {len(code)} bytes, in the middle of the image")
    if done > total:
        raise SampleError("bad-rle", "a run of the brush code goes on behind the last pixel")
    return np.array(ends, np.int64), np.frombuffer(values, np.uint8) != 0


def _read_bytes(data: bytes, position: int, count: int) -> bytes:
    """Read bytes that start at any bit; fewer where the data ends before."""
    byte, bit = divmod(position, 8)
    piece = data[byte : byte + count + 1]
    return (int.from_bytes(piece) >> (8 - bit) & (1 << 8 * max(len(piece) - 1, 0)) - 1).to_bytes(max(len(piece) - 1, 0))
