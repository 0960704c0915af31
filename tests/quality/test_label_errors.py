"""Masks that a sure model contradicts score high; its doubts, and outlines a little off, do not."""

import cv2
import numpy as np
import pytest

from segdata.errors import SampleError
from segdata.quality.label_errors import disagreement

MASK = np.zeros((200, 300), bool)
MASK[40:160, 100:180] = True
SURE = cv2.GaussianBlur(MASK.astype(np.float32), (0, 0), 1.5)


def score(mask, probability=SURE, **options):
    return disagreement(mask, probability, **options).score


def changed(rows, columns, value):
    mask = MASK.copy()
    mask[rows, columns] = value
    return mask


def test_a_mask_that_the_model_sees_too_scores_nothing():
    assert score(MASK) == 0
    assert score(np.roll(MASK, 2, axis=1)) == 0  # within the tolerance of contours


@pytest.mark.parametrize("probability", [np.zeros((200, 300), np.float32), np.ones((200, 300), np.float32)])
def test_nobody_and_everything_are_masks_like_others(probability):
    assert score(probability > 0, probability) == 0
    assert score(probability == 0, probability) > 1


def test_what_is_lacking_and_what_is_too_much_are_told_apart():
    lost = disagreement(changed(slice(40, 70), slice(None), False), SURE)
    more = disagreement(changed(slice(60, 90), slice(180, 240), True), SURE)
    assert 0.2 < lost.lacking < 0.26
    assert lost.surplus == 0
    assert 0.1 < more.surplus < 0.2
    assert more.lacking == 0
    assert lost.contour > 0 < more.contour


def test_worse_faults_score_higher():
    faults = [changed(slice(40, 40 + height), slice(None), False) for height in (0, 15, 30, 60, 119)]
    scores = [score(mask) for mask in faults]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_the_same_fault_counts_less_where_the_model_doubts():
    lost = changed(slice(40, 70), slice(None), False)
    doubting = np.clip(SURE + np.float32(0.3) * (np.arange(300) > 200).astype(np.float32), 0, 1).astype(np.float32)
    assert score(lost, doubting) < score(lost) / 2
    unsure = np.where(MASK, np.float32(0.7), np.float32(0.3))
    assert disagreement(lost, unsure).lacking == 0


def test_void_pixels_count_nowhere():
    lost = changed(slice(40, 70), slice(None), False)
    void = np.zeros_like(MASK)
    void[30:70] = True
    assert score(lost, void=void) == 0


def test_it_does_not_matter_where_in_the_photo_or_how_large_the_photo_is():
    lost = changed(slice(40, 70), slice(None), False)
    here = score(lost)
    assert score(np.roll(lost, 60, axis=1), np.roll(SURE, 60, axis=1)) == pytest.approx(here)
    large = [cv2.resize(each.astype(np.float32), (900, 600), interpolation=cv2.INTER_NEAREST) for each in (lost, SURE)]
    assert score(large[0] > 0, large[1]) == pytest.approx(here, rel=0.15)


def test_another_size_is_refused():
    with pytest.raises(SampleError, match="300 x 200 pixels, the map 10 x 10"):
        disagreement(MASK, np.zeros((10, 10), np.float32))
