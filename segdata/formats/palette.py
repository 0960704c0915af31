"""Palette PNGs: an index a pixel, shown in the colours of PASCAL VOC, and persons drawn as indices.

The colour map is that of the VOC development kit (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/): the bits of
an index, three at a time, go to red, green and blue, the lowest bits to the highest ones. DAVIS has the same colours.
Pillow writes such files as well, but not the same bytes with each of its versions.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.formats.drawing import draw_numbers
from segdata.masks import Mask
from segdata.png import PALETTE, SIGNATURE, assemble, chunks_before_pixels
from segdata.sample import Person

VOID = 255
MOST_PERSONS = 254
NO_INDEX = -1

Indices = npt.NDArray[np.uint8]
Colours = npt.NDArray[np.uint8]

_COLOUR_TYPE = 25  # where a PNG says whether it is grey, coloured or of a palette


def voc_colours() -> Colours:
    """Give the colour of each index, uint8 (256, 3) RGB.

    >>> voc_colours()[[0, 1, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    indices = np.arange(256, dtype=np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= (indices >> bit & 1) << (7 - bit // 3)
    return colours


_PALETTE = voc_colours().tobytes()


def encode_palette_png(indices: Indices) -> bytes:
    """Encode uint8 (H, W) as a palette PNG in the colours of VOC. Equal arrays give equal bytes.

    >>> from segdata.pixels import decode_labels
    >>> decode_labels(encode_palette_png(np.array([[0, 15, 255]], np.uint8)))
    array([[  0,  15, 255]], dtype=uint8)
    """
    if indices.dtype != np.uint8:
        raise TypeError(f"a palette PNG holds uint8, not {indices.dtype}")
    height, width = indices.shape
    scanlines = np.zeros((height, width + 1), np.uint8)
    scanlines[:, 1:] = indices
    return assemble((width, height), 8, PALETTE, zlib.compress(scanlines.tobytes(), 1), _PALETTE)


def palette_of(data: bytes) -> Colours | None:
    """Give the colours of a palette PNG, uint8 (N, 3) RGB; None for any other file.

    >>> palette_of(encode_palette_png(np.zeros((1, 1), np.uint8)))[1].tolist()
    [128, 0, 0]
    """
    for kind, content in chunks_before_pixels(data):
        if kind == b"PLTE" and _colour_type(data) == PALETTE:
            return np.frombuffer(content[: len(content) // 3 * 3], np.uint8).reshape(-1, 3)
    return None


def is_coloured(data: bytes) -> bool:
    """Tell whether a file is a PNG with red, green and blue in each pixel, whatever these are.

    >>> is_coloured(encode_palette_png(np.zeros((1, 1), np.uint8)))
    False
    """
    return data.startswith(SIGNATURE) and _colour_type(data) in {2, 6}


def _colour_type(data: bytes) -> int | None:
    return data[_COLOUR_TYPE] if len(data) > _COLOUR_TYPE else None


def code_of(colour: Sequence[int]) -> int:
    """Give a colour as one number, by which `unpaint` knows it.

    >>> hex(code_of((224, 224, 192)))
    '0xe0e0c0'
    """
    red, green, blue = map(int, colour)
    return red << 16 | green << 8 | blue


def unpaint(pixels: Colours, indices: Mapping[int, int]) -> npt.NDArray[np.int32]:
    """Turn colours, uint8 (..., 3), to the indices of their codes: int32 (...), `NO_INDEX` for a code not among them.

    >>> unpaint(np.array([[0, 0, 0], [192, 128, 128], [1, 2, 3]], np.uint8), {0: 0, 0xC08080: 15}).tolist()
    [0, 15, -1]
    """
    known = np.array(sorted(indices), np.int32)
    values = np.array([indices[code] for code in sorted(indices)], np.int32)
    wide = pixels.astype(np.int32)
    codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    found: npt.NDArray[np.int32] = np.where(known[places] == codes, values[places], np.int32(NO_INDEX))
    return found


def values_in(labels: npt.NDArray[Any]) -> list[int]:
    """Give the values that integers of any shape hold, sorted; those of bytes without sorting the pixels.

    >>> values_in(np.array([[7, 0, 7]], np.uint8))
    [0, 7]
    """
    if labels.dtype != np.uint8:
        return [int(value) for value in np.unique(labels)]
    return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel()))]


def check_count(persons: int, name: str) -> None:
    """Raise `SampleError` (``many-persons``) for more persons than a palette has indices for, beside 0 and void.

    >>> check_count(254, "a crowd")
    """
    if persons > MOST_PERSONS:
        raise SampleError(
            "many-persons",
            f"{name} has {persons} persons or objects, an index mask holds {MOST_PERSONS}",
            "use a format with a mask for each person",
        )


def draw_persons(
    persons: Sequence[Person], indices: Sequence[int], void: Mask | None, shape: tuple[int, int]
) -> Indices:
    """Draw persons as their indices, uint8 (H, W): 0 where nobody is, 255 where `void` says so.

    A pixel of several goes to one of them as in `draw_numbers`.

    >>> from segdata.sample import Rle
    >>> left, right = Person(rle=Rle((1, 3), "021")), Person(rle=Rle((1, 3), "12"))
    >>> draw_persons([left, right], [1, 2], None, (1, 3)).tolist()
    [[1, 1, 2]]
    """
    labels = draw_numbers(persons, indices, shape).astype(np.uint8)
    if void is not None:
        labels[void] = VOID
    return labels
