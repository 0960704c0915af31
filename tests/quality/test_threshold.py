"""One pass over a probability map counts what thresholding once per threshold counts."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_pairs import Mask, golden_pairs
from numpy.typing import NDArray

from segdata.errors import InputError, SampleError
from segdata.quality.overlap import iou, overlap
from segdata.quality.packed import pack_pair
from segdata.quality.threshold import THRESHOLDS, best_threshold, threshold_counts

Probability = NDArray[np.float32]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Probability, Mask, Mask]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=12))
    levels = draw(st.sampled_from([20, 255, 65535]))
    codes = draw(arrays(np.uint16, shape, elements=st.integers(0, levels)))
    probability = codes.astype(np.float32) / np.float32(levels)
    return probability, draw(arrays(bool, shape)), draw(arrays(bool, shape))


@settings(deadline=None)
@given(cases(), st.lists(st.integers(0, 255), min_size=1, max_size=9, unique=True).map(sorted))
def test_each_count_is_that_of_the_thresholded_map(case: tuple[Probability, Mask, Mask], codes: list[int]) -> None:
    probability, gt, void = case
    for thresholds in (THRESHOLDS, [code / 255 for code in codes]):
        expected = [overlap(pack_pair(probability >= threshold, gt, void)) for threshold in thresholds]
        assert threshold_counts(probability, gt, thresholds, void=void) == expected
        expected = [overlap(pack_pair(probability >= threshold, gt)) for threshold in thresholds]
        assert threshold_counts(probability, gt, thresholds) == expected


@pytest.mark.parametrize("levels", [255, 65535, None])
def test_real_maps_have_the_iou_of_their_masks(shared_data: Path, levels: int | None) -> None:
    for pair in golden_pairs(shared_data)[:6]:
        soft = np.asarray(cv2.GaussianBlur(pair.pred.astype(np.float32), (0, 0), 6), np.float32)
        probability = np.rint(soft * levels).astype(np.float32) / np.float32(levels) if levels else soft
        ious = [counts.iou for counts in threshold_counts(probability, pair.gt, void=pair.void)]
        assert ious == [iou(probability >= threshold, pair.gt, pair.void) for threshold in THRESHOLDS]
        assert len(set(ious)) > 1


def test_a_probability_on_the_threshold_is_foreground_and_a_missing_one_is_not() -> None:
    probability = np.array([[0, 51 / 255, 1, np.nan]], np.float32)
    (counts,) = threshold_counts(probability, np.ones((1, 4), bool), [0.2])
    assert (counts.tp, counts.fn) == (2, 2)


def test_masks_of_one_bit_files_count_as_what_they_show() -> None:
    probability = np.array([[0.3, 0.6, 0.9]], np.float32)
    gt = np.array([[255, 255, 0]], np.uint8).view(bool)
    void = np.array([[255, 0, 0]], np.uint8).view(bool)
    assert [counts.tp for counts in threshold_counts(probability, gt, [0.1, 0.5, 0.7])] == [2, 1, 0]
    assert [counts.tp for counts in threshold_counts(probability, gt, [0.1, 0.5, 0.7], void=void)] == [1, 1, 0]


@pytest.mark.parametrize("thresholds", [[], [0.5, 0.5], [0.6, 0.5], [[0.5]], [float("nan"), 0.5]])
def test_thresholds_have_to_rise(thresholds: list[float]) -> None:
    with pytest.raises(InputError, match="the thresholds do not rise"):
        threshold_counts(np.zeros((2, 2), np.float32), np.zeros((2, 2), bool), thresholds)


def test_types_and_sizes_are_checked() -> None:
    probability, gt = np.zeros((2, 3), np.float32), np.zeros((2, 3), bool)
    with pytest.raises(InputError, match="the probability map is uint8"):
        threshold_counts(probability.astype(np.uint8), gt)
    with pytest.raises(SampleError, match="shape"):
        threshold_counts(probability.T, gt)
    with pytest.raises(SampleError, match="shape"):
        threshold_counts(probability, gt, void=gt.T)


def test_the_best_threshold_has_the_highest_mean() -> None:
    best = best_threshold([[0.9, 0.5, 0.1], [0.9, 0.75, 1.0]], [0.25, 0.5, 0.75])
    assert (best.threshold, best.iou) == (0.25, 0.9)


@pytest.mark.parametrize(
    ("means", "threshold"),
    [
        ([0.5, 0.5, 0.5], 0.5),
        ([0.5, 0.5, 0.1], 0.5),
        ([0.5, 0.1, 0.5], 0.3),  # both as near: the lower
        ([0.1, 0.2, 0.5], 0.7),
    ],
)
def test_of_equal_thresholds_the_one_nearest_to_a_half_is_named(means: list[float], threshold: float) -> None:
    assert best_threshold([means], [0.3, 0.5, 0.7]).threshold == threshold


@pytest.mark.parametrize("table", [[], [[]], [0.5], [[0.5, 0.6]]])
def test_a_table_of_another_shape_is_wrong_use(table: list[float]) -> None:
    with pytest.raises(InputError, match="IoUs of shape"):
        best_threshold(table)


def test_thresholds_are_every_twentieth_but_for_0_and_1() -> None:
    assert (
        *(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
        *(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    ) == THRESHOLDS
    best = best_threshold([[1.0] * 19])
    assert (best.threshold, best.iou) == (0.5, 1.0)


def test_counts_by_hand_for_probabilities_on_below_and_above_each_threshold() -> None:
    probability = np.array([[0.1, 0.25, 0.25, 0.4], [0.5, 0.6, 0.75, 1]], np.float32)
    gt = np.array([[True, False, True, False], [True, True, False, True]])
    found = threshold_counts(probability, gt, [0.25, 0.5, 0.75])
    assert [(each.tp, each.fp, each.fn) for each in found] == [(4, 3, 1), (3, 1, 2), (1, 1, 4)]
    void = probability == np.float32(0.25)
    found = threshold_counts(probability, gt, [0.25, 0.5, 0.75], void=void)
    assert [(each.tp, each.fp, each.fn) for each in found] == [(3, 2, 1), (3, 1, 1), (1, 1, 3)]
    [counts] = threshold_counts(probability, gt, [0])
    assert (counts.tp, counts.fp, counts.fn) == (5, 3, 0)


def test_what_is_wrong_is_said_with_types_and_sizes() -> None:
    probability, gt = np.zeros((2, 3), np.float32), np.zeros((2, 3), bool)
    with pytest.raises(
        InputError, match="the probability map is float64 and the ground truth bool, not float32 and bool"
    ):
        threshold_counts(probability.astype(np.float64), gt)  # type: ignore[arg-type]
    for each in ({"gt": gt.astype(np.uint8)}, {"gt": gt, "void": gt.astype(np.uint8)}):
        with pytest.raises(InputError, match="not float32 and bool"):
            threshold_counts(probability, **each)
    with pytest.raises(SampleError, match=r"the shape \(2, 3\), the ground truth \(3, 2\): predict at") as caught:
        threshold_counts(probability, gt.T)
    assert caught.value.code == "size-mismatch"
    with pytest.raises(InputError, match=r"IoUs of shape \(1, 3\) are not samples x 2 thresholds"):
        best_threshold([[0.5, 0.6, 0.7]], [0.1, 0.2])
