"""Superpixels are pieces of the mask, each in one part, with chi-square distances to their neighbours."""

import numpy as np
import pytest

from segdata.ops.superpixels import chi_square, find_regions


@pytest.fixture(scope="module")
def halves():
    image = np.full((48, 64, 3), (200, 30, 30), np.uint8)
    image[:, 32:] = (30, 30, 200)
    return image


def test_each_region_lies_in_the_mask_and_in_one_part(halves):
    mask = np.zeros((48, 64), bool)
    mask[8:40, 5:60] = True
    parts = np.zeros((48, 64), np.int64)
    parts[20:] = 1
    regions = find_regions(halves, mask, parts, 8)
    assert regions.sizes.sum() == mask.sum()
    assert len(regions.number) == mask.sum()
    both = set(regions.number[parts[mask] == 0]) & set(regions.number[parts[mask] == 1])
    assert both == set()
    assert np.allclose(regions.mean(np.ones(mask.sum())), 1)


def test_regions_that_touch_are_pairs_and_those_across_a_gap_are_not(halves):
    mask = np.ones((48, 64), bool)
    mask[:, 30:34] = False
    regions = find_regions(halves, mask, np.zeros((48, 64), np.int64), 8)
    left = regions.centres[:, 0] < 32
    assert not (left[regions.pairs[0]] != left[regions.pairs[1]]).any()
    assert set(regions.pairs.ravel()) == set(range(len(regions.sizes)))


def test_the_distance_is_large_across_colours_and_nothing_within_one(halves):
    regions = find_regions(halves, np.ones((48, 64), bool), np.zeros((48, 64), np.int64), 8)
    sides = regions.centres[:, 0] < 32
    across = sides[regions.pairs[0]] != sides[regions.pairs[1]]
    assert regions.chi[across].min() > 0.4
    away = np.abs(regions.centres[:, 0] - 32) > 10
    assert regions.chi[away[regions.pairs].all(axis=0) & ~across].max() == 0


def test_chi_square_of_equal_histograms_is_0_and_of_those_apart_1():
    one, other = np.eye(3)[:2]
    assert chi_square(np.stack([one, one]), np.stack([one, other])).tolist() == [0.0, 1.0]
