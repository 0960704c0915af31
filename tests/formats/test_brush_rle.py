"""The brush code of Label Studio holds masks bit for bit, and is refused where it claims what it does not hold."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segdata.errors import SampleError
from segdata.formats.brush_rle import decode_brush, encode_brush
from segdata.masks import Mask

SIZES = (3, 4, 8, 16)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 12))


def code_of(values: Sequence[int], sizes: Sequence[int] = SIZES, word_bits: int = 8, total: int | None = None) -> bytes:
    """Write values one by one, as few in a block as the first of the sizes can count."""
    bits = f"{len(values) if total is None else total:032b}{word_bits - 1:05b}"
    bits += "".join(f"{size - 1:04b}" for size in sizes)
    most = 1 << sizes[0]
    for start in range(0, len(values), most):
        block = values[start : start + most]
        bits += f"000{len(block) - 1:0{sizes[0]}b}" + "".join(f"{value:0{word_bits}b}" for value in block)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def rgba(alpha: NDArray[np.uint8], colour: int = 0) -> list[int]:
    pixels = np.full((*alpha.shape, 4), colour, np.uint8)
    pixels[..., 3] = alpha
    return [int(value) for value in pixels.reshape(-1)]


@given(arrays(np.bool_, SHAPES))
def test_a_mask_comes_back_bit_for_bit(mask: Mask) -> None:
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 40000])
def test_runs_of_every_length_come_back(length: int) -> None:
    mask = np.zeros((1, length + 7), np.bool_)
    mask[0, 3 : 3 + length] = True
    for each in (mask, ~mask):
        np.testing.assert_array_equal(decode_brush(encode_brush(each), *each.shape), each)


def test_a_mask_without_pixels_has_a_header_alone() -> None:
    assert len(encode_brush(np.zeros((0, 5), np.bool_))) == 7
    assert decode_brush(encode_brush(np.zeros((0, 5), np.bool_)), 0, 5).shape == (0, 5)


def test_the_code_is_the_one_that_label_studio_writes() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[1:3, 2:5] = True
    saved = [0, 0, 0, 192, 57, 27, 254, 39, 0, 183, 255, 132, 192, 45, 255, 230, 176, 0]
    assert list(encode_brush(mask)) == saved
    np.testing.assert_array_equal(decode_brush(bytes(saved), 6, 8), mask)


@pytest.mark.parametrize("sizes", [SIZES, (1, 1, 1, 1), (16, 8, 4, 3), (5, 2, 7, 12)])
@given(alpha=arrays(np.uint8, SHAPES))
def test_values_written_one_by_one_are_read_whatever_the_sizes(
    sizes: tuple[int, ...], alpha: NDArray[np.uint8]
) -> None:
    np.testing.assert_array_equal(decode_brush(code_of(rgba(alpha, 7), sizes), *alpha.shape), alpha != 0)


def test_the_soft_border_of_a_stroke_is_mask_and_colour_without_alpha_is_not() -> None:
    alpha = np.array([[0, 1, 128, 255]], np.uint8)
    assert decode_brush(code_of(rgba(alpha, 200)), 1, 4).tolist() == [[False, True, True, True]]


@pytest.mark.parametrize(("height", "width"), [(2, 4), (1, 8), (40_000, 26_000), (0, 0)])
def test_a_code_for_another_size_than_the_images_is_refused(height: int, width: int) -> None:
    with pytest.raises(SampleError) as error:
        decode_brush(encode_brush(np.ones((3, 3), np.bool_)), height, width)
    assert error.value.code == "size-mismatch"


def test_a_claim_of_more_pixels_than_any_photo_has_is_refused() -> None:
    for height, width in ((1 << 20, 1 << 20), (32_768, 32_769)):
        with pytest.raises(SampleError) as error:
            decode_brush(encode_brush(np.ones((3, 3), np.bool_)), height, width)
        assert error.value.code == "huge-image"


def test_a_short_code_that_claims_a_huge_image_takes_no_memory() -> None:
    code = code_of([255] * 40, total=30_000 * 30_000 * 4)
    tracemalloc.start()
    try:
        with pytest.raises(SampleError) as error:
            decode_brush(code, 30_000, 30_000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert error.value.code == "bad-rle"


def test_a_code_cut_off_anywhere_is_refused() -> None:
    mask = np.zeros((9, 13), np.bool_)
    mask[2:7, 3:11] = True
    for code in (encode_brush(mask), code_of(rgba(mask.view(np.uint8)))):
        for length in range(len(code)):
            with pytest.raises(SampleError) as error:
                decode_brush(code[:length], 9, 13)
            assert error.value.code == "bad-rle"


def test_a_run_behind_the_last_pixel_is_refused() -> None:
    with pytest.raises(SampleError, match="behind the last pixel"):
        decode_brush(code_of([255] * 48, (4, 4, 8, 16), total=40), 2, 5)


def test_values_of_other_than_eight_bits_are_refused() -> None:
    with pytest.raises(SampleError, match="16 bits"):
        decode_brush(code_of([65535] * 16, word_bits=16), 2, 2)


def test_a_mask_with_more_values_than_the_code_can_count_is_refused() -> None:
    with pytest.raises(SampleError) as error:
        encode_brush(np.broadcast_to(np.False_, (32_768, 32_768)))
    assert error.value.code == "huge-image"
