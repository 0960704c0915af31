"""The paired bootstrap is repeatable, bounded in memory, and as wide as theory says."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from segdata.errors import InputError
from segdata.quality import bootstrap
from segdata.quality.bootstrap import Interval, paired_bootstrap

RNG = np.random.default_rng(1)
BASE = RNG.uniform(0.8, 0.95, 400)
NOISE = RNG.normal(0.01, 0.02, 400)


def test_the_same_seed_gives_the_same_interval_and_another_one_hardly_differs() -> None:
    first = paired_bootstrap(BASE + NOISE, BASE)
    assert first == paired_bootstrap(BASE + NOISE, BASE)
    other = paired_bootstrap(BASE + NOISE, BASE, seed=1)
    assert other != first
    assert other.low == pytest.approx(first.low, abs=3e-4)


def test_the_interval_is_that_of_the_normal_distribution_on_many_samples() -> None:
    interval = paired_bootstrap(BASE + NOISE, BASE)
    error = NOISE.std() / np.sqrt(len(NOISE))
    assert interval.difference == pytest.approx(NOISE.mean())
    assert interval.low == pytest.approx(NOISE.mean() - 1.96 * error, rel=0.03)
    assert interval.high == pytest.approx(NOISE.mean() + 1.96 * error, rel=0.03)


def test_a_lower_level_gives_a_narrower_interval() -> None:
    wide, narrow = (paired_bootstrap(BASE + NOISE, BASE, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_samples_are_paired() -> None:
    assert paired_bootstrap(BASE + 0.25, BASE).high == pytest.approx(0.25)


def test_swapping_the_predictors_mirrors_the_interval() -> None:
    forth, back = paired_bootstrap(BASE + NOISE, BASE), paired_bootstrap(BASE, BASE + NOISE)
    assert (back.difference, back.low, back.high) == pytest.approx((-forth.difference, -forth.high, -forth.low))


def test_equal_predictors_do_not_differ() -> None:
    assert paired_bootstrap(BASE, BASE) == Interval(0, 0, 0)


def test_drawing_in_small_portions_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paired_bootstrap(BASE[:9] + NOISE[:9], BASE[:9], resamples=101)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 20)
    assert paired_bootstrap(BASE[:9] + NOISE[:9], BASE[:9], resamples=101) == whole


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1, 2], [1]), ([[1.0]], [[1.0]]), ([float("nan")], [1]), ([1], [float("inf")])]
)
def test_what_is_not_pairs_of_scores_is_wrong_use(a: ArrayLike, b: ArrayLike) -> None:
    with pytest.raises(InputError):
        paired_bootstrap(a, b)


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 0), (10, 1), (10, float("nan"))])
def test_options_out_of_range_are_wrong_use(resamples: int, level: float) -> None:
    with pytest.raises(InputError, match="resamples at level"):
        paired_bootstrap([1], [0], resamples=resamples, level=level)
