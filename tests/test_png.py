"""PNG files as chunks: what stands before the pixels, and that a file says once what it is."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from segdata.errors import SampleError
from segdata.pixels import decode_labels
from segdata.png import GREY, PALETTE, SIGNATURE, assemble, chunks_before_pixels

PACKED = zlib.compress(bytes([0, 1, 2]))


def header_of(data):
    """Give the header's chunk whole: length, type, content and check sum."""
    return data[len(SIGNATURE) : len(SIGNATURE) + 25]


def test_pillow_reads_what_is_assembled():
    with Image.open(io.BytesIO(assemble((2, 1), 8, PALETTE, PACKED, bytes(range(9))))) as image:
        assert (image.mode, image.size, image.getpalette()[:9]) == ("P", (2, 1), list(range(9)))
        assert np.asarray(image).tolist() == [[1, 2]]


def test_chunks_are_given_up_to_the_pixels():
    data = assemble((2, 1), 8, PALETTE, PACKED, bytes(range(9)))
    assert [kind for kind, _ in chunks_before_pixels(data)] == [b"IHDR", b"PLTE"]
    assert dict(chunks_before_pixels(data))[b"PLTE"] == bytes(range(9))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", SIGNATURE, SIGNATURE + b"\0\0"])
def test_a_file_without_whole_chunks_has_none(data):
    assert list(chunks_before_pixels(data)) == []


def test_a_chunk_longer_than_the_file_is_the_last():
    assert list(chunks_before_pixels(SIGNATURE + b"\xff\xff\xff\xffIHDRab")) == [(b"IHDR", b"ab")]


def test_a_png_with_another_header_than_one_at_its_beginning_is_refused():
    first, second = assemble((2, 1), 8, GREY, PACKED), assemble((2, 1), 8, PALETTE, PACKED, bytes(9))
    header, rest = header_of(first), first[len(SIGNATURE) + len(header_of(first)) :]
    two = SIGNATURE + header + second[len(SIGNATURE) :]
    late, none = SIGNATURE + rest[:-12] + header + rest, SIGNATURE + rest
    for data in (two, late, none):
        with pytest.raises(SampleError, match=r"a\.png cannot be decoded \(it is a PNG that does not begin with one"):
            decode_labels(data, "a.png")
