"""The size at which a network sees a photo."""

import numpy as np
import pytest

from segdata.models.shapes import enlarge, fit, network_shape

PIXELS = 576 * 384


@pytest.mark.parametrize("shape", [(830, 550), (480, 640), (3000, 3000), (1, 1), (20, 900), (30_000, 20_000)])
def test_a_photo_keeps_its_aspect_and_fits_the_network(shape: tuple[int, int]) -> None:
    height, width = network_shape(shape, PIXELS)
    assert height % 32 == width % 32 == 0
    assert 0.85 * PIXELS < height * width < 1.15 * PIXELS
    assert abs(np.log((height / width) / (shape[0] / shape[1]))) < np.log(1.2)


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1)])
def test_a_strip_does_not_become_larger_than_asked(shape: tuple[int, int]) -> None:
    height, width = network_shape(shape, PIXELS)
    assert min(height, width) == 32
    assert height * width <= PIXELS


def test_a_photo_of_the_right_size_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert fit(image, (64, 96)) is image


def test_a_smaller_photo_is_the_mean_of_what_it_shows() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2] = 200
    assert (fit(image, (32, 32)) == 100).all()


def test_logits_keep_their_place() -> None:
    logits = np.zeros((2, 8, 8), np.float32)
    logits[0, :, 4:] = 1
    large = enlarge(logits, (32, 64))
    assert large.shape == (2, 32, 64)
    assert (large[0, :, :28] == 0).all()
    assert (large[0, :, 36:] == 1).all()
    assert not large[1].any()
