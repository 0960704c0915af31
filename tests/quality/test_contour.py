"""Contour accuracy is that of the DAVIS benchmark, on every pair of masks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mask_pairs import Mask, golden_pairs, person_pairs
from skimage.morphology import disk

from segdata.errors import InputError, SampleError
from segdata.quality.contour import boundary_map, contour_accuracy, contour_tolerance

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=30)
TOLERANCES = st.sampled_from([0, 0.008, 0.05, 0.2, 0.6, 1, 2, 3, 5, 12, 50])
TRIPLES = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 3))


@st.composite
def blobs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """Draw masks of compact regions, which random pixels hardly ever make."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    discs = st.lists(st.tuples(st.integers(-5, width + 5), st.integers(-5, height + 5), st.integers(0, 25)), max_size=3)

    def drawn() -> Mask:
        canvas = np.zeros((height, width), np.uint8)
        for x, y, radius in draw(discs):
            cv2.circle(canvas, (x, y), radius, 1, -1)
        return canvas.astype(bool)

    return drawn(), drawn()


def straight_boundary(mask: Mask) -> Mask:
    """Look at the three neighbours of each pixel; beyond the border lies what lies at the border."""
    around = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    neighbours = around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    return np.asarray(np.any([mask != neighbour for neighbour in neighbours], axis=0))


def straight_accuracy(pred: Mask, gt: Mask, tolerance: float) -> float:
    """Dilate both outlines with a disc and compare them pixel by pixel."""
    radius = int(tolerance) if tolerance >= 1 else int(np.ceil(tolerance * np.linalg.norm(gt.shape)))
    outlines = [straight_boundary(mask) for mask in (pred, gt)]
    if not (outlines[0].any() and outlines[1].any()):
        return float(outlines[0].any() == outlines[1].any())
    disc = disk(radius).astype(np.uint8)  # type: ignore[no-untyped-call]
    near = [cv2.dilate(outline.view(np.uint8), disc) > 0 for outline in outlines]
    precision, recall = (float(near[1 - i][outlines[i]].mean()) for i in (0, 1))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_the_golden_figures_are_met_to_the_last_bit(shared_data: Path) -> None:
    for pair in golden_pairs(shared_data):
        figures = {t: contour_accuracy(pair.pred, pair.gt, tolerance=t, void=pair.void) for t in pair.contour}
        assert figures == pair.contour, pair.key


@pytest.mark.parametrize("tolerance", [0, 0.002, 0.008, 0.03, 1, 5])
def test_real_masks_score_as_by_the_straight_way(shared_data: Path, tolerance: float) -> None:
    for pred, gt in person_pairs(shared_data):
        assert contour_accuracy(pred, gt, tolerance=tolerance) == straight_accuracy(pred, gt, tolerance)


@settings(deadline=None)
@given(TRIPLES, TOLERANCES)
def test_random_masks_score_as_by_the_straight_way(triple: tuple[Mask, Mask, Mask], tolerance: float) -> None:
    pred, gt, void = triple
    expected = straight_accuracy(pred & ~void, gt & ~void, tolerance)
    assert contour_accuracy(pred, gt, tolerance=tolerance, void=void) == expected


@settings(deadline=None, max_examples=300)
@given(blobs(), TOLERANCES)
@example((np.eye(1, 70, 3, dtype=bool), np.eye(1, 70, 60, dtype=bool)), 50)
@example((np.eye(70, 1, -3, dtype=bool), np.eye(70, 1, -60, dtype=bool)), 50)
def test_compact_masks_score_as_by_the_straight_way(pair: tuple[Mask, Mask], tolerance: float) -> None:
    assert contour_accuracy(*pair, tolerance=tolerance) == straight_accuracy(*pair, tolerance)


@settings(deadline=None)
@given(arrays(bool, SHAPES))
def test_the_outline_is_half_a_pixel_towards_the_origin(mask: Mask) -> None:
    assert np.array_equal(boundary_map(mask), straight_boundary(mask))


@settings(deadline=None)
@given(TRIPLES, TOLERANCES)
def test_prediction_and_ground_truth_may_be_swapped(triple: tuple[Mask, Mask, Mask], tolerance: float) -> None:
    pred, gt, void = triple
    forth = contour_accuracy(pred, gt, tolerance=tolerance, void=void)
    assert forth == contour_accuracy(gt, pred, tolerance=tolerance, void=void)


