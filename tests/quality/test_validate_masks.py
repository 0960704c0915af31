"""Faults of masks and polygons are found where they are, and nowhere else."""

import cv2
import numpy as np
import pytest

from segdata.dataset import find_images
from segdata.masks import mask_to_rle, polygons_to_rle, rle_to_mask
from segdata.pixels import decode_labels
from segdata.quality.validate.mask_faults import mask_faults, pinholes, speck_limit, specks, tile_cuts
from segdata.quality.validate.persons import person_faults
from segdata.quality.validate.rings import largest_loop, nested, runs_in_place_of_polygons, short_rings


def person(height=400, width=300):
    """An outline without a straight line in it, as a person's."""
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 4, height // 3), 0, 0, 360, 1, -1)
    return mask.astype(bool)


def codes(mask, **facts):
    facts = {"box": None, "area": None, "keypoints": None, "crowd": False, **facts}
    return [fault.code for fault in person_faults(mask.shape, mask_to_rle(mask), **facts)]


def test_a_mask_without_fault_has_none():
    mask = person()
    assert (specks(mask), pinholes(mask), tile_cuts(mask)) == ([], [], [])


def test_a_speck_and_a_pinhole_are_found_where_they_are():
    mask = person()
    mask[10:12, 20:22] = True
    mask[200, 150] = False
    assert specks(mask) == [(20, 10, 4)]
    assert pinholes(mask) == [(150, 200, 1)]


def test_a_speck_that_touches_at_a_corner_and_a_hole_that_opens_there_are_none():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    mask[9, 9] = True
    mask[10, 11] = False
    assert (specks(mask), pinholes(mask)) == ([], [])


def test_a_hole_at_the_border_is_a_pinhole_and_does_not_swallow_the_outside():
    mask = np.ones((40, 40), bool)
    mask[20, 20] = False
    assert pinholes(mask) == [(20, 20, 1)]
    assert pinholes(np.ones((4, 4), bool)) == []


def test_what_is_tiny_follows_the_size_of_the_mask():
    assert speck_limit(100) == 4
    mask = person(1600, 1200)
    size = int(np.sqrt(speck_limit(int(mask.sum()))))
    mask[5 : 5 + size, 5 : 5 + size] = True
    mask[60 : 62 + size, 5 : 7 + size] = True
    assert [(part.x, part.y) for part in specks(mask)] == [(5, 5)]


@pytest.mark.parametrize("turned", [False, True])
def test_a_mask_cut_at_a_tile_is_found(turned):
    mask = person(500, 600)
    mask[:, 256:] = False
    [cut] = tile_cuts(mask.T if turned else mask)
    assert (cut.along, cut.place) == ("row" if turned else "column", 256)
    assert cut.length > 200


def test_a_straight_line_elsewhere_or_short_or_at_the_border_is_no_cut():
    elsewhere, short, border = person(500, 600), person(500, 600), person(500, 600)
    elsewhere[:, 263:] = False
    short[200:240, 0:64] = True
    border[:, :] = True
    tall = np.zeros((1000, 300), bool)
    tall[101:161, 20:256] = True  # long enough in pixels, and not beside the photo's height
    assert [tile_cuts(mask) for mask in (elsewhere, short, border, tall)] == [[], [], [], []]


def test_masks_that_experts_drew_have_few_cuts(shared_data):
    names = list(find_images(shared_data / "ccp" / "parts").values())[::20]
    assert len(names) > 30
    assert [path.name for path in names if tile_cuts(decode_labels(path.read_bytes()) != 0)] == []


def test_masks_that_experts_drew_have_cuts_once_tiles_cut_them(shared_data):
    found, names = 0, list(find_images(shared_data / "ccp" / "parts").values())[::20]
    for path in names:
        mask = decode_labels(path.read_bytes()) != 0
        mask[512:] = False  # a tile that was lost
        found += bool(tile_cuts(mask))
    assert found >= 0.9 * len(names)


