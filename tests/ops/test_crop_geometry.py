"""Crops hold the person, annotations move with them, and predictions find their way back."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError
from segdata.masks import mask_to_rle, rle_to_mask, segmentation_to_rle
from segdata.ops.crop_geometry import (
    Crop,
    crop_array,
    crop_box,
    crop_keypoints,
    crop_person,
    crop_person_box,
    crop_rle,
    enlarged_box,
    keypoints_box,
    mask_box,
    uncrop,
    union_box,
)
from segdata.sample import Person

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
WITHIN = st.floats(0, 1, exclude_max=True)
VISIBILITIES = st.sampled_from([0.0, 1.0, 2.0])


@st.composite
def keypoints_in(draw: st.DrawFn) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Draw keypoints inside an image, at least one of them labelled."""
    height, width = draw(SIZES)
    points = draw(st.lists(st.tuples(WITHIN, WITHIN, VISIBILITIES), min_size=1, max_size=17))
    table = np.array(points) * (width, height, 1)
    # A share just below 1 times the size can round up to the size itself, which is past the image.
    table[:, :2] = np.minimum(table[:, :2], np.nextafter((width, height), 0))
    assume((table[:, 2] > 0).any())
    return table, (height, width)


@st.composite
def arrays_with_crops(draw: st.DrawFn) -> tuple[NDArray[np.bool_], Crop]:
    mask = draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
    x0, y0 = draw(st.integers(0, mask.shape[1] - 1)), draw(st.integers(0, mask.shape[0] - 1))
    return mask, (x0, y0, draw(st.integers(x0 + 1, mask.shape[1])), draw(st.integers(y0 + 1, mask.shape[0])))


class TestTheBox:
    def test_of_keypoints_holds_the_labelled_ones_alone(self) -> None:
        assert keypoints_box([[4, 9, 1], [7, 2, 2], [0, 0, 0], [90, 90, 0]]) == (4, 2, 3, 7)

    def test_of_a_mask_is_the_smallest(self) -> None:
        mask = np.zeros((9, 9), bool)
        mask[2:5, 3] = mask[4, 3:8] = True
        assert mask_box(mask) == (3, 2, 5, 3)

    def test_of_several_persons_holds_them_all(self) -> None:
        assert union_box([(5, 5, 1, 1), (2, 8, 1, 3), (3, 0, 9, 1)]) == (2, 0, 10, 11)

    @pytest.mark.parametrize(
        ("code", "points"),
        [
            ("no-keypoints", np.zeros((17, 3))),
            ("no-keypoints", np.zeros((0, 3))),
            ("bad-keypoints", [[np.nan, 1, 2]]),
            ("bad-keypoints", [[1, np.inf, 1]]),
            ("bad-keypoints", [[1, 2], [3, 4]]),
        ],
    )
    def test_of_what_are_no_keypoints_is_refused(self, code: str, points: NDArray[np.float64]) -> None:
        with pytest.raises(SampleError) as caught:
            keypoints_box(points)
        assert caught.value.code == code

    def test_of_nothing_is_refused(self) -> None:
        with pytest.raises(SampleError, match="no person"):
            mask_box(np.zeros((3, 3), bool))
        with pytest.raises(SampleError, match="no box"):
            union_box([])


