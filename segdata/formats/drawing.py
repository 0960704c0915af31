"""Several persons drawn into one array of numbers, for formats in which a pixel belongs to one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segdata.masks import rle_area, rle_to_mask
from segdata.sample import Person

VOID_LOST = "with void pixels written as background"
"""What an export says of a sample whose void pixels its format cannot hold."""


def draw_numbers(persons: Sequence[Person], numbers: Sequence[int], shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Draw persons as their numbers, int32 (H, W): 0 where nobody is.

    A pixel of several goes to the smallest of them, of those of one size to the first; crowds lie beneath all others.
    So the fewest pixels of each are lost, and a person in front of another stays whole more often than not.

    >>> from segdata.sample import Rle
    >>> left, right = Person(rle=Rle((1, 3), "021")), Person(rle=Rle((1, 3), "12"))
    >>> draw_numbers([left, right], [7, 9], (1, 3)).tolist()
    [[7, 7, 9]]
    """
    labels = np.zeros(shape, np.int32)
    drawn = [
        (not person.crowd, -rle_area(person.rle), -place, person.rle)
        for place, person in enumerate(persons)
        if person.rle is not None
    ]
    for _, _, place, rle in sorted(drawn, key=lambda each: each[:3]):
        labels[rle_to_mask(rle)] = numbers[-place]
    return labels
