"""A sample's scores are those of the single measures; a summary is their mean, spread and pooled value."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from mask_pairs import golden_pairs, person_pairs

from segdata.errors import InputError
from segdata.quality.boundary_iou import boundary_iou
from segdata.quality.contour import contour_accuracy
from segdata.quality.overlap import iou, precision, recall
from segdata.quality.scores import Scores, Spread, score, summarise


def test_the_golden_figures_are_met_to_the_last_bit(shared_data: Path) -> None:
    for pair in golden_pairs(shared_data):
        scores = score(pair.pred, pair.gt, void=pair.void)
        assert (scores.iou, scores.contour_accuracy) == (pair.iou, pair.contour[0.008]), pair.key
        assert pair.boundary_iou in (None, scores.boundary_iou), pair.key


def test_each_score_is_what_its_own_function_gives(shared_data: Path) -> None:
    for pred, gt in person_pairs(shared_data):
        void = np.zeros_like(gt)
        void[::3, 40:90] = True
        scores = score(pred, gt, tolerance=2, dilation=0.01, void=void)
        kept_pred, kept_gt = pred & ~void, gt & ~void
        assert scores == Scores(
            iou=iou(pred, gt, void),
            contour_accuracy=contour_accuracy(pred, gt, tolerance=2, void=void),
            boundary_iou=boundary_iou(pred, gt, dilation=0.01, void=void),
            precision=precision(pred, gt, void),
            recall=recall(pred, gt, void),
            intersection=int((kept_pred & kept_gt).sum()),
            union=int((kept_pred | kept_gt).sum()),
            pred_area=int(kept_pred.sum()),
            gt_area=int(kept_gt.sum()),
        )


def test_empty_masks() -> None:
    square = np.pad(np.ones((4, 4), bool), 3)
    empty = np.zeros_like(square)
    assert score(empty, empty) == Scores(1, 1, 1, 1, 1, 0, 0, 0, 0)
    assert score(square, empty) == Scores(0, 0, 0, 0, 0, 0, 16, 16, 0)
    assert score(empty, square) == Scores(0, 0, 0, 0, 0, 0, 16, 0, 16)


def test_the_summary_has_mean_deviation_and_pooled_values(shared_data: Path) -> None:
    pairs = person_pairs(shared_data)
    summary = summarise(score(pred, gt) for pred, gt in pairs)
    ious = [iou(pred, gt) for pred, gt in pairs]
    contours = [contour_accuracy(pred, gt) for pred, gt in pairs]
    pred, gt = (np.concatenate([pair[i].ravel() for pair in pairs])[None] for i in (0, 1))
    assert summary.samples == len(pairs)
    assert summary.iou == Spread(float(np.mean(ious)), float(np.std(ious)))
    assert summary.contour_accuracy == Spread(float(np.mean(contours)), float(np.std(contours)))
    assert summary.pooled.iou == iou(pred, gt) != summary.iou.mean
    assert summary.pooled.precision == precision(pred, gt)
    assert summary.pooled.recall == recall(pred, gt)


def test_one_sample_has_no_deviation() -> None:
    assert summarise([Scores(0.5, 0.2, 0.1, 1, 0.5, 1, 2, 1, 2)]).iou.std == 0


def test_a_summary_is_plain_numbers_in_json() -> None:
    square = np.pad(np.ones((4, 4), bool), 3)
    summary = msgspec.json.decode(msgspec.json.encode(summarise([score(square, square)])))
    one = {"mean": 1.0, "std": 0.0}
    assert summary == {
        "samples": 1,
        "iou": one,
        "contour_accuracy": one,
        "boundary_iou": one,
        "precision": one,
        "recall": one,
        "pooled": {"iou": 1.0, "precision": 1.0, "recall": 1.0},
    }


def test_nothing_to_summarise_is_wrong_use() -> None:
    with pytest.raises(InputError, match="no scored sample"):
        summarise([])