def test_area_and_box_of_the_mask_are_no_fault_and_others_are():
    mask = person()
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    assert codes(mask, box=(x, y, w, h), area=float(mask.sum())) == []
    assert codes(mask, box=(x - 3.5, y, w + 3.5, h)) == []
    assert codes(mask, box=(x - 30, y, w + 30, h)) == ["box-mismatch"]
    assert codes(mask, box=(0, 0, 20, 20)) == ["box-elsewhere"]
    assert codes(mask, area=float(mask.sum()) + 1500) == ["area-mismatch"]


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, 0, 4), (1, 2, float("nan"), 4), (1, 2, -3, 4), ()])
def test_what_is_no_box_is_one_fault(box):
    assert codes(person(), box=box) == ["bad-box"]


def test_a_box_outside_the_image_is_told_from_one_that_rounds():
    mask = np.zeros((20, 20), bool)
    mask[:, 10:] = True
    assert codes(mask, box=(10, 0, 10.5, 20.4)) == []
    assert codes(mask, box=(10, 0, 12, 20)) == ["box-outside"]


def test_keypoints_are_held_against_the_image_and_the_mask():
    mask = person()
    assert codes(mask, keypoints=[(150, 200, 2), (0, 0, 0), (3, 3, 1)]) == []
    assert codes(mask, keypoints=[(3, 3, 2)]) == ["keypoint-off-mask"]
    assert codes(mask, keypoints=[(3, 3, 2)], crowd=True) == []
    assert codes(mask, keypoints=[(150, 500, 1)]) == ["keypoint-outside"]
    assert codes(mask, keypoints=[(150, 200, 3)]) == ["bad-keypoints"]
    assert codes(mask, keypoints=[(150, float("inf"), 2)]) == ["bad-keypoints"]
    assert codes(mask, keypoints=[(150, 200)]) == ["bad-keypoints"]


@pytest.mark.parametrize(
    ("x", "y", "off"), [(20, 50, 20), (81, 50, 21), (50, 20, 10), (50, 85, 25), (36, 27, 5), (10, 0, 42)]
)
def test_a_keypoint_off_its_mask_is_as_far_as_to_the_nearest_of_its_pixels(x, y, off):
    mask = np.zeros((100, 100), bool)
    mask[30:60, 40:60] = True
    [fault] = person_faults(
        mask.shape, mask_to_rle(mask), box=None, area=None, keypoints=[(x, y, 2), (50, 50, 2)], crowd=False
    )
    assert fault.code == "keypoint-off-mask"
    assert fault.message == f"has a visible keypoint (0) {off} pixels off its mask"
    assert codes(mask, keypoints=[(37, 50, 2), (50, 27, 2)]) == [], "three pixels are no distance"


@pytest.mark.parametrize(("box", "code"), [((40, 40, 20, 30), "box-mismatch"), ((40, 55, 20, 30), "box-elsewhere")])
def test_a_box_that_shares_half_with_that_of_the_mask_is_off_and_else_it_lies_elsewhere(box, code):
    mask = np.zeros((100, 100), bool)
    mask[30:60, 40:60] = True
    assert codes(mask, box=box) == [code]
    assert codes(mask.T, box=(box[1], box[0], box[3], box[2])) == [code]


def test_of_several_tiny_parts_the_first_is_named_by_its_place():
    mask = person()
    mask[10:12, 20:22] = mask[14, 250] = True
    [fault] = mask_faults(mask)
    assert fault.message == "has 2 tiny parts of up to 4 pixels, the first at 20, 10"


def test_a_polygon_that_crosses_itself_has_the_area_of_the_loop():
    bow_tie = [0, 0, 10, 10, 10, 0, 0, 10]
    assert largest_loop(bow_tie) == 25
    tail = [0, 0, 100, 0, 100, 100, 0, 100, 0, 50, -4, 54, -4, 50, 0, 46]
    assert largest_loop(tail) == 0
    knot = [0, 0, 100, 0, 100, 100, 50, 100, 54, 104, 46, 104, 55, 99, 0, 100]
    assert 0 < largest_loop(knot) < 40


def test_polygons_that_touch_themselves_or_repeat_points_do_not_cross():
    for ring in (
        [0, 0, 10, 0, 10, 10, 5, 0, 0, 10],
        [0, 0, 0, 0, 10, 0, 10, 10, 10, 10, 0, 10, 0, 0],
        [0, 0, 10, 0, 10, 10, 10, 0],
        [0, 0, 5, 5, 0, 0, 5, 5],
    ):
        assert largest_loop(ring) == 0


