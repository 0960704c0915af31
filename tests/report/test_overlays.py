"""Labels show where they are, in colours that mean one thing, and the photo itself is never changed."""

import numpy as np
import pytest

from segdata.quality.contour import contour_tolerance
from segdata.report import overlays

GREY = np.full((60, 80, 3), 100, np.uint8)
MASK = np.zeros((60, 80), bool)
MASK[20:40, 30:60] = True
SHOWS = {
    "mask": lambda image: overlays.show_mask(image, MASK, ~MASK),
    "outline": lambda image: overlays.show_outline(image, MASK),
    "edges": lambda image: overlays.show_edges(image, MASK),
    "saliency": lambda image: overlays.show_saliency(image, MASK.astype(np.float32)),
    "keypoints": lambda image: overlays.show_keypoints(image, [[[30, 30, 2]] * 17]),
    "boxes": lambda image: overlays.show_boxes(image, [(5, 5, 30, 30)]),
    "difference": lambda image: overlays.show_difference(image, MASK, ~MASK),
    "errors": lambda image: overlays.show_contour_errors(image, MASK, np.roll(MASK, 9, 1)),
}


def has(picture, place, colour, within=12):
    return np.abs(picture[place].astype(int) - colour).max() <= within


@pytest.mark.parametrize("name", SHOWS)
def test_a_picture_is_new_and_of_the_same_size(name):
    image = GREY.copy()
    shown = SHOWS[name](image)
    assert (image == GREY).all()
    assert (shown.shape, shown.dtype) == (GREY.shape, np.uint8)
    assert (shown != GREY).any()


def test_a_mask_tints_persons_alone_and_void_is_grey():
    void = np.zeros_like(MASK)
    void[:5] = True
    shown = overlays.show_mask(GREY, MASK, void)
    assert (shown[50:] == GREY[50:]).all()
    assert shown[30, 40, 2] > shown[30, 40, 0] + 30
    assert len(set(shown[2, 2].tolist())) == 1


def test_an_outline_follows_the_border_and_that_of_a_hole():
    ring = MASK.copy()
    ring[27:33, 40:50] = False
    shown = overlays.show_outline(GREY, ring, (255, 0, 0), 1)
    for y in (20, 26):  # lines are smoothed
        assert has(shown, (y, 45), (255, 0, 0), 60)
    assert (shown[10, 45] == 100).all()
    assert (overlays.show_outline(GREY, np.zeros_like(MASK)) == GREY).all()


def test_left_and_right_have_their_own_colours_and_hidden_keypoints_are_rings():
    points = np.zeros((17, 3))
    points[9], points[10] = (20.5, 30.5, 2), (60.5, 30.5, 1)
    shown = overlays.show_keypoints(GREY, [points])
    assert has(shown, (30, 20), overlays.LEFT, 40)
    assert has(shown, (30, 60), overlays.RIM, 40)
    assert (shown[5, 5] == 100).all()


@pytest.mark.parametrize("odd", [[[1e30, 5, 2]] * 17, [[float("nan"), 5, 2]] * 17, [[1, 2]], [], [[-1e5, 3, 2]] * 17])
def test_keypoints_that_cannot_be_drawn_are_left_out(odd):
    assert overlays.show_keypoints(GREY, [odd]).shape == GREY.shape


def test_a_box_reaches_the_pixels_it_names_and_is_cut_off_at_the_photo():
    shown = overlays.show_boxes(GREY, [(10, 10, 20, 20)], (255, 0, 0))
    assert shown[20, 10, 0] > 180
    assert (shown[20, 20] == 100).all()
    overlays.show_boxes(GREY, [(-1e12, -5, 2e12, 1000)])
    with pytest.raises(ValueError, match="finite"):
        overlays.show_boxes(GREY, [(float("inf"), 0, 1, 1)])


def test_what_is_missed_and_what_is_too_much_differ_and_agreement_is_bright():
    pred = np.zeros_like(MASK)
    pred[20:40, 45:75] = True
    shown = overlays.show_difference(GREY, MASK, pred)
    missed, both, surplus, neither = (shown[30, x].astype(int) for x in (35, 50, 70, 5))
    assert missed[0] > missed[2] + 80
    assert surplus[2] > surplus[0] + 80
    assert both.mean() > 100 > neither.mean()


def test_contour_errors_are_green_within_the_tolerance_and_red_far_away():
    near = contour_tolerance(MASK.shape)
    agreeing = overlays.show_contour_errors(GREY, MASK, np.roll(MASK, near, 1))
    assert has(agreeing, (30, 29), overlays.LEFT)
    off = overlays.show_contour_errors(GREY, MASK, np.roll(MASK, 20, 1))
    assert has(off, (30, 29), (255, 40, 40))
    alone = overlays.show_contour_errors(GREY, MASK, np.zeros_like(MASK))
    assert has(alone, (30, 29), (255, 40, 40))


def test_lines_survive_a_smaller_picture():
    line = np.zeros((400, 400), bool)
    line[200] = True
    assert overlays.shrink_lines(line, 40, 40).max() > 0.99
    assert overlays.shrink_mask(line, 40, 40).max() < 0.2
