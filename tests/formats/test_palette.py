"""Palette PNGs have the colours of VOC, and the same bytes for the same pixels; persons are drawn as indices."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_sets import block, colour_png, person
from numpy.typing import NDArray
from PIL import Image

from segdata.errors import SampleError
from segdata.formats.palette import (
    NO_INDEX,
    check_count,
    code_of,
    draw_persons,
    encode_palette_png,
    is_coloured,
    palette_of,
    unpaint,
    voc_colours,
)
from segdata.pixels import encode_png


def test_the_colours_are_those_that_the_development_kit_names() -> None:
    named = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        7: (128, 128, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    colours = voc_colours()
    assert {index: tuple(colours[index].tolist()) for index in named} == named
    assert len({tuple(colour) for colour in colours.tolist()}) == 256


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255)))
@settings(max_examples=50, deadline=None)
def test_pillow_reads_the_indices_and_the_palette(indices: NDArray[np.uint8]) -> None:
    with Image.open(io.BytesIO(encode_palette_png(indices))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), indices)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), voc_colours()[indices])


def test_equal_pixels_give_equal_bytes() -> None:
    indices = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    turned = np.asfortranarray(indices)
    assert encode_palette_png(indices) == encode_palette_png(turned) == encode_palette_png(indices.copy())


def test_only_bytes_are_indices() -> None:
    with pytest.raises(TypeError, match="int32"):
        encode_palette_png(np.zeros((2, 2), np.int32))


def test_the_palette_of_a_file_is_found_whoever_wrote_it() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3, 4, 5, 6])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    found = palette_of(buffer.getvalue())
    assert found is not None
    assert found[:2].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_other_files_have_no_palette() -> None:
    whole = encode_palette_png(np.zeros((3, 3), np.uint8))
    grey, coloured = encode_png(np.zeros((3, 3), np.uint8)), colour_png(np.zeros((3, 3, 3), np.uint8))
    assert [palette_of(data) for data in (b"", b"no image", grey, coloured, whole[:30], whole[:20])] == [None] * 6
    assert [is_coloured(data) for data in (b"", whole[:20], grey, whole, coloured)] == [
        False,
        False,
        False,
        False,
        True,
    ]


def test_of_a_palette_that_is_cut_off_whole_colours_are_left() -> None:
    whole = encode_palette_png(np.zeros((3, 3), np.uint8))
    found = palette_of(whole[: whole.index(b"PLTE") + 4 + 358])
    assert found is not None
    assert found.shape == (119, 3)


def test_colours_turn_to_indices_and_unknown_ones_are_told() -> None:
    colours = voc_colours()
    codes = {code_of(colour): index for index, colour in enumerate(colours)}
    assert unpaint(colours, codes).tolist() == list(range(256))
    assert unpaint(np.array([[[255, 255, 255], [0, 0, 1]]], np.uint8), codes).tolist() == [[NO_INDEX, NO_INDEX]]


def test_a_shared_pixel_goes_to_the_smallest_person() -> None:
    large, small = person(1, block(0, 10, 0, 10)), person(2, block(5, 12, 5, 12))
    for persons, indices in (([large, small], [1, 2]), ([small, large], [2, 1])):
        drawn = draw_persons(persons, indices, None, (12, 16))
        np.testing.assert_array_equal(drawn == 2, block(5, 12, 5, 12))
        np.testing.assert_array_equal(drawn == 1, block(0, 10, 0, 10) & ~block(5, 12, 5, 12))


def test_of_persons_of_one_size_the_first_has_the_shared_pixels() -> None:
    first, second = person(1, block(0, 6, 0, 6)), person(2, block(3, 9, 3, 9))
    assert (draw_persons([first, second], [1, 2], None, (12, 16)) == 1).sum() == 36


def test_a_crowd_lies_beneath_however_small_it_is() -> None:
    someone, crowd = person(1, block(0, 10, 0, 10)), person(2, block(0, 2, 0, 12), crowd=True)
    drawn = draw_persons([someone, crowd], [1, 2], None, (12, 16))
    np.testing.assert_array_equal(drawn == 1, block(0, 10, 0, 10))
    np.testing.assert_array_equal(drawn == 2, block(0, 2, 10, 12))


def test_void_lies_above_all() -> None:
    void = block(0, 2, 0, 2)
    drawn = draw_persons([person(1, block(0, 5, 0, 5))], [254], void, (12, 16))
    np.testing.assert_array_equal(drawn == 255, void)
    assert (drawn == 254).sum() == 21


def test_nobody_is_all_zeros() -> None:
    assert not draw_persons([], [], None, (12, 16)).any()


def test_more_persons_than_indices_are_told() -> None:
    with pytest.raises(SampleError, match=r"a\.png has 255 persons or objects"):
        check_count(255, "a.png")
