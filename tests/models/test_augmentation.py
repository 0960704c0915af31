"""Views are drawn as the settings say, and photo and masks move together."""

import cv2
import numpy as np
import pytest

from segdata.models.augmentation import RCRNET, change_texture, frame_matrix, paste, warp


def _box_in_view(matrix: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    x, y, width, height = box
    corners = np.array([(x, y, 1), (x + width, y, 1), (x, y + height, 1), (x + width, y + height, 1)])
    return corners @ matrix.T


def test_photo_and_mask_move_together() -> None:
    image = np.zeros((80, 60, 3), np.uint8)
    image[20:70, 10:40] = 255
    mask = image[:, :, :1].copy()
    for seed in range(20):
        matrix = frame_matrix(np.random.default_rng(seed), (80, 60), (10, 20, 30, 50), (96, 64))
        seen = warp(image, matrix, (96, 64), border=cv2.BORDER_CONSTANT)
        label = warp(mask, matrix, (96, 64), border=cv2.BORDER_CONSTANT)
        assert seen.shape == (96, 64, 3)
        assert label.shape == (96, 64, 1)
        np.testing.assert_array_equal(seen[:, :, :1], label)


def test_half_of_the_views_show_the_photo_and_a_fifth_the_head() -> None:
    box = (200.0, 100.0, 100.0, 500.0)
    shares = []
    for seed in range(600):
        matrix = frame_matrix(np.random.default_rng(seed), (800, 500), box, (384, 256))
        shown = _box_in_view(matrix, box)
        shares.append(np.ptp(shown[:, 1]) / 384)
    shares = np.array(shares)
    assert 0.12 < (shares > 1.3).mean() < 0.28  # a part of the person fills the view
    assert 0.45 < (shares < 0.8).mean() < 0.8


def test_without_a_person_the_photo_is_shown() -> None:
    for seed in range(50):
        matrix = frame_matrix(np.random.default_rng(seed), (100, 100), None, (64, 64))
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        assert 0.8 * 0.64 * 0.999 < scale < 1.5 * 0.64 * 1.001


def test_same_seed_same_view() -> None:
    draws = [frame_matrix(np.random.default_rng(3), (90, 70), (5, 5, 20, 40), (64, 64)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    looks = [change_texture(np.random.default_rng(5), image) for _ in range(2)]
    np.testing.assert_array_equal(*looks)


def test_without_chance_the_texture_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    untouched = change_texture(np.random.default_rng(0), image, RCRNET._replace(texture=0, grey=0))
    np.testing.assert_array_equal(untouched, image)


def test_a_grey_view_has_no_colour() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    grey = change_texture(np.random.default_rng(0), image, RCRNET._replace(texture=0, grey=1))
    assert np.ptp(grey, axis=2).max() == 0


def test_a_large_photo_is_smoothed_before_it_becomes_small() -> None:
    stripes = np.zeros((640, 640, 1), np.uint8)
    stripes[:, ::2] = 255
    small = warp(stripes, np.array([[0.1, 0, 0], [0, 0.1, 0]]), (64, 64))
    assert small[8:-8, 8:-8].min() > 100
    assert small[8:-8, 8:-8].max() < 156


def test_a_pasted_person_covers_and_blends() -> None:
    host, guest = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 200, np.uint8)
    alpha = np.zeros((20, 20), np.uint8)
    alpha[5:15, 5:15] = 255
    pasted = paste(host, guest, alpha)
    assert (pasted[6:14, 6:14] == 200).all()
    assert (pasted[:4] == 0).all()
    assert 0 < pasted[5, 10, 0] < 200


@pytest.mark.parametrize("seed", range(3))
def test_a_view_stays_on_the_photo_where_it_can(seed: int) -> None:
    rng = np.random.default_rng(seed)
    still = RCRNET._replace(rotation=0, resize=(1.5, 1.5))
    matrix = frame_matrix(rng, (480, 640), None, (256, 256), still)
    inverse = cv2.invertAffineTransform(matrix)
    centre = inverse @ np.array([128, 128, 1.0])
    assert (centre > 0).all()
    assert (centre < (640, 480)).all()
