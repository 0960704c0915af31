"""From logits to probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STEEPEST = 80.0  # exp(80) is still finite in float32


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turn float32 logits of any shape into probabilities, in place.

    >>> sigmoid(np.array([-1000, 0, 1000], np.float32))
    array([1.8048513e-35, 5.0000000e-01, 1.0000000e+00], dtype=float32)
    """
    np.clip(logits, -_STEEPEST, _STEEPEST, out=logits)
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    np.add(logits, 1, out=logits)
    return np.reciprocal(logits, out=logits)
