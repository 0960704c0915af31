"""IoU, precision and recall agree with the reference figures and with plain counting."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_pairs import Mask, golden_pairs

from segdata.quality.overlap import Overlap, iou, overlap, precision, recall
from segdata.quality.packed import pack_pair

Measure = Callable[[Mask, Mask], float]
TRIPLES = array_shapes(min_dims=2, max_dims=2, max_side=20).flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 3))
SQUARE = np.pad(np.ones((4, 4), bool), 3)
EMPTY, FULL = np.zeros_like(SQUARE), np.ones_like(SQUARE)


def test_the_golden_figures_are_met_to_the_last_bit(shared_data: Path) -> None:
    pairs = golden_pairs(shared_data)
    assert [iou(pair.pred, pair.gt, pair.void) for pair in pairs] == [pair.iou for pair in pairs]


@settings(deadline=None)
@given(TRIPLES)
def test_they_are_shares_of_the_pixels_that_are_not_void(triple: tuple[Mask, Mask, Mask]) -> None:
    pred, gt, void = triple
    kept_pred, kept_gt = pred[~void], gt[~void]
    both = (kept_pred & kept_gt).sum()
    if kept_pred.any() and kept_gt.any():
        assert iou(pred, gt, void) == both / (kept_pred | kept_gt).sum()
        assert precision(pred, gt, void) == both / kept_pred.sum()
        assert recall(pred, gt, void) == both / kept_gt.sum()


@pytest.mark.parametrize("measure", [iou, precision, recall])
def test_two_empty_masks_agree_and_a_lone_mask_scores_nothing(measure: Measure) -> None:
    assert measure(EMPTY, EMPTY) == 1
    assert measure(SQUARE, EMPTY) == 0
    assert measure(EMPTY, SQUARE) == 0


def test_void_everywhere_leaves_two_empty_masks() -> None:
    assert iou(SQUARE, EMPTY, FULL) == 1


@settings(deadline=None)
@given(TRIPLES)
def test_swapping_the_masks_swaps_precision_and_recall(triple: tuple[Mask, Mask, Mask]) -> None:
    pred, gt, void = triple
    assert iou(pred, gt, void) == iou(gt, pred, void)
    assert precision(pred, gt, void) == recall(gt, pred, void)


@settings(deadline=None)
@given(TRIPLES)
def test_overlaps_add_up_to_that_of_the_whole_image(triple: tuple[Mask, Mask, Mask]) -> None:
    pred, gt, _ = triple
    tiles = [pack_pair(pred[part], gt[part]) for part in (np.s_[:1], np.s_[1:]) if gt[part].size]
    assert sum(map(overlap, tiles), Overlap(0, 0, 0)) == overlap(pack_pair(pred, gt))
