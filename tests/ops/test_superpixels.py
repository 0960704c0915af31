"""Superpixels are pieces of the mask, each in one part, with chi-square distances to their neighbours."""

import numpy as np
import pytest
from scipy import ndimage

from segdata.ops.superpixels import _histograms, chi_square, find_regions


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


@pytest.fixture(scope="module")
def colourful():
    """Regions of a photo of coloured stripes, on a mask that is cut off on all sides, and the mask."""
    image = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    mask = np.zeros((48, 64), bool)
    mask[5:45, 3:50] = True
    return find_regions(image, mask, np.zeros((48, 64), np.int64), 8), mask


def test_sizes_and_centres_are_those_of_the_regions_pixels(colourful):
    regions, mask = colourful
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = regions.number + 1
    numbers = np.arange(1, labels.max() + 1)
    assert np.array_equal(regions.sizes, ndimage.sum_labels(mask, labels, numbers))
    centres = np.array(ndimage.center_of_mass(mask, labels, numbers))
    assert np.allclose(regions.centres, centres[:, ::-1])
    values = np.arange(mask.sum()) ** 2
    painted = np.zeros(mask.shape)
    painted[mask] = values
    assert np.allclose(regions.mean(values), ndimage.mean(painted, labels, numbers))


def test_regions_are_about_as_wide_as_asked_for(halves):
    mask = np.ones((48, 64), bool)
    for size in (4, 8, 16):
        regions = find_regions(halves, mask, np.zeros((48, 64), np.int64), size)
        assert 0.7 * size < np.sqrt(np.median(regions.sizes)) < 1.5 * size


def test_pairs_are_all_regions_that_share_a_side_lower_number_first(colourful):
    regions, mask = colourful
    labels = np.full(mask.shape, -1)
    labels[mask] = regions.number
    expected = set()
    for y, x in np.argwhere(mask):
        for other in (labels[y, x + 1], labels[y + 1, x]):
            if other not in (-1, labels[y, x]):
                expected.add((min(labels[y, x], other), max(labels[y, x], other)))
    assert list(zip(*regions.pairs.tolist(), strict=True)) == sorted(expected)


def test_chi_square_is_half_the_weighted_square_of_the_difference():
    first, second = np.array([[0.2, 0.8, 0.0, 0.0]]), np.array([[0.6, 0.0, 0.4, 0.0]])
    # (0.4² / 0.8 + 0.8² / 0.8 + 0.4² / 0.4) / 2; the empty bin adds nothing.
    assert chi_square(first, second) == pytest.approx([(0.2 + 0.8 + 0.4) / 2])


def test_histograms_have_twelve_bins_of_lightness_and_colours_over_the_range_of_the_persons():
    lab = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[2:18, 3:28] = True
    number = np.arange(mask.sum()) % 3
    found = _histograms(lab, mask, number, np.bincount(number))
    assert found.shape == (3, 12 + 12 + 12 + 7)
    assert np.allclose(found.sum(axis=1), 1)
    for channel in range(3):
        values = lab[mask][:, channel]
        edges = np.linspace(*np.quantile(values, (0.01, 0.99)), 13)
        edges[[0, -1]] = 0, 255  # what lies beyond counts in the outermost
        for each in range(3):
            expected = np.histogram(values[number == each], edges)[0] / (number == each).sum() / 4
            assert np.allclose(found[each, 12 * channel : 12 * channel + 12], expected)


@pytest.mark.parametrize(
    ("across", "down", "place"),
    [(1, 0, 0), (1, -1, 0), (3, 0, 1), (2, 1, 1), (2, 2, 2), (1, 2, 3), (0, 3, 4), (-3, 0, 1), (3, -3, 5)],
)
def test_gradients_count_by_one_of_six_directions_above_2_of_lightness_a_pixel(across, down, place):
    ys, xs = np.mgrid[:24, :24]
    lab = np.zeros((24, 24, 3), np.uint8)
    lab[..., 0] = 128 + across * (xs - 12) + down * (ys - 12)
    mask = np.zeros((24, 24), bool)
    mask[8:16, 8:16] = True
    found = _histograms(lab, mask, np.zeros(64, np.int64), np.array([64]))[0, 36:]
    assert np.flatnonzero(found).tolist() == [place]
    assert found[place] == pytest.approx(0.25)
