"""Each bound of a person's faults lies where docs/validation.md says, on each side, in images that are not square."""

import numpy as np
import pytest

from segdata.masks import mask_to_rle
from segdata.quality.validate.persons import person_faults

SIZE = HEIGHT, WIDTH = 200, 300


def rectangle(x, y, width, height, size=SIZE):
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def faults(mask, size=SIZE, **facts):
    facts = {"box": None, "area": None, "keypoints": None, "crowd": False, **facts}
    return list(person_faults(size, None if mask is None else mask_to_rle(mask), **facts))


def found(mask, size=SIZE, **facts):
    return [(fault.code, fault.mendable) for fault in faults(mask, size, **facts)]


def moved(box, side, by):
    """Move one side of a box outwards."""
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    sides = {"left": left - by, "top": top - by, "right": right + by, "bottom": bottom + by}
    at = {"left": left, "top": top, "right": right, "bottom": bottom, side: sides[side]}
    return at["left"], at["top"], at["right"] - at["left"], at["bottom"] - at["top"]


SIDES = ("left", "top", "right", "bottom")


# Boxes


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("box", "bound"),
    [((40, 30, 100, 80), 4), ((40, 30, 80, 100), 4), ((20, 20, 250, 60), 5), ((20, 10, 60, 175), 4)],
)
def test_a_side_of_a_box_may_be_off_by_four_pixels_and_by_two_percent_of_the_longer_side(side, box, bound):
    mask = rectangle(*box)
    assert found(mask, box=moved(box, side, bound)) == []
    assert found(mask, box=moved(box, side, -bound)) == []
    assert found(mask, box=moved(box, side, bound + 0.25)) == [("box-mismatch", True)]
    assert found(mask, box=moved(box, side, -bound - 0.25)) == [("box-mismatch", True)]


def test_where_in_the_image_a_box_lies_makes_it_no_larger():
    far = rectangle(900, 700, 20, 30, (800, 1000))
    assert found(far, (800, 1000), box=(895.75, 700, 24.25, 30)) == [("box-mismatch", True)]


def test_a_mask_of_one_pixel_is_a_person():
    assert found(rectangle(9, 5, 1, 1), box=(9, 5, 1, 1), area=1, keypoints=[(9, 5, 2)]) == []


def test_a_box_that_is_off_is_told_with_that_of_the_mask():
    [fault] = faults(rectangle(40, 30, 50, 80), box=(40.5, 30, 60.25, 80))
    assert fault.message == "has the box 40.5 30 60.25 80, its mask 40 30 50 80"


@pytest.mark.parametrize("side", SIDES)
def test_a_box_may_reach_a_pixel_out_of_the_image(side):
    whole = (0, 0, WIDTH, HEIGHT)
    assert found(None, box=moved(whole, side, 1)) == []
    assert found(None, box=moved(whole, side, 1.25)) == [("box-outside", False)]


@pytest.mark.parametrize(("side", "by"), [("left", 2.5), ("top", 3.5), ("right", 7.25), ("bottom", 1.5)])
def test_how_far_a_box_reaches_out_is_told(side, by):
    [fault] = faults(None, box=moved((0, 0, WIDTH, HEIGHT), side, by))
    assert fault.message == f"has a box that reaches {by} pixels out of the image"


def test_a_box_that_reaches_out_is_mended_where_half_of_it_is_the_mask_s_and_else_not():
    mask = rectangle(200, 50, 100, 40)  # up to the right border
    half, less = (200, 50, 200, 40), (200, 50, 201, 40)
    assert found(mask, box=half) == [("box-outside", True), ("box-mismatch", True)]
    assert found(mask, box=less) == [("box-outside", False), ("box-elsewhere", False)]
    assert found(mask, box=moved((200, 50, 100, 40), "right", 2)) == [("box-outside", True)]


def test_a_box_elsewhere_shares_less_than_half_of_what_both_cover():
    mask = rectangle(100, 40, 30, 20)
    third_to_the_side, third_below = (110, 40, 30, 20), (100, 40 + 20 / 3, 30, 20)  # 20 of 40 columns: a half
    assert found(mask, box=third_to_the_side) == [("box-mismatch", True)]
    assert [code for code, _ in found(mask, box=third_below)] == ["box-mismatch"]
    assert found(mask, box=(111, 40, 30, 20)) == [("box-elsewhere", False)]
    assert found(mask, box=(100, 47, 30, 20)) == [("box-elsewhere", False)]
    assert found(mask, box=(200, 140, 30, 20)) == [("box-elsewhere", False)], "apart in both directions is no overlap"


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, 0, 4), (1, 2, 4, 0), (1, 2, -3, 4), (1, float("inf"), 3, 4)])
def test_what_is_no_box_is_mended_from_a_mask_with_pixels_alone(box):
    text = " ".join(f"{number:g}" for number in box)
    assert found(rectangle(5, 6, 7, 8), box=box) == [("bad-box", True)]
    assert found(None, box=box) == [("bad-box", False)]
    assert found(rectangle(0, 0, 0, 0), box=box) == [("empty-person", False), ("bad-box", False)]
    assert faults(None, box=box)[0].message == f"has the box {text}"


def test_the_smallest_box_is_one():
    assert found(None, box=(0, 0, 1e-9, 1e-9)) == []


