"""What is seen in parts is put back in its place, softly."""

import numpy as np

from segdata.models.parts import Part, join


def test_a_part_speaks_for_its_place_alone():
    joined = join([Part(2, 3, 4, 5)], [np.full((4, 5), 0.7, np.float32)], (10, 12), 0)
    inside = np.zeros((10, 12), bool)
    inside[2:6, 3:8] = True
    assert np.array_equal(joined.cover > 0, inside)
    assert np.allclose(joined.mean[inside], 0.7)
    assert (joined.mean[~inside] == 0).all()


def test_a_part_fades_towards_its_border_but_not_at_the_photos():
    cover = join([Part(0, 0, 10, 10)], [np.ones((10, 10), np.float32)], (10, 30), 0.5).cover
    assert (np.diff(cover[5, :10]) <= 0).all()
    assert cover[5, 0] == 1
    assert cover[5, 9] < 0.2
    assert (cover[:, 0] == 1).all()


def test_overlapping_parts_change_over_without_a_step():
    maps = [np.full((4, 40), value, np.float32) for value in (0.2, 0.8)]
    mean = join([Part(0, 0, 4, 40), Part(0, 20, 4, 40)], maps, (4, 60), 0.5).mean[0]
    assert np.allclose(mean[:20], 0.2)
    assert np.allclose(mean[40:], 0.8)
    assert (np.abs(np.diff(mean)) < 0.05).all()


def test_no_parts_say_nothing():
    joined = join([], [], (3, 4), 0.5)
    assert not joined.mean.any()
    assert not joined.cover.any()