class TestTheCrop:
    def test_is_a_tenth_larger_on_every_side_and_rounded_outwards(self) -> None:
        assert crop_box((20, 30, 40, 60), (200, 200)) == (16, 24, 64, 96)
        assert crop_box((20.5, 30.2, 41, 60), (200, 200)) == (16, 24, 66, 97)
        assert crop_box([[20, 30, 2], [60, 90, 1]], (200, 200)) == (16, 24, 64, 96)

    def test_is_clipped_to_the_image_and_tells_by_the_enlarged_box(self) -> None:
        assert crop_box((1, 2, 50, 80), (85, 40)) == (0, 0, 40, 85)
        assert enlarged_box((1, 2, 50, 80)) == (-4, -6, 56, 90)
        inside = (20, 30, 40, 60)
        assert crop_box(inside, (200, 200)) == enlarged_box(inside)

    def test_of_one_keypoint_is_its_pixel(self) -> None:
        assert crop_box([[7.0, 3.9, 2]], (20, 20)) == (7, 3, 8, 4)

    def test_of_keypoints_in_one_column_is_one_pixel_wide(self) -> None:
        assert crop_box([[5, 0, 2], [5, 10, 2]], (20, 20)) == (5, 0, 6, 11)

    def test_of_a_box_of_whole_pixels_without_margin_is_that_box(self) -> None:
        assert crop_box((2, 3, 4, 5), (20, 20), margin=0) == (2, 3, 6, 8)

    @given(given_=keypoints_in(), margin=st.floats(0, 2))
    def test_holds_the_pixel_of_every_labelled_keypoint(
        self, given_: tuple[NDArray[np.float64], tuple[int, int]], margin: float
    ) -> None:
        points, shape = given_
        x0, y0, x1, y1 = crop_box(points, shape, margin)
        assert 0 <= x0 < x1 <= shape[1]
        assert 0 <= y0 < y1 <= shape[0]
        for x, y, _ in points[points[:, 2] > 0]:
            assert x0 <= np.floor(x) < x1
            assert y0 <= np.floor(y) < y1

    @pytest.mark.parametrize(
        ("box", "min_size"), [((2, 2, 5, 40), 8), ((0, 0, 0, 0), 1), ((70, 0, 9, 9), 1), ((-20, 0, 9, 9), 1)]
    )
    def test_that_is_too_small_or_outside_is_refused(self, box: tuple[int, int, int, int], min_size: int) -> None:
        with pytest.raises(SampleError, match=r"\d+ x \d+ pixels") as caught:
            crop_box(box, (60, 60), min_size=min_size)
        assert caught.value.code == "tiny-crop"

    @pytest.mark.parametrize("box", [(0, 0, -1, 5), (np.nan, 0, 5, 5), (0, 0, np.inf, 5)])
    def test_of_what_is_no_box_is_refused(self, box: tuple[float, float, float, float]) -> None:
        with pytest.raises(SampleError) as caught:
            crop_box(box, (60, 60))
        assert caught.value.code == "bad-box"

    @pytest.mark.parametrize("margin", [-0.1, np.nan])
    def test_with_a_margin_that_cuts_the_person_is_refused(self, margin: float) -> None:
        with pytest.raises(InputError, match="margin"):
            crop_box((0, 0, 5, 5), (9, 9), margin)


class TestAnnotations:
    @given(given_=keypoints_in(), margin=st.floats(0, 1))
    def test_keypoints_stay_on_the_same_pixel(
        self, given_: tuple[NDArray[np.float64], tuple[int, int]], margin: float
    ) -> None:
        points, shape = given_
        crop = crop_box(points, shape, margin)
        numbers = np.arange(shape[0] * shape[1]).reshape(shape)
        inside = crop_array(numbers, crop)
        for (x, y, v), (moved_x, moved_y, kept) in zip(points, crop_keypoints(points, crop), strict=True):
            assert kept == v
            if v:
                # Where float32 cannot tell the two apart, a keypoint just below a pixel's border is on it.
                near = np.floor(np.array((x - crop[0], y - crop[1]), np.float32))
                column, row = np.minimum(near, (inside.shape[1] - 1, inside.shape[0] - 1)).astype(int)
                assert inside[int(moved_y), int(moved_x)] == inside[row, column]

    def test_keypoints_outside_are_no_longer_labelled(self) -> None:
        points = np.array([(3, 3, 2), (4, 3, 2), (7.9, 3, 1), (8, 3, 2), (5, 2.9, 2), (5, 5, 0)])
        moved = crop_keypoints(points, (4, 3, 8, 6))
        np.testing.assert_array_almost_equal(
            moved, np.array([(0, 0, 0), (0, 0, 2), (3.9, 0, 1), (0, 0, 0), (0, 0, 0), (0, 0, 0)])
        )
        assert moved.dtype == np.float32

    def test_a_box_is_cut_and_moved_or_gone(self) -> None:
        crop = (10, 10, 20, 20)
        assert crop_person_box((12, 13, 2, 3), crop) == (2, 3, 2, 3)
        assert crop_person_box((5, 15, 30, 30), crop) == (0, 5, 10, 5)
        assert crop_person_box((20, 10, 5, 5), crop) is None

    @given(arrays_with_crops())
    def test_run_lengths_are_cut_as_their_pixels(self, given_: tuple[NDArray[np.bool_], Crop]) -> None:
        mask, crop = given_
        np.testing.assert_array_equal(rle_to_mask(crop_rle(mask_to_rle(mask), crop)), crop_array(mask, crop))

    def test_a_person_inside_keeps_every_figure(self) -> None:
        mask = np.zeros((20, 20), bool)
        mask[5:9, 6:8] = True
        person = Person(7, box=(6.1, 5.3, 1.7, 3.3), area=7.5, keypoints=[(6, 6, 2), (0, 0, 0)], rle=mask_to_rle(mask))
        cropped = crop_person(person, (4, 4, 16, 16))
        assert cropped is not None
        assert cropped.box == pytest.approx((2.1, 1.3, 1.7, 3.3))
        assert cropped.box is not None
        assert cropped.box[2:] == (1.7, 3.3)
        assert (cropped.id, cropped.area, cropped.keypoints) == (7, 7.5, [(2, 2, 2), (0, 0, 0)])

    def test_a_person_cut_gets_box_and_area_of_the_mask_that_is_left(self) -> None:
        mask = np.zeros((20, 20), bool)
        mask[0:4, 0:10] = True
        mask[4:9, 8] = True
        cropped = crop_person(Person(box=(0, 0, 10, 9), area=44, rle=mask_to_rle(mask)), (5, 4, 20, 20))
        assert cropped is not None
        assert (cropped.box, cropped.area) == ((3, 0, 1, 5), 5)

    def test_an_area_that_nothing_can_count_is_dropped(self) -> None:
        person = Person(box=(0, 0, 10, 10), area=60)
        cut, whole = crop_person(person, (0, 0, 5, 20)), crop_person(person, (0, 0, 20, 20))
        assert cut is not None
        assert cut.area is None
        assert whole == person

    def test_a_face_goes_along(self) -> None:
        cropped = crop_person(Person(box=(0, 0, 9, 9), face_box=(2, 1, 3, 3)), (1, 1, 9, 9))
        assert cropped is not None
        assert cropped.face_box == (1, 0, 3, 3)

    def test_a_person_outside_is_gone_even_where_the_box_is_not(self) -> None:
        mask = np.eye(10, dtype=bool)
        person = Person(box=(0, 0, 10, 10), rle=mask_to_rle(mask), keypoints=[(1, 1, 2)])
        assert crop_person(person, (0, 5, 3, 9)) is None