def test_long_outlines_are_searched_as_short_ones():
    angles = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    circle = np.stack((500 + 400 * np.cos(angles), 500 + 400 * np.sin(angles)), axis=1)
    assert largest_loop(circle.ravel().tolist()) == 0
    circle[[1000, 1040]] = circle[[1040, 1000]]
    assert largest_loop(circle.ravel().tolist()) > 1


def test_a_ring_in_a_ring_is_found_and_one_beside_it_is_not():
    outer, inner, beside = [0, 0, 20, 0, 20, 20, 0, 20], [5, 5, 9, 5, 9, 9, 5, 9], [22, 0, 30, 0, 30, 9]
    assert nested([beside, outer, inner], 40, 40) == [(2, 1)]
    assert rle_to_mask(polygons_to_rle([outer, inner], 40, 40))[7, 7], "COCO fills it"


def test_run_lengths_in_the_place_of_polygons_are_told_by_their_sum():
    assert runs_in_place_of_polygons([[5, 3, 8]], 4, 4) == [5, 3, 8]
    assert runs_in_place_of_polygons([5, 3, 8], 4, 4) == [5, 3, 8]
    assert runs_in_place_of_polygons([[5, 3, 9]], 4, 4) is None
    assert runs_in_place_of_polygons([[1, 1, 3, 1, 3, 3, 1, 3]], 4, 5) is None
    assert runs_in_place_of_polygons([], 0, 0) is None


def test_rings_of_fewer_than_three_points_are_named():
    assert short_rings([[1, 1], [0, 0, 1, 0, 1, 1], [1, 2, 3, 4], []]) == [0, 2, 3]
    assert short_rings({"counts": []}) == []


# The bounds of docs/validation.md, on each side


@pytest.mark.parametrize(
    ("area", "limit"), [(0, 4), (9_999, 4), (10_000, 5), (11_999, 5), (12_000, 6), (2_000_000, 1000)]
)
def test_a_speck_has_four_pixels_at_most_or_a_two_thousandth_of_the_mask(area, limit):
    assert speck_limit(area) == limit


@pytest.mark.parametrize("pixels", [1, 4, 5])
def test_a_part_and_a_hole_of_four_pixels_are_tiny_in_a_small_mask_and_of_five_not(pixels):
    mask = np.zeros((60, 90), bool)
    mask[20:50, 10:80] = True
    speck, hole = mask.copy(), mask.copy()
    speck[5, 40 : 40 + pixels] = True
    hole[30, 33 : 33 + pixels] = False
    assert (specks(speck), pinholes(speck)) == ([(40, 5, pixels)] if pixels < 5 else [], [])
    assert (specks(hole), pinholes(hole)) == ([], [(33, 30, pixels)] if pixels < 5 else [])


def test_the_largest_part_is_no_speck_however_small_it_is():
    mask = np.zeros((20, 30), bool)
    mask[3, 4] = mask[9, 9:11] = mask[15, 20] = True
    assert specks(mask) == [(4, 3, 1), (20, 15, 1)]
    mask[:] = False
    assert (specks(mask), pinholes(mask)) == ([], [])
    mask[0, 0] = mask[10, 10] = True
    assert specks(mask) == [(10, 10, 1)]
    assert (specks(np.ones((9, 9), bool)), specks(np.zeros((0, 9), bool))) == ([], [])


def test_holes_at_the_first_row_and_column_that_are_closed_are_none():
    mask = np.ones((30, 40), bool)
    mask[0, 9] = mask[9, 0] = mask[29, 9] = mask[9, 39] = False  # open to the outside
    mask[1, 20] = mask[20, 1] = False
    assert pinholes(mask) == [(20, 1, 1), (1, 20, 1)]


