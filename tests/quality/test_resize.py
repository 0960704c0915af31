"""The protocol of cropping to the person and scaling to a height."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_pairs import Mask, golden_pairs
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from segdata.errors import InputError, SampleError
from segdata.quality.resize import crop_to_box, mask_box, to_height, to_size

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


def test_the_box_is_that_of_the_person(shared_data: Path) -> None:
    for pair in golden_pairs(shared_data)[:5]:
        (region,) = regionprops(pair.gt.astype(np.uint8))  # type: ignore[no-untyped-call]
        top, left, bottom, right = region.bbox
        assert mask_box(pair.gt) == (left, top, right - left, bottom - top)


@settings(deadline=None)
@given(MASKS)
def test_the_crop_keeps_every_pixel_and_touches_all_four_sides(mask: Mask) -> None:
    part = crop_to_box(mask, mask_box(mask))
    assert part.sum() == mask.sum()
    if mask.any():
        assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))
    else:
        assert part.shape == mask.shape, "without a person the whole image is kept"


def test_a_prediction_of_another_size_is_not_cropped_in_silence() -> None:
    gt = np.ones((4, 6), bool)
    with pytest.raises(SampleError, match="does not hold the box"):
        crop_to_box(gt[:, :5], mask_box(gt))


@settings(deadline=None)
@given(MASKS, st.integers(1, 5))
def test_whole_factors_repeat_pixels_and_take_the_middle_one_back(mask: Mask, factor: int) -> None:
    large = to_height(mask, factor * len(mask))
    assert np.array_equal(large, mask.repeat(factor, axis=0).repeat(factor, axis=1))
    assert np.array_equal(to_height(large, len(mask)), mask)


@settings(deadline=None)
@given(MASKS, st.integers(1, 20), st.integers(1, 20))
def test_each_pixel_is_the_one_its_centre_falls_into(mask: Mask, height: int, width: int) -> None:
    scaled = to_size(mask, height, width)
    assert scaled.shape == (height, width)
    rows, columns = mask.shape
    for y, x in np.ndindex(height, width):
        centre = Fraction(2 * y + 1, 2 * height) * rows, Fraction(2 * x + 1, 2 * width) * columns
        assert scaled[y, x] == mask[int(centre[0]), int(centre[1])]


def test_masks_and_maps_stay_in_register() -> None:
    mask = np.zeros((50, 40), bool)
    mask[10:40, 10:30] = True
    from_map = to_height(mask.astype(np.float32), 500) > 0.5
    assert (from_map != to_height(mask, 500)).mean() < 0.002
    assert label(from_map).max() == 1  # type: ignore[no-untyped-call]


@settings(deadline=None)
@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.integers(1, 40))
def test_probabilities_stay_probabilities(probability: NDArray[np.float32], height: int) -> None:
    scaled = to_height(probability, height)
    assert scaled.dtype == np.float32
    assert probability.min() - 1e-6 <= scaled.min()
    assert scaled.max() <= min(1, probability.max() + 1e-6)


def test_the_width_follows_and_never_vanishes() -> None:
    assert to_height(np.ones((550, 300), bool)).shape == (1024, 559)
    assert to_height(np.ones((900, 1), bool), 20).shape == (20, 1)


def test_the_protocol_makes_1024_rows_of_the_person(shared_data: Path) -> None:
    pair = golden_pairs(shared_data)[1]
    box = mask_box(pair.gt)
    scaled = to_height(crop_to_box(pair.gt, box))
    assert scaled.shape == (1024, round(box[2] * 1024 / box[3]))
    assert scaled.mean() == pytest.approx(crop_to_box(pair.gt, box).mean(), abs=0.005)


def test_numbers_that_are_neither_mask_nor_probability_are_wrong_use() -> None:
    with pytest.raises(InputError, match="uint8"):
        to_height(np.zeros((3, 4), np.uint8))  # type: ignore[type-var]


def test_a_box_that_is_not_in_the_array_is_told_with_the_sizes_of_both() -> None:
    with pytest.raises(SampleError) as caught:
        crop_to_box(np.zeros((4, 7), bool), (2, 1, 5, 4))
    assert caught.value.code == "size-mismatch"
    assert str(caught.value).startswith("an array of 7 x 4 pixels does not hold the box (2, 1, 5, 4): predict")
    assert crop_to_box(np.zeros((4, 7), bool), (2, 1, 5, 3)).shape == (3, 5)


def test_probabilities_are_scaled_between_the_centres_of_pixels() -> None:
    row = np.array([[0, 1]], np.float32)
    assert to_size(row, 1, 4).tolist() == [[0, 0.25, 0.75, 1]]
    assert to_size(row.T.copy(), 4, 1).ravel().tolist() == [0, 0.25, 0.75, 1]


@pytest.mark.parametrize(
    ("shape", "height", "width"), [((4, 6), 2, 3), ((4, 5), 2, 3), ((4, 3), 2, 2), ((7, 3), 1, 1), ((2, 1), 3, 2)]
)
def test_the_width_is_rounded_and_a_half_up(shape: tuple[int, int], height: int, width: int) -> None:
    assert to_height(np.zeros(shape, bool), height).shape == (height, width)
