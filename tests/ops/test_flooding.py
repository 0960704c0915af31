"""Borders run along the edges of the photo, and what is sure stays."""

import numpy as np
import pytest

from segdata.ops.flooding import flood


def scene():
    """A dark left and a bright right half with the border at 12, and labels that change at 8."""
    image = np.zeros((12, 20, 3), np.uint8)
    image[:, 12:] = 200
    labels = np.broadcast_to(np.where(np.arange(20) < 8, 1, 2), (12, 20)).astype(np.int32)
    return image, labels, np.broadcast_to((np.arange(20) < 4) | (np.arange(20) >= 16), (12, 20))


def test_an_unsure_border_moves_to_the_edge():
    image, labels, sure = scene()
    flooded = flood(image, np.ones((12, 20), bool), labels.ravel(), sure.ravel())
    assert ((flooded == 2) == (np.arange(20) >= 12)).all()


def test_sure_pixels_stay_against_the_edge():
    image, labels, _ = scene()
    flooded = flood(image, np.ones((12, 20), bool), labels.ravel(), np.ones(240, bool))
    assert np.array_equal(flooded, labels)


def test_where_no_flood_comes_labels_stay_and_outside_the_mask_is_0():
    image, labels, sure = scene()
    mask = np.ones((12, 20), bool)
    mask[:, 5:7] = False
    sure = sure & (np.arange(20) < 4)
    flooded = flood(image, mask, labels[mask], sure[mask])
    assert np.array_equal(flooded, np.where(mask, labels, 0))


@pytest.mark.parametrize("quarters", range(4))
def test_borders_follow_edges_of_any_direction(quarters):
    image, labels, sure = (np.rot90(each, quarters) for each in scene())
    mask = np.ones(labels.shape, bool)
    flooded = flood(np.ascontiguousarray(image), mask, labels.ravel(), sure.ravel())
    expected = np.broadcast_to(np.where(np.arange(20) >= 12, 2, 1), (12, 20))
    assert np.array_equal(flooded, np.rot90(expected, quarters))


def test_a_lone_bright_pixel_makes_no_border():
    image, labels, sure = scene()
    image[6, 6] = 90
    flooded = flood(image, np.ones((12, 20), bool), labels.ravel(), sure.ravel())
    assert ((flooded == 2) == (np.arange(20) >= 12)).all()


def test_what_nobody_is_sure_of_keeps_its_labels():
    image, labels, sure = scene()
    flooded = flood(image, np.ones((12, 20), bool), labels.ravel(), np.zeros_like(sure).ravel())
    assert np.array_equal(flooded, labels)
    assert flooded.dtype == np.int32
