"""The chunks that a PNG consists of (https://www.w3.org/TR/png-3/#5DataRep)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3


def assemble(size: tuple[int, int], bits: int, colour_type: int, body: bytes, palette: bytes = b"") -> bytes:
    """Make a PNG of width and height, of packed scan lines, each behind the number of its filter.

    >>> assemble((1, 1), 8, GREY, zlib.compress(bytes(2)))[12:16]
    b'IHDR'
    """
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0))]
    chunks += [(b"PLTE", palette)] if palette else []
    chunks += [(b"IDAT", body), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )


def chunks_before_pixels(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the type and content of each chunk of a PNG up to its first pixels; nothing for any other file.

    >>> [(kind, len(content)) for kind, content in chunks_before_pixels(assemble((1, 1), 8, GREY, b""))]
    [(b'IHDR', 13)]
    """
    place = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if kind == b"IDAT":
            return
        yield kind, data[place + 8 : place + 8 + length]
        place += length + 12
