"""Masks are cut out to their box and put back, and parts of one group become one person."""

import numpy as np
import pytest

from segdata.errors import SampleError
from segdata.formats.cut_outs import CutOut, cut_out, join_parts, put_back
from segdata.masks import Mask, mask_to_rle, rle_to_mask
from segdata.sample import Person


def some_mask(seed: int) -> Mask:
    random = np.random.default_rng(seed)
    mask = random.random((20, 30)) < 0.3
    mask[: random.integers(0, 19)] = False
    mask[:, random.integers(1, 30) :] = False
    mask[19, 0] = True
    return mask


@pytest.mark.parametrize("seed", range(10))
def test_a_mask_comes_back_from_its_box(seed: int) -> None:
    rle = mask_to_rle(some_mask(seed))
    piece = cut_out(rle)
    assert all(border.any() for border in (piece.mask[0], piece.mask[-1], piece.mask[:, 0], piece.mask[:, -1]))
    assert put_back(piece, 20, 30) == rle


@pytest.mark.parametrize(("left", "top"), [(-1, 0), (0, -1), (29, 0), (0, 19)])
def test_a_piece_that_leaves_the_image_is_refused(left: int, top: int) -> None:
    with pytest.raises(SampleError, match="leaves the image of 30 x 20"):
        put_back(CutOut(left, top, np.ones((2, 2), np.bool_)), 20, 30)


def test_parts_of_one_group_and_category_are_one_person_with_the_facts_of_the_first_with_an_id() -> None:
    first, second, third = (mask_to_rle(some_mask(seed)) for seed in range(3))
    persons, repeated = join_parts(
        [
            (1, Person(rle=first)),
            (None, Person(id=5, rle=third)),
            (1, Person(id=4, rle=second, crowd=True, score=0.5)),
            (1, Person(id=6, category="rider", rle=third)),
            (2, Person(id=7, rle=third)),
            (None, Person(rle=third)),
        ]
    )
    assert [(each.id, each.category, each.crowd, each.score) for each in persons] == [
        (4, "person", True, 0.5),
        (5, "person", False, None),
        (6, "rider", False, None),
        (7, "person", False, None),
        (None, "person", False, None),
    ]
    assert persons[0].rle is not None
    np.testing.assert_array_equal(rle_to_mask(persons[0].rle), some_mask(0) | some_mask(1))
    assert not repeated


def test_an_id_given_twice_stays_with_the_first() -> None:
    rle = mask_to_rle(some_mask(0))
    persons, repeated = join_parts([(None, Person(id=1, rle=rle)), (None, Person(id=1, rle=rle))])
    assert [each.id for each in persons] == [1, None]
    assert repeated
