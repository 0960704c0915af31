"""Faults of polygons: loops, rings in rings, and numbers that stand where polygons belong, each up to its bound."""

import numpy as np
import pytest

from segdata.quality.validate.rings import (
    largest_loop,
    nested,
    ring_faults,
    runs_in_place_of_polygons,
    short_rings,
)


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def bow_tie(side, x=0, y=0):
    """Two triangles that meet in a point, each a quarter of the square."""
    return [x, y, x + side, y + side, x + side, y, x, y + side]


@pytest.mark.parametrize(
    "counts",
    [[5, -1, 8], [-1, 13], [5, 3, 3], [5, 3, 5], [5.0, 7], [True, 11], ["5", 7], [None, 12], []],
)
def test_what_is_no_run_lengths_of_the_image_is_none(counts):
    assert runs_in_place_of_polygons(counts, 3, 4) is None
    assert runs_in_place_of_polygons([counts], 3, 4) is None


@pytest.mark.parametrize("counts", [[12], [0, 12], [5, 0, 7], [3, 4, 5]])
def test_run_lengths_are_whole_numbers_from_0_that_add_up_to_the_image(counts):
    assert runs_in_place_of_polygons(counts, 3, 4) == runs_in_place_of_polygons([counts], 4, 3) == counts
    assert runs_in_place_of_polygons([counts, counts], 3, 4) is None
    assert runs_in_place_of_polygons([counts, 0], 3, 4) is None
    assert runs_in_place_of_polygons(None, 3, 4) is None
    assert runs_in_place_of_polygons({"counts": counts}, 3, 4) is None


def test_short_rings_have_an_even_number_of_coordinates_below_six():
    rings = [[1] * length for length in range(9)]
    assert short_rings(rings) == [0, 2, 4]
    assert short_rings([1, 2]) == short_rings("ab") == short_rings(None) == []
    assert short_rings([[1, 2], "ab", {}]) == [0]


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("turned", [False, True])
def test_the_loop_is_the_smaller_of_the_parts_wherever_the_polygon_begins(start, turned):
    # The edges (0, 0)-(12, 12) and (8, 0)-(0, 8) cross in (4, 4): triangles of 32 and of 16 pixels.
    points = np.roll([(0, 0), (12, 12), (8, 0), (0, 8)], start, axis=0)[:: -1 if turned else 1]
    assert largest_loop(points.ravel().tolist()) == 16
    assert largest_loop((points[:, ::-1] + (30, 7)).ravel().tolist()) == 16


@pytest.mark.parametrize("side", [0.5, 2, 40])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (1000, 3), (3, 1000), (-500, 20), (20, -500)])
def test_a_loop_has_its_area_wherever_it_lies_and_however_small_it_is(side, x, y):
    assert largest_loop(bow_tie(side, x, y)) == side * side / 4
    points = np.array(bow_tie(side, x, y)).reshape(-1, 2)[:, ::-1]
    assert largest_loop(points.ravel().tolist()) == side * side / 4


def test_a_corner_that_lies_on_an_edge_does_not_cross_it():
    assert largest_loop([0, 0, 10, 0, 10, 10, 5, 0, 0, 10]) == 0
    assert largest_loop([0, 0, 0, 10, 10, 10, 0, 5, 10, 0]) == 0


def test_of_several_loops_the_largest_is_given():
    # A band of 100 x 10 with two loops at its upper edge: triangles of 2 x 1 and of 4 x 2 pixels.
    ring = [0, 0, 100, 0, 100, 10, 50, 10, 48, 12, 50, 12, 48, 10, 20, 10, 16, 14, 20, 14, 16, 10, 0, 10]
    assert largest_loop(ring) == 4


@pytest.mark.parametrize("ring", [[0, 0, 4, 0, 4, 4], [0, 0, 0, 0, 4, 0, 4, 4], [1, 1, 1, 1, 1, 1, 1, 1]])
def test_three_points_or_fewer_do_not_cross(ring):
    assert largest_loop(ring) == 0


