"""Who gets which pixels of a semantic mask."""

import json

import numpy as np
import pytest

from segdata.errors import SampleError
from segdata.masks import rle_to_mask, segmentation_to_rle
from segdata.ops.affinity import split_instances
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