class TestTheWayBack:
    @given(arrays_with_crops())
    def test_crop_then_uncrop_keeps_what_is_inside_and_clears_the_rest(
        self, given_: tuple[NDArray[np.bool_], Crop]
    ) -> None:
        mask, crop = given_
        x0, y0, x1, y1 = crop
        expected = np.zeros_like(mask)
        expected[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
        np.testing.assert_array_equal(uncrop(crop_array(mask, crop), crop, mask.shape), expected)

    def test_probabilities_come_back_to_the_last_bit(self) -> None:
        probability = np.random.default_rng(0).random((30, 20), np.float32)
        crop = (3, 4, 11, 29)
        back = uncrop(crop_array(probability, crop), crop, (30, 20))
        assert back.dtype == np.float32
        np.testing.assert_array_equal(crop_array(back, crop), crop_array(probability, crop))
        assert np.count_nonzero(back) == np.count_nonzero(crop_array(probability, crop))

    def test_a_prediction_at_twice_the_size_is_scaled_back(self) -> None:
        mask = np.random.default_rng(0).random((8, 6)) < 0.5
        twice = mask.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(uncrop(twice, (5, 1, 11, 9), (20, 20))[1:9, 5:11], mask)
        half = uncrop(np.full((3, 3), 0.25, np.float32), (5, 1, 11, 9), (20, 20))
        assert (half[1:9, 5:11] == 0.25).all()

    @pytest.mark.parametrize("crop", [(0, 0, 9, 5), (0, 0, 5, 9), (-1, 0, 3, 3), (4, 0, 3, 3)])
    def test_a_crop_past_the_photo_is_refused(self, crop: Crop) -> None:
        with pytest.raises(SampleError) as caught:
            crop_array(np.zeros((6, 6), bool), crop)
        assert caught.value.code == "size-mismatch"


def test_every_real_person_comes_back_whole_from_the_crop_round_the_mask(shared_data: Path) -> None:
    content = msgspec.json.decode((shared_data / "coco" / "person_keypoints.json").read_bytes())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    seen = 0
    for annotation in content["annotations"][:60]:
        shape = sizes[annotation["image_id"]]
        mask = rle_to_mask(segmentation_to_rle(annotation["segmentation"], *shape))
        crop = crop_box(mask_box(mask), shape)
        np.testing.assert_array_equal(uncrop(crop_array(mask, crop), crop, shape), mask)
        seen += 1
    assert seen == 60
