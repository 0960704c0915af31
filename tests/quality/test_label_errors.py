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
    with pytest.raises(
        SampleError, match="the mask has 300 x 200 pixels, the map 30 x 10: annotate the photos"
    ) as caught:
        disagreement(MASK, np.zeros((10, 30), np.float32))
    assert caught.value.code == "size-mismatch"


# Figures by hand: 0.8 % of the diagonal of a photo of 400 x 300 pixels are 4 pixels.


def blocks(*places, value=1):
    """A map of rectangles: rows and columns from, to."""
    found = np.zeros((300, 400), np.float32)
    for top, bottom, left, right in places:
        found[top:bottom, left:right] = value
    return found


PERSON = blocks((50, 250, 100, 200))  # 20,000 pixels, sure throughout
SURE_OF_IT = PERSON > 0


def test_a_part_that_is_lacking_is_its_share_over_the_least_doubt():
    mask = SURE_OF_IT.copy()
    mask[50:90] = False
    found = disagreement(mask, PERSON)
    # The disc that fits leaves four corners of the part, of 40 x 100 pixels, out.
    assert found.lacking == pytest.approx(4000 / 20000, abs=4 * 16 / 20000)
    assert (found.surplus, disagreement(SURE_OF_IT, PERSON * mask).lacking) == (0, 0)
    assert disagreement(SURE_OF_IT, PERSON * mask).surplus == found.lacking, "the mask is the larger of the two"
    assert found.score == pytest.approx(found.lacking / 0.02 + 2 * found.contour)


@pytest.mark.parametrize(("probability", "counts"), [(0.9, True), (0.8999, False)])
def test_sure_is_nine_tenths(probability, counts):
    value = np.float32(probability)
    assert (disagreement(np.zeros((300, 400), bool), PERSON * value).lacking > 0) == counts
    missed = np.where(SURE_OF_IT, np.float32(1 - probability), np.float32(0))
    assert (disagreement(SURE_OF_IT, missed).surplus > 0) == counts


@pytest.mark.parametrize(("width", "counts"), [(8, False), (9, True)])
def test_areas_narrower_than_twice_the_tolerance_do_not_count(width, counts):
    strip = blocks((50, 250, 100, 100 + width))
    assert (disagreement(np.zeros((300, 400), bool), strip).lacking > 0) == counts
    assert (disagreement(strip > 0, np.zeros((300, 400), np.float32)).surplus > 0) == counts


@pytest.mark.parametrize(("shift", "counts"), [(4, False), (5, True)])
def test_a_contour_within_the_tolerance_is_no_fault(shift, counts):
    moved = np.roll(SURE_OF_IT, shift, axis=1)
    found = disagreement(moved, PERSON)
    # The outline of 100 x 200 pixels; of the left and right sides, those far from the corners are missed.
    assert found.contour == pytest.approx(counts * 2 * 200 / 600, abs=0.03)


def test_a_contour_counts_by_how_sharp_it_is():
    half = np.where(SURE_OF_IT, np.float32(0.75), np.float32(0.25))
    nobody = np.zeros((300, 400), bool)
    assert disagreement(nobody, PERSON).contour == 1
    assert disagreement(nobody, half).contour == 0.5
    assert disagreement(nobody, half).score == pytest.approx(2 * 0.5)


def test_where_nobody_is_nothing_is_wrong():
    found = disagreement(np.zeros((300, 400), bool), np.zeros((300, 400), np.float32))
    assert (found.score, found.lacking, found.surplus, found.contour) == (0, 0, 0, 0)
    everything = disagreement(np.zeros((300, 400), bool), np.ones((300, 400), np.float32))
    assert (everything.lacking, everything.contour, everything.score) == (1, 0, pytest.approx(50))


def test_the_surer_the_model_is_of_the_photo_the_more_a_fault_counts():
    doubting = PERSON + blocks((50, 250, 300, 350), value=np.float32(0.25))  # a confidence of 20000 / 22500
    nobody = np.zeros((300, 400), bool)
    lacking = disagreement(nobody, PERSON).lacking
    assert disagreement(nobody, PERSON).score == pytest.approx(lacking / 0.02 + 2)
    assert disagreement(nobody, doubting).score == pytest.approx(lacking / (1 / 9 + 0.02) + 2)
