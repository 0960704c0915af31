"""Boundary IoU is that of its authors, on every pair of masks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_pairs import Mask, golden_pairs, person_pairs

from segdata.errors import InputError
from segdata.quality.boundary_iou import band_width, boundary_iou

DILATIONS = st.sampled_from([0.001, 0.02, 0.05, 0.2, 0.5, 0.99])
# Random pixels leave nothing to erode: the masks are mostly filled.
FILLED = array_shapes(min_dims=2, max_dims=2, max_side=40).flatmap(
    lambda shape: st.tuples(*[arrays(bool, shape, elements=st.booleans(), fill=st.just(True))] * 3)
)


def straight_band(mask: Mask, width: int) -> Mask:
    """Erode step by step, in a frame of zeros."""
    framed = np.pad(mask.astype(np.uint8), 1)
    core = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)
    return np.asarray(mask & (core[1:-1, 1:-1] == 0))


def straight_iou(pred: Mask, gt: Mask, dilation: float) -> float:
    width = max(1, round(dilation * float(np.linalg.norm(gt.shape))))
    bands = straight_band(pred, width), straight_band(gt, width)
    union = (bands[0] | bands[1]).sum()
    return float((bands[0] & bands[1]).sum() / union) if union else 1.0


def test_the_golden_figures_are_met_to_the_last_bit(shared_data: Path) -> None:
    pairs = [pair for pair in golden_pairs(shared_data) if pair.boundary_iou is not None]
    assert len(pairs) > 20
    assert [boundary_iou(pair.pred, pair.gt) for pair in pairs] == [pair.boundary_iou for pair in pairs]


@pytest.mark.parametrize("dilation", [0.001, 0.005, 0.02, 0.1])
def test_real_masks_score_as_by_the_straight_way(shared_data: Path, dilation: float) -> None:
    for pred, gt in person_pairs(shared_data):
        assert boundary_iou(pred, gt, dilation=dilation) == straight_iou(pred, gt, dilation)


@settings(deadline=None)
@given(FILLED, DILATIONS)
def test_random_masks_score_as_by_the_straight_way(triple: tuple[Mask, Mask, Mask], dilation: float) -> None:
    pred, gt, void = triple
    assert boundary_iou(pred, gt, dilation=dilation) == straight_iou(pred, gt, dilation)
    expected = straight_iou(pred & ~void, gt & ~void, dilation)
    assert boundary_iou(pred, gt, dilation=dilation, void=void) == expected


@settings(deadline=None)
@given(FILLED, DILATIONS)
def test_it_is_the_same_swapped_mirrored_and_transposed(triple: tuple[Mask, Mask, Mask], dilation: float) -> None:
    pred, gt, _ = triple
    figure = boundary_iou(pred, gt, dilation=dilation)
    assert boundary_iou(gt, pred, dilation=dilation) == figure
    assert boundary_iou(pred[:, ::-1], gt[:, ::-1], dilation=dilation) == figure
    assert boundary_iou(pred[::-1], gt[::-1], dilation=dilation) == figure
    assert boundary_iou(pred.T, gt.T, dilation=dilation) == figure


def test_empty_and_full_masks() -> None:
    empty, full = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    assert boundary_iou(empty, empty) == 1
    assert boundary_iou(full, full) == 1
    assert boundary_iou(full, empty) == boundary_iou(empty, full) == 0, "a full mask has a band at the border"


@pytest.mark.parametrize(
    ("shape", "dilation", "pixels"),
    [((480, 640), 0.02, 16), ((20, 20), 0.02, 1), ((3, 4), 0.5, 2), ((3, 4), 0.7, 4), ((3, 4), 0.01, 1)],
)
def test_the_band_is_a_rounded_share_of_the_diagonal(shape: tuple[int, int], dilation: float, pixels: int) -> None:
    assert band_width(shape, dilation) == pixels


@pytest.mark.parametrize("dilation", [0, -0.02, 1, 3, float("nan")])
def test_other_widths_are_wrong_use(dilation: float) -> None:
    with pytest.raises(InputError, match="the dilation"):
        band_width((480, 640), dilation)