def ragged(height, width, place, pieces, *, left=True):
    """A mask that ends at a column in straight pieces of given lengths, six rows apart, and in steps elsewhere."""
    mask = np.zeros((height, width), bool)
    row = 7
    for length in pieces:
        mask[row : row + length, place - 10 if left else place : place if left else place + 10] = True
        row += length + 6
    return mask


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(
    ("height", "pieces", "length"),
    [
        (300, [48], 48),
        (300, [47], None),
        (400, [48], 48),
        (401, [48], None),
        (1000, [120], 120),
        (1000, [119], None),
        (300, [16, 16, 16], 48),
        (300, [15, 16, 16, 15], None),
        (300, [15, 30, 18, 15], 48),
    ],
)
def test_a_cut_has_48_pixels_and_12_percent_of_the_side_in_pieces_of_16(height, pieces, length, left):
    mask = ragged(height, 203, 96, pieces, left=left)
    start = 7 if pieces[0] > 15 else 7 + 15 + 6
    expected = [] if length is None else [("column", 96, start, length)]
    assert tile_cuts(mask) == expected
    assert tile_cuts(mask.T) == [("row", *cut[1:]) for cut in expected]


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("start", [0, 90])
def test_a_cut_reaches_up_to_the_border(start, left):
    mask = np.zeros((150, 203), bool)
    mask[start : start + 60, slice(50, 96) if left else slice(96, 140)] = True
    assert tile_cuts(mask) == [("column", 96, start, 60)]
    assert tile_cuts(mask.T) == [("row", 96, start, 60)]


@pytest.mark.parametrize(("x", "y"), [(400, 20), (20, 400)])
@pytest.mark.parametrize(("width", "height"), [(150, 40), (40, 150)])
def test_tiny_parts_and_holes_are_found_wherever_in_the_image_the_mask_lies(x, y, width, height):
    mask = np.zeros((600, 600), bool)
    mask[y : y + height - 8, x : x + width - 8] = True
    mask[y + height - 1, x + width - 1] = True
    mask[y + height - 10, x + width - 10] = False
    assert [fault.message for fault in mask_faults(mask, cuts=False)] == [
        f"has a tiny part of 1 pixel at {x + width - 1}, {y + height - 1}",
        f"has a tiny hole of 1 pixel at {x + width - 10}, {y + height - 10}",
    ]


def test_pieces_to_both_sides_are_not_one_cut():
    mask = ragged(300, 203, 96, [24]) | np.roll(ragged(300, 203, 96, [24], left=False), 100, axis=0)
    assert tile_cuts(mask) == []
    mask |= ragged(300, 203, 96, [24, 24])
    assert tile_cuts(mask) == [("column", 96, 7, 48)]


@pytest.mark.parametrize(
    ("width", "place", "cut"),
    [
        (203, 96, True),  # 3 x 32 from the left
        (203, 97, False),
        (203, 80, False),
        (203, 107, True),  # 3 x 32 from the right
        (203, 108, False),
        (100, 4, True),
        (99, 3, False),  # nearer to the border than a tile's end is told from it
        (100, 96, True),
        (99, 96, False),
    ],
)
def test_tiles_end_a_multiple_of_32_pixels_from_either_border(width, place, cut):
    mask = np.zeros((150, width), bool)
    mask[7:67, place:] = True
    expected = [("column", place, 7, 60)] if cut else []
    assert tile_cuts(mask) == expected
    assert tile_cuts(mask[:, ::-1]) == [("column", width - place, 7, 60)] * cut


def test_what_is_odd_about_a_mask_is_told_with_its_place_and_pixels():
    mask = ragged(300, 203, 96, [60])
    mask[30:32, 90] = False
    mask[200, 150] = mask[220, 160:163] = True
    found = [(fault.code, fault.message, fault.mendable) for fault in mask_faults(mask)]
    assert found == [
        ("speck", "has 2 tiny parts of up to 3 pixels, the first at 150, 200", False),
        ("pinhole", "has a tiny hole of 2 pixels at 90, 30", False),
        ("tile-cut", "ends in a straight line of 60 pixels along column 96, from pixel 7 on", False),
    ]
    assert [fault.code for fault in mask_faults(mask, tiny=False)] == ["tile-cut"]
    assert [fault.code for fault in mask_faults(mask, cuts=False)] == ["speck", "pinhole"]
    assert list(mask_faults(np.zeros((60, 90), bool))) == []
