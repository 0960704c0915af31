"""Who gets which pixels of a semantic mask."""

import json

import numpy as np
import pytest
from scipy import ndimage

from segdata.errors import SampleError
from segdata.masks import rle_to_mask, segmentation_to_rle
from segdata.ops.affinity import _outside, _parts, _prices, _seeds, _ways, split_instances
from segdata.ops.saliency_map import frame_map
from segdata.ops.superpixels import Regions
from segdata.pixels import decode_image
from segdata.quality.overlap import iou

RED, BLUE = (200, 40, 40), (40, 40, 200)


def scene(border=40):
    """A red person on the left and a blue one on the right whose boxes overlap, on a mask of 40 x 80 pixels."""
    image = np.full((40, 80, 3), RED, np.uint8)
    image[:, border:] = BLUE
    return image, np.ones((40, 80), bool)


def within_a_photo(image, mask):
    """Put the scene into a photo of 640 x 480 pixels, 100 from the left and 200 from the top."""
    photo, wide = np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), bool)
    photo[200:240, 100:180], wide[200:240, 100:180] = image, mask
    return photo, wide


def test_boxes_that_do_not_overlap_take_their_regions():
    image, mask = scene()
    mask[:, 38:42] = False
    labels = split_instances(image, mask, [(42, 0, 38, 40), (0, 0, 38, 40)])
    assert (labels[:, :38] == 2).all()
    assert (labels[:, 42:] == 1).all()
    assert not labels[~mask].any()


@pytest.mark.parametrize("border", [36, 40, 44])
def test_where_boxes_overlap_the_border_follows_the_colour(border):
    image, mask = within_a_photo(*scene(border))
    labels = split_instances(image, mask, [(100, 200, 56, 40), (124, 200, 56, 40)])[200:240, 100:180]
    right = np.arange(80) >= border
    assert ((labels == 2) == right).mean() > 0.95


def test_pixels_in_one_box_alone_are_that_persons_whatever_their_colour():
    image, mask = scene()
    labels = split_instances(image, mask, [(0, 0, 70, 40), (60, 0, 20, 40)])
    assert (labels[:, :60] == 1).all()
    assert (labels[:, 70:] == 2).all()


def test_a_person_whose_box_lies_within_anothers_beside_its_middle_still_gets_pixels():
    image, mask = scene()
    image[:] = RED
    image[10:30, 55:75] = BLUE
    labels = split_instances(image, mask, [(0, 0, 80, 40), (55, 10, 20, 20)])
    assert (labels[18:22, 63:67] == 2).all()
    assert (labels[:, :20] == 1).all()


def test_limbs_decide_where_colours_do_not():
    image, mask = scene()
    image[:] = RED
    boxes = [(0, 0, 80, 40), (0, 0, 80, 40)]
    points = [np.zeros((17, 3)), np.zeros((17, 3))]
    points[0][[5, 7, 9]] = [(4, 5, 2), (4, 20, 2), (4, 35, 2)]
    points[1][[5, 7, 9]] = [(76, 5, 2), (76, 20, 2), (76, 35, 2)]
    labels = split_instances(image, mask, boxes, points)
    assert (labels[:, :34] == 1).all()
    assert (labels[:, 46:] == 2).all()


def test_regions_that_touch_no_box_are_no_ones_and_the_rest_goes_to_the_person_it_is_joined_to():
    image, mask = scene()
    mask[:, 60:64] = False
    labels = split_instances(image, mask, [(0, 0, 30, 40)])
    assert (labels[:, :60] == 1).all()
    assert not labels[:, 60:].any()


def test_the_same_call_gives_the_same_labels():
    image = np.random.default_rng(0).integers(0, 255, (40, 80, 3)).astype(np.uint8)
    boxes = [(0, 0, 60, 40), (20, 0, 60, 40), (10, 10, 60, 20)]
    assert np.array_equal(*(split_instances(image, np.ones((40, 80), bool), boxes) for _ in range(2)))


def test_a_large_photo_is_shared_as_its_small_copy():
    image, mask = scene(44)
    boxes = [(0, 0, 56, 40), (24, 0, 56, 40)]
    large, wide = (np.repeat(np.repeat(each, 10, 0), 10, 1) for each in (image, mask))
    wide[5] = False  # a gap thinner than a pixel of the grid
    labels = split_instances(large, wide, [tuple(10 * side for side in box) for box in boxes])
    assert ((labels == 2) == (np.arange(800) >= 440))[wide].mean() > 0.95
    assert ((labels > 0) == wide).all()