# Areas


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("mask", "bound"),
    [
        (rectangle(50, 60, 20, 10), 15),  # 60 sides of pixels
        (rectangle(0, 60, 20, 10), 12.5),  # 50: at the border of the image it does not end
        (rectangle(50, 0, 20, 10), 10),
        (rectangle(0, 0, WIDTH, HEIGHT), 1),
    ],
    ids=["inside", "left", "top", "whole"],
)
def test_an_area_may_be_off_by_a_quarter_of_the_outline_and_by_a_pixel(mask, bound, sign):
    area = int(mask.sum())
    assert found(mask, area=area + sign * bound) == []
    assert found(mask, area=area + sign * (bound + 0.5)) == [("area-mismatch", True)]


def test_an_area_that_is_off_is_told_with_that_of_the_mask():
    [fault] = faults(rectangle(50, 60, 40, 30), area=2345.5)
    assert fault.message == "has the area 2,345.5, its mask 1,200 pixels"


def test_of_a_mask_without_pixels_the_area_is_nothing():
    nobody = rectangle(0, 0, 0, 0)
    assert found(nobody, area=1) == [("empty-person", False)]
    assert found(nobody, area=2) == [("empty-person", False), ("area-mismatch", True)]
    assert found(None, area=2) == []


# Keypoints


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [
        (0, 0, True),
        (WIDTH + 0.75, HEIGHT + 0.75, True),
        (-0.25, 9, False),
        (9, -0.25, False),
        (WIDTH + 1, 9, False),
        (9, HEIGHT + 1, False),
        (WIDTH - 1, HEIGHT - 1, True),
    ],
)
def test_a_labelled_keypoint_lies_in_the_image_or_within_a_pixel_of_its_end(x, y, inside):
    for seen in (1, 2):
        [*codes] = faults(None, keypoints=[(5, 5, 0), (5, 5, 2), (x, y, seen)])
        assert [fault.code for fault in codes] == ([] if inside else ["keypoint-outside"])
    if not inside:
        assert codes[0].message == f"has a keypoint (2) at {x:g}, {y:g}, outside of the image"
    assert found(None, keypoints=[(x, y, 0)]) == []


@pytest.mark.parametrize(
    ("side", "bound"),
    [(30, 3), (60, 3), (100, 5), (120, 6)],
)
def test_a_visible_keypoint_may_be_three_pixels_off_and_five_percent_of_the_root_of_the_area(side, bound):
    mask = rectangle(50, 40, side, side)
    at = {
        "left": lambda by: (50 - by, 60),
        "above": lambda by: (60, 40 - by),
        "right": lambda by: (50 + side + by, 60),
        "below": lambda by: (60, 40 + side + by),
    }
    for place in at.values():
        assert found(mask, keypoints=[(*place(bound), 2)]) == []
        assert found(mask, keypoints=[(*place(bound + 0.5), 2)]) == [("keypoint-off-mask", False)]
        assert found(mask, keypoints=[(*place(bound + 0.5), 1)]) == [], "hidden ones may lie anywhere"


def test_of_keypoints_off_the_mask_the_farthest_is_told_and_how_many_more_there_are():
    mask = rectangle(100, 50, 40, 40)
    points = [(110, 60, 2), (90, 60, 2), (110, 110, 2), (150, 60, 2)]  # 10, 20 and 10 pixels off
    [fault] = faults(mask, keypoints=points)
    assert fault.message == "has a visible keypoint (2) 20 pixels off its mask, and 2 more"
    [fault] = faults(mask, keypoints=[(85, 60, 2), (0, 0, 0)])
    assert fault.message == "has a visible keypoint (0) 15 pixels off its mask"


def test_a_keypoint_on_the_far_border_belongs_to_the_last_pixels():
    mask = rectangle(WIDTH - 20, HEIGHT - 30, 20, 30)
    assert found(mask, keypoints=[(WIDTH + 0.5, HEIGHT + 0.5, 2)]) == []
    assert found(mask, keypoints=[(WIDTH - 20, HEIGHT - 30, 2)]) == []


def test_of_a_crowd_neither_keypoints_nor_specks_are_held_against_the_mask():
    mask = rectangle(100, 50, 40, 40)
    mask[5, 5] = True
    far = [(10, 150, 2)]
    assert found(mask, keypoints=far) == [("keypoint-off-mask", False), ("speck", False)]
    assert found(mask, keypoints=far, crowd=True) == []
    assert found(mask, keypoints=[(-5, 9, 1)], crowd=True) == [("keypoint-outside", False)]


@pytest.mark.parametrize("seen", [-1, 0.5, 3])
def test_a_visibility_is_0_1_or_2(seen):
    [fault] = faults(rectangle(0, 0, 9, 9), keypoints=[(5, 5, 2), (5, 5, seen), (5, 5, 7)])
    assert (fault.code, fault.message) == ("bad-keypoints", f"has a keypoint (1) of visibility {seen:g}")


@pytest.mark.parametrize("points", [[(1, 2)], [(1, 2, 2, 2)], [(1, float("nan"), 2)]])
def test_what_are_no_rows_of_x_y_and_visibility_are_no_keypoints(points):
    [fault] = faults(None, keypoints=points)
    assert fault.message == "has keypoints that are no rows of x, y and visibility"


def test_no_keypoints_are_no_fault():
    assert found(rectangle(5, 5, 9, 9), keypoints=[]) == []


def test_straight_cuts_of_a_person_are_no_fault():
    assert found(rectangle(64, 10, 128, 150)) == []