@settings(deadline=None)
@given(blobs(), TOLERANCES)
def test_rows_and_columns_may_be_swapped(pair: tuple[Mask, Mask], tolerance: float) -> None:
    pred, gt = pair
    pixels = max(1, contour_tolerance(gt.shape, tolerance))
    assert contour_accuracy(pred.T, gt.T, tolerance=pixels) == contour_accuracy(pred, gt, tolerance=pixels)


@settings(deadline=None)
@given(blobs(), st.integers(1, 9))
def test_a_mirror_image_scores_the_same_where_no_mask_touches_the_border(
    pair: tuple[Mask, Mask], tolerance: int
) -> None:
    pred, gt = (np.pad(mask, 1) for mask in pair)
    forth = contour_accuracy(pred, gt, tolerance=tolerance)
    assert contour_accuracy(pred[:, ::-1], gt[:, ::-1], tolerance=tolerance) == forth
    assert contour_accuracy(pred[::-1], gt[::-1], tolerance=tolerance) == forth


def test_masks_without_an_outline_agree_with_each_other_alone() -> None:
    square = np.pad(np.ones((4, 4), bool), 3)
    empty, full = np.zeros_like(square), np.ones_like(square)
    assert contour_accuracy(empty, empty) == 1
    assert contour_accuracy(full, full) == 1
    assert contour_accuracy(full, empty) == 1, "neither has an outline, far apart as they are"
    for none in (empty, full):
        assert contour_accuracy(square, none) == 0
        assert contour_accuracy(none, square) == 0


def test_outlines_out_of_reach_score_nothing() -> None:
    gt = np.zeros((40, 40), bool)
    gt[2:6, 2:6] = True
    assert contour_accuracy(gt[::-1, ::-1], gt, tolerance=3) == 0


def test_void_pixels_leave_the_masks_and_not_the_outlines() -> None:
    gt = np.zeros((40, 40), bool)
    gt[5:35, 5:35] = True
    void = np.zeros_like(gt)
    void[:, 20:] = True
    pred = gt & ~void
    assert contour_accuracy(pred, gt, tolerance=1) < 1
    assert contour_accuracy(pred, gt, tolerance=1, void=void) == 1


def test_arguments_stay_as_they_are_and_may_be_views() -> None:
    gt = np.asfortranarray(np.pad(np.ones((20, 30), bool), 9))
    pred, void = np.roll(gt, 3, axis=1), np.zeros_like(gt)
    before = [mask.copy() for mask in (pred, gt, void)]
    whole = contour_accuracy(pred, gt, tolerance=2, void=void)
    assert all(map(np.array_equal, (pred, gt, void), before))
    spread = np.zeros((2 * gt.shape[0], 3 * gt.shape[1]), bool)
    spread[::2, ::3] = pred
    assert contour_accuracy(spread[::2, ::3], gt, tolerance=2) == whole


@pytest.mark.parametrize(
    ("shape", "tolerance", "pixels"),
    [
        ((480, 640), 0.008, 7),  # 6.4, rounded up
        ((300, 400), 0.008, 4),  # 4 exactly
        ((768, 1024), 0.008, 11),
        ((9, 9), 0.008, 1),
        ((480, 640), 1, 1),
        ((480, 640), 3.0, 3),
        ((480, 640), 0, 0),
    ],
)
def test_the_tolerance_is_a_share_of_the_diagonal_or_pixels(
    shape: tuple[int, int], tolerance: float, pixels: int
) -> None:
    assert contour_tolerance(shape, tolerance) == pixels


@pytest.mark.parametrize("tolerance", [-1, -0.1, 1.5, float("nan"), float("inf")])
def test_other_tolerances_are_wrong_use(tolerance: float) -> None:
    with pytest.raises(InputError, match="the contour tolerance"):
        contour_tolerance((480, 640), tolerance)


def test_sizes_that_differ_are_an_error_of_the_sample() -> None:
    with pytest.raises(SampleError, match="5 x 4"):
        contour_accuracy(np.zeros((4, 5), bool), np.zeros((5, 4), bool))


def test_an_outline_needs_a_mask() -> None:
    with pytest.raises(InputError, match="the mask is uint8"):
        boundary_map(np.zeros((4, 5), np.uint8))