@pytest.mark.parametrize("boxes", [[], [(0, 0, 0, 0)], [(500, 500, 9, 9)]])
def test_without_a_box_on_the_mask_nothing_is_shared(boxes):
    assert not split_instances(*scene(), boxes).any()


def test_an_empty_mask_gives_no_one_pixels():
    image, mask = scene()
    assert not split_instances(image, np.zeros_like(mask), [(0, 0, 9, 9)]).any()


@pytest.mark.parametrize("box", [(0, 0, -1, 5), (0, 0, float("nan"), 5)])
def test_bad_boxes_and_sizes_are_refused(box):
    image, mask = scene()
    with pytest.raises(SampleError, match="box"):
        split_instances(image, mask, [box])
    with pytest.raises(SampleError, match="photo is 80 x 40"):
        split_instances(image, mask[:20], [(0, 0, 9, 9)])


def test_real_persons_are_told_apart(shared_data):
    """A family before a slope: persons of COCO photo 1000 whose boxes overlap."""
    content = json.loads((shared_data / "coco" / "instances.json").read_bytes())
    people = [one for one in content["annotations"] if one["image_id"] == 1000 and not one["iscrowd"]]
    image = decode_image((shared_data / "coco" / "images" / "000000001000.jpg").read_bytes())
    true = [rle_to_mask(segmentation_to_rle(one["segmentation"], *image.shape[:2])) for one in people]
    labels = split_instances(image, np.any(true, axis=0), [one["bbox"] for one in people])
    assert np.mean([iou(labels == number, mask) for number, mask in enumerate(true, start=1)]) > 0.75


def test_the_shares_are_those_that_the_published_figures_were_measured_with(shared_data):
    """The same family with keypoints: a constant that changes moves hundreds of pixels; docs/instances.md has AP."""
    content = json.loads((shared_data / "coco" / "person_keypoints.json").read_bytes())
    people = [one for one in content["annotations"] if one["image_id"] == 1000 and not one["iscrowd"]]
    image = decode_image((shared_data / "coco" / "images" / "000000001000.jpg").read_bytes())
    true = [rle_to_mask(segmentation_to_rle(one["segmentation"], *image.shape[:2])) for one in people]
    keypoints = [np.reshape(one["keypoints"], (-1, 3)) for one in people]
    labels = split_instances(image, np.any(true, axis=0), [one["bbox"] for one in people], keypoints)
    measured = [186943, 8683, 1173, 14938, 11481, 22987, 18202, 8505, 17162, 3641, 5741, 6348, 1396]
    np.testing.assert_allclose(np.bincount(labels.ravel()), measured, rtol=0, atol=30)


# The parts of the formula, in numbers that can be worked out by hand


def three_regions():
    """Three regions of two pixels each, the first five pixels from the second and that twelve from the third."""
    return Regions(
        number=np.array([0, 0, 1, 1, 2, 2]),
        sizes=np.array([2, 2, 2]),
        centres=np.array([(0.0, 0.0), (3.0, 4.0), (3.0, 16.0)]),
        pairs=np.array([(0, 1), (1, 2)]),
        chi=np.array([0.5, 0.1]),
    )


NOBODYS = np.zeros(6, np.int64)
WITHIN = np.zeros((2, 6), bool)


def test_a_way_costs_the_price_of_its_seed_10_a_chi_square_distance_and_a_twentieth_of_its_length():
    prices = np.array([(0, 0, 3, 5, 9, 9), (20, 20, 6, 6, 1, 0)], np.float32)
    ways = _ways(prices, WITHIN, three_regions(), NOBODYS, 2.0)
    first, second = 10 * 2 * 0.5 + 0.05 * 5, 10 * 2 * 0.1 + 0.05 * 12
    expected = [[0, 4, 4 + second], [0.5 + second + first, 0.5 + second, 0.5]]
    assert ways == pytest.approx(np.array(expected), abs=1e-6)


def test_where_someone_pays_less_than_nothing_all_prices_there_rise():
    prices = np.array([(-3, -3, 50, 50, 50, 50), (2, 2, 50, 50, 50, 50)], np.float32)
    ways = _ways(prices, WITHIN, three_regions(), NOBODYS, 1.0)
    assert ways[:, 0] == pytest.approx([0, 5], abs=1e-6)


def test_regions_in_one_box_alone_are_that_persons_and_lead_nowhere_but_through_it():
    prices = np.full((2, 6), 50, np.float32)
    ways = _ways(prices, WITHIN, three_regions(), np.array([2, 2, 0, 0, 0, 0]), 1.0)
    first, second = 10 * 0.5 + 0.05 * 5, 10 * 0.1 + 0.05 * 12
    assert ways == pytest.approx(np.array([[1e4, 50, 50], [0, first, first + second]]), abs=1e-4)


