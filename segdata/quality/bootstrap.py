"""How far the difference of two predictors can be trusted: the paired bootstrap over samples.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from segdata.errors import InputError

DRAWS_AT_ONCE = 1 << 20


class Interval(msgspec.Struct, frozen=True, gc=False):
    """The mean difference of two predictors' scores, and the ends of its interval."""

    difference: float
    low: float
    high: float


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Give the mean of a - b over samples with its percentile interval at confidence `level`.

    `a` and `b` are the (N,) scores of two predictors on the same samples in the same order. Samples are drawn with
    replacement, each with both of its scores, `resamples` times. Above 0 throughout, the interval says that a is
    better. The same input and seed give the same interval. One sample gives an interval without width, which
    says nothing.

    Raises `InputError` where the scores are not two finite lists of one length, or an option is out of range.

    >>> paired_bootstrap([1, 0.75, 0.5, 0.75], [0.75, 0.75, 0.25, 0.75])
    Interval(difference=0.125, low=0.0, high=0.25)
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise InputError(
            f"scores of shapes {first.shape} and {second.shape} are not pairs", "score the same samples with both"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("a score is not a finite number", "leave out samples that have none")
    if resamples < 1 or not 0 < level < 1:
        raise InputError(
            f"{resamples} resamples at level {level} give no interval", "take at least 1, and a level between 0 and 1"
        )
    differences = first - second
    size = len(differences)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    chunk = max(1, DRAWS_AT_ONCE // size)  # bounds the memory, whatever the number of samples
    for start in range(0, resamples, chunk):
        part = means[start : start + chunk]
        part[:] = differences[rng.integers(size, size=(len(part), size))].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(differences.mean()), float(low), float(high))
