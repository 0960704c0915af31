"""Average precision is COCO's, and does not depend on the order of equal scores."""

import math

import numpy as np
import pytest
from independent import cocoeval

from segdata.errors import InputError, SampleError
from segdata.masks import mask_to_rle
from segdata.quality.average_precision import THRESHOLDS, Photo, average_precision


def rectangle(x, y, width, height):
    mask = np.zeros((40, 60), bool)
    mask[y : y + height, x : x + width] = True
    return mask_to_rle(mask)


def photos(seed, *, ties=False):
    """Rectangles, found ones a little off, one in a crowd, and one of nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(12):
        true, found = [], []
        for _ in range(rng.integers(1, 5)):
            place = rng.integers((0, 0, 5, 5), (30, 20, 25, 20))
            true.append(rectangle(*place))
            found.append(rectangle(*np.maximum(place + rng.integers(-2, 3, 4), 0)))
        found += [rectangle(42, 32, 8, 6), rectangle(0, 30, 5, 5)]
        scores = np.full(len(found), 0.5) if ties else rng.random(len(found))
        made.append(Photo(found, scores.tolist(), true, [rectangle(40, 30, 20, 10)]))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_cocoeval(seed):
    samples = photos(seed)
    result = average_precision(samples)
    precisions = cocoeval(samples).eval["precision"][:, :, 0, 0, -1].mean(axis=1)
    assert list(result.at.values()) == pytest.approx(precisions, abs=1e-12)
    assert result.mean == pytest.approx(np.mean(list(result.at.values())))


def test_the_order_of_photos_with_equal_scores_does_not_matter():
    samples = photos(0, ties=True)
    assert average_precision(samples[::-1]) == average_precision(samples)


def test_within_a_photo_the_first_of_equal_scores_chooses_first():
    true = [rectangle(0, 0, 10, 10), rectangle(0, 0, 17, 10)]
    fits_one, fits_both = rectangle(0, 0, 9, 8), rectangle(0, 0, 12, 10)
    assert average_precision([Photo([fits_one, fits_both], [1.0, 1.0], true)]).at[0.5] == 1
    assert average_precision([Photo([fits_both, fits_one], [1.0, 1.0], true)]).at[0.5] == pytest.approx(0.5 * 51 / 101)


def test_one_score_for_all_gives_precision_up_to_the_recall():
    right, wrong = rectangle(0, 0, 9, 9), rectangle(30, 20, 9, 9)
    result = average_precision([Photo([right, wrong], [1.0, 1.0], [right, rectangle(20, 0, 9, 9)])])
    assert result.mean == pytest.approx(0.5 * 51 / 101)


def test_a_true_instance_is_matched_once():
    right = rectangle(0, 0, 9, 9)
    assert average_precision([Photo([right, right], [0.9, 0.8], [right])]).mean == 1
    assert average_precision([Photo([right, right], [0.9, 0.9], [right])]).mean == 0.5


def test_finding_nothing_gives_0_and_no_true_instance_nan():
    person = rectangle(0, 0, 9, 9)
    assert average_precision([Photo([], [], [person])]).mean == 0
    assert average_precision([Photo([person], [1.0], [])]).at.keys() == set(THRESHOLDS)
    assert math.isnan(average_precision([Photo([person], [1.0], [])]).mean)
    assert math.isnan(average_precision([]).mean)


def test_scores_and_sizes_that_do_not_fit_are_refused():
    person = rectangle(0, 0, 9, 9)
    with pytest.raises(InputError, match="one finite number"):
        average_precision([Photo([person], [], [person])])
    with pytest.raises(InputError, match="one finite number"):
        average_precision([Photo([person], [math.nan], [person])])
    with pytest.raises(SampleError, match="differ in size"):
        average_precision([Photo([person], [1.0], [mask_to_rle(np.ones((2, 2), bool))])])