def test_a_region_is_no_ones_in_whose_box_half_of_it_or_less_lies():
    prices = np.array([(0, 0, 0, 0, 0, 0), (7, 7, 7, 7, 7, 7)], np.float32)
    away = WITHIN.copy()
    away[0, :3] = True  # all of the first region, and a half of the second
    ways = _ways(prices, away, three_regions(), NOBODYS, 1.0)
    assert ways == pytest.approx(np.array([[1e4, 0, 0], [7, 7, 7]]), abs=1e-6)


def test_a_region_in_nobodys_box_is_reached_from_its_neighbours():
    prices = np.array([(0, 0, 2, 2, 9, 9), (0, 0, 3, 3, 9, 9)], np.float32)
    away = WITHIN.copy()
    away[:, :2] = True
    ways = _ways(prices, away, three_regions(), NOBODYS, 1.0)
    assert ways[:, 0] == pytest.approx([2 + 5.25, 3 + 5.25], abs=1e-5)


def test_a_seed_costs_less_than_the_next_persons_by_a_tenth_of_the_size_or_half_the_lead():
    costs = np.array([(1, 2, 2, 10, 9), (3, 2.9, 3, 4, 6)], np.float32)
    owner, sure = _seeds(costs, np.array([20.0, 100.0]))  # leads of 2 and less, and of 6 and less
    assert owner.tolist() == [1, 1, 1, 2, 2]
    assert sure.tolist() == [True, False, True, True, True]
    costs[0, 4] = 8.9
    assert _seeds(costs, np.array([20.0, 100.0]))[1].tolist() == [True, False, True, True, False]
    assert _seeds(costs, np.array([9.0, 20.0]))[1].tolist() == [True, True, True, True, True]


def test_who_is_alone_is_sure_of_every_pixel():
    owner, sure = _seeds(np.array([(5, 0)], np.float32), np.array([1.0]))
    assert (owner.tolist(), sure.tolist()) == ([1, 1], [True, True])


def test_without_keypoints_the_price_grows_from_the_middle_of_the_box_to_15_percent_at_its_sides():
    mask = np.zeros((60, 60), bool)
    mask[[20, 20, 0, 0, 20], [5, 10, 5, 0, 0]] = True
    # Of a box 10 wide and 40 high, whose middle is the centre of the pixel (5, 20): 0.15 of the root of its area, 20.
    prices = _prices(np.array([0.5, 0.5, 10, 40]), None, mask)
    diagonal = 3 * 2**0.5
    assert prices == pytest.approx([diagonal, 3, 3, 0, 3])


def test_with_keypoints_the_price_is_the_distance_to_the_limbs_less_15_percent_on_the_head():
    keypoints = np.zeros((17, 3))
    keypoints[[0, 5, 11, 13]] = [(40, 20, 2), (40, 45, 2), (40, 80, 2), (40, 105, 2)]
    mask = np.ones((120, 80), bool)
    frame, head = frame_map(keypoints, mask.shape), frame_map(np.vstack([keypoints[:1], np.zeros((16, 3))]), mask.shape)
    prices = _prices(np.array([0, 0, 40, 90]), keypoints, mask).reshape(mask.shape)
    assert head.any()
    assert prices == pytest.approx(ndimage.distance_transform_edt(~frame) - 0.15 * 60 * head, abs=1e-4)


def test_keypoints_that_draw_nothing_are_as_good_as_none():
    mask = np.ones((8, 8), bool)
    box = np.array([0.0, 0, 8, 8])
    assert np.array_equal(_prices(box, np.zeros((17, 3)), mask), _prices(box, None, mask))


def test_how_far_a_pixel_lies_outside_a_box_is_counted_from_its_centre():
    mask = np.ones((6, 9), bool)
    outside = _outside(np.array([2.0, 1.5, 3, 2]), mask).reshape(mask.shape)
    assert outside[1:3, 2:5].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert outside[0, [1, 2, 5, 8]] == pytest.approx([1.25**0.5, 1, 1.25**0.5, (1 + 3.5**2) ** 0.5])
    assert outside[5, [1, 3, 6]] == pytest.approx([(4 + 0.25) ** 0.5, 2, (4 + 1.5**2) ** 0.5])


def test_a_box_holds_the_pixels_whose_centres_lie_in_it_or_on_its_edge():
    boxes = np.array([(0.5, 1, 2, 1), (2.5, 0.6, 9, 1.8), (-9, -9, 5, 5), (1.6, 1.6, 0.8, 0.8)])
    assert _parts(boxes, (4, 6)).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [1, 1, 5, 2, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
