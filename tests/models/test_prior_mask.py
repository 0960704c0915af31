"""The prior mask is empty or the true one, moved a little."""

import numpy as np

from segdata.models.prior_mask import disturbed_prior

MASK = np.pad(np.full((40, 24), 255, np.uint8), ((28, 28), (20, 20)))


def test_it_is_near_the_true_mask_and_seldom_equal_to_it() -> None:
    rng = np.random.default_rng(0)
    ious = []
    for _ in range(200):
        prior = disturbed_prior(rng, MASK, empty=0)
        assert prior.shape == MASK.shape
        assert prior.dtype == np.uint8
        one, other = prior > 127, MASK > 127
        ious.append((one & other).sum() / (one | other).sum())
    assert 0.5 < min(ious) < 0.85
    assert max(ious) > 0.95
    assert np.mean(np.array(ious) == 1) < 0.05


def test_no_corner_moves_further_than_its_reach() -> None:
    rng = np.random.default_rng(0)
    corner = np.zeros((100, 200), np.uint8)
    corner[:20, :40] = 255
    for _ in range(100):
        rows, columns = np.nonzero(disturbed_prior(rng, corner, empty=0) > 127)
        # The corner that is nobody's, the fourth, follows the other three; these move by 5 % of 100 and of 200.
        assert rows.min() <= 6
        assert columns.min() <= 11


def test_a_share_of_the_priors_is_empty() -> None:
    rng = np.random.default_rng(0)
    empty = np.mean([not disturbed_prior(rng, MASK).any() for _ in range(400)])
    assert 0.42 < empty < 0.58
    assert not disturbed_prior(rng, MASK, empty=1).any()


def test_the_same_seed_draws_the_same() -> None:
    first, second = (disturbed_prior(np.random.default_rng(3), MASK, empty=0) for _ in range(2))
    assert (first == second).all()


def test_nobody_before_stays_nobody() -> None:
    assert not disturbed_prior(np.random.default_rng(0), np.zeros_like(MASK), empty=0).any()


def test_without_reach_it_is_the_mask_itself() -> None:
    assert (disturbed_prior(np.random.default_rng(0), MASK, reach=0, empty=0) == MASK).all()
