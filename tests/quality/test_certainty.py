"""The surer a map, the higher its confidence and the lower its uncertainty."""

import numpy as np
import pytest

from segdata.quality.certainty import confidence, uncertainty


def disc(soft: float, size: int = 200) -> np.ndarray:
    """A disc whose edge falls from 1 to 0 over about `soft` pixels."""
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2) - size / 4
    return (1 / (1 + np.exp(np.clip(4 * distance / soft, -60, 60)))).astype(np.float32)


def test_a_sure_map_has_confidence_1_and_a_softer_edge_less():
    values = [confidence(disc(soft), 0.5) for soft in (0.01, 5, 20, 60)]
    assert values[0] > 0.998
    assert values == sorted(values, reverse=True)


def test_a_softer_edge_is_more_uncertain():
    values = [uncertainty(disc(soft), 0.5) for soft in (0.01, 5, 20, 60)]
    assert values[0] < 0.01
    assert values == sorted(values)


def test_confidence_is_the_expected_share_of_the_union_that_both_hold():
    probability = np.array([[0.9, 0.6], [0.3, 0.0]], np.float32)
    assert confidence(probability, 0.5) == pytest.approx(1.5 / 2.3)
    assert confidence(probability, 0.7) == pytest.approx(0.9 / 1.9)


def test_someone_who_is_doubtfully_there_lowers_the_confidence():
    sure = disc(1)
    doubtful = sure.copy()
    doubtful[:30, :30] = 0.4
    assert confidence(doubtful, 0.5) < confidence(sure, 0.5) - 0.02
    assert uncertainty(doubtful, 0.5) == uncertainty(sure, 0.5)


@pytest.mark.parametrize(("value", "sure", "doubt"), [(0, 1, 0), (0.4, 0.6, 0.8), (1, 1, 0), (0.75, 0.75, 0.5)])
def test_a_map_without_a_contour_is_as_sure_as_its_pixels(value, sure, doubt):
    flat = np.full((40, 30), value, np.float32)
    assert confidence(flat, 0.5) == pytest.approx(sure)
    assert uncertainty(flat, 0.5) == pytest.approx(doubt)


def test_one_pixel_has_both():
    assert confidence(np.array([[0.8]], np.float32), 0.5) == pytest.approx(0.8)
    assert uncertainty(np.array([[0.8]], np.float32), 0.5) == pytest.approx(0.4)


def test_what_is_far_from_the_contour_does_not_count_for_the_uncertainty():
    probability = disc(1)
    before = uncertainty(probability, 0.5)
    probability[90:110, 90:110] = 0.6
    assert uncertainty(probability, 0.5) == before


@pytest.mark.parametrize(("column", "doubts"), [(195, 0), (196, 1), (199, 1), (200, 1), (203, 1), (204, 0)])
@pytest.mark.parametrize("shape", [(300, 400), (600, 400)])
def test_the_band_reaches_0_8_percent_of_the_diagonal_to_either_side(shape, column, doubts):
    # A diagonal of 500 pixels: 4 on either side. One of 721: 6 of them.
    probability = np.zeros(shape, np.float32)
    probability[:, :200] = 1
    probability[:, column] = 0.75 if column < 200 else 0.25
    wide = shape[0] == 600
    expected = 0.5 / 12 if wide else doubts * 0.5 / 8
    assert uncertainty(probability, 0.5) == pytest.approx(expected)
    assert uncertainty(np.ascontiguousarray(probability.T), 0.5) == pytest.approx(expected)


def test_a_pixel_on_the_threshold_is_of_the_mask():
    probability = np.array([[1, 0.5, 0.25, 0]], np.float32)
    assert confidence(probability, 0.5) == pytest.approx(1.5 / 2.25)
    assert confidence(probability, 0.5001) == pytest.approx(1 / 1.75)
    assert confidence(np.zeros((3, 4), np.float32), 0.5) == 1
