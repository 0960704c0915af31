"""Domains follow equation 5 of md_trisenet.txt."""

import math

import pytest

from segdata.domains import DOMAINS, domain_of, face_ratio
from segdata.errors import InputError


@pytest.mark.parametrize(
    ("ratio", "domain"),
    [
        (1.0, "head shot"),
        (0.3, "head shot"),
        (math.nextafter(0.3, 0), "close shot"),
        (0.1, "close shot"),
        (math.nextafter(0.1, 0), "half body"),
        (0.05, "half body"),
        (math.nextafter(0.05, 0), "whole body"),
        (0.005, "whole body"),
        (math.nextafter(0.005, 0), "far shot"),
        (math.nextafter(0, 1), "far shot"),
        (0.0, "no face"),
    ],
)
def test_a_threshold_belongs_to_the_domain_above_it(ratio: float, domain: str) -> None:
    assert domain_of(ratio) == domain


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.nan])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(InputError, match="not in"):
        domain_of(ratio)


def test_every_domain_can_be_reached() -> None:
    assert {domain_of(ratio) for ratio in (0.5, 0.2, 0.07, 0.01, 0.001, 0)} == set(DOMAINS)


@pytest.mark.parametrize(
    ("box", "ratio"),
    [
        ((0, 0, 200, 100), 1.0),
        ((10, 10, 30, 20), 0.03),
        ((-10, -10, 20, 20), 0.005),
        ((190, 90, 40, 40), 0.005),
        ((300, 0, 10, 10), 0.0),
        (None, 0.0),
    ],
)
def test_only_what_lies_in_the_photo_counts(box: tuple[float, float, float, float] | None, ratio: float) -> None:
    assert face_ratio(box, (100, 200, 3)) == ratio


def test_an_empty_photo_has_no_ratio() -> None:
    with pytest.raises(InputError, match="0 x 5"):
        face_ratio(None, (5, 0, 3))