@pytest.mark.parametrize("before", [0, 300, 509, 510, 511, 512, 1100])
def test_crossings_are_found_across_any_number_of_edges(before):
    """`before` points lie on the way up, so that the edges that cross are far from each other in the list."""
    up = [(x, -5 - x) for x in range(before)]
    points = [*up, (2000, -3000), (2000, 0), (2010, 10), (2010, 0), (2000, 10), (2000, 400), (0, 400)]
    for ring in (points, [(y, x) for x, y in points]):
        assert largest_loop([number for point in ring for number in point]) == 25


def test_a_loop_of_a_pixel_is_said_and_a_smaller_one_not():
    found = list(ring_faults([square(20, 20, 9), bow_tie(2), bow_tie(1.9, 40, 40), bow_tie(10, 60, 60)], 90, 100))
    assert [(fault.code, fault.mendable, fault.message) for fault in found] == [
        ("self-intersection", False, "has a polygon (1) that crosses itself, in a loop of 1 pixels"),
        ("self-intersection", False, "has a polygon (3) that crosses itself, in a loop of 25 pixels"),
    ]


def test_a_ring_in_a_ring_is_said_with_both_numbers():
    [fault] = ring_faults([square(5, 5, 3), square(60, 60, 5), square(2, 2, 20)], 80, 90)
    assert (fault.code, fault.mendable) == ("nested-ring", False)
    assert fault.message == "has a polygon (0) inside another one (2), where it is filled"


@pytest.mark.parametrize(
    ("inner", "inside"),
    [
        (square(10, 10, 20), False),  # the same pixels
        (square(10, 10, 19), True),  # up to two of its sides
        (square(11, 11, 19), True),  # up to the other two
        (square(12, 12, 19), False),
        (square(9, 12, 10), False),
        (square(12, 9, 10), False),
        (square(12, 25, 6), False),
        (square(25, 12, 6), False),
        (square(12, 12, 0), False),  # no pixel
    ],
)
def test_a_ring_lies_in_another_where_that_covers_all_its_pixels_and_more(inner, inside):
    outer = square(10, 10, 20)
    assert nested([outer, inner], 50, 60) == ([(1, 0)] if inside else [])
    assert nested([inner, outer], 50, 60) == ([(0, 1)] if inside else [])


def test_a_ring_in_the_box_of_another_and_beside_its_pixels_is_not_nested():
    triangle = [0, 0, 40, 0, 0, 40]
    assert nested([triangle, square(30, 30, 5)], 50, 60) == []
    assert nested([triangle, square(3, 3, 5)], 50, 60) == [(1, 0)]
    assert nested([triangle, square(3, 3, 5)], 2, 60) == [], "outside of the image there are no pixels"


@pytest.mark.parametrize(("x", "y"), [(100, 10), (10, 100)])
def test_rings_are_compared_wherever_they_lie_in_the_image(x, y):
    outer = [x, y, x + 30, y, x + 30, y + 40, x, y + 40]
    for ring in (square(x + 5, y + 5, 20), square(x, y + 5, 9), square(x + 5, y, 9), square(x + 21, y + 31, 9)):
        assert nested([outer, ring], 160, 160) == [(1, 0)]
    for ring in (square(x - 1, y, 9), square(x, y - 1, 9), square(x + 22, y, 9), square(x, y + 32, 9)):
        assert nested([outer, ring], 160, 160) == []


def test_of_rings_around_one_the_first_is_named():
    rings = [square(0, 0, 40), square(2, 2, 30), square(4, 4, 10)]
    assert nested(rings, 50, 60) == [(1, 0), (2, 0)]


def test_more_than_64_rings_are_not_compared():
    rings = [square(0, 0, 40), *(square(2, 2, 2 + number % 9) for number in range(63))]
    assert len(nested(rings, 50, 60)) == 63
    assert nested([*rings, square(0, 0, 3)], 50, 60) == nested([square(0, 0, 40)], 50, 60) == []


def test_a_ring_that_cannot_be_drawn_is_nested_in_none_and_the_others_are_compared():
    assert nested([square(0, 0, 40), [1, 1, 2, 2], square(2, 2, 9)], 50, 60) == [(2, 0)]


def test_a_ring_of_one_pixel_is_nested_too():
    assert nested([square(0, 0, 40), square(3, 3, 1)], 50, 60) == [(1, 0)]
