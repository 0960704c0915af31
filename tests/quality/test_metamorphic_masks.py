"""What must stay equal, and what must move by how much, when a pair of masks is changed in a known way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mask_pairs import Mask
from random_pairs import Pair, random_pairs, real_masks

from segdata.quality.boundary_iou import band_width, boundary_iou
from segdata.quality.contour import boundary_map, contour_accuracy, contour_tolerance
from segdata.quality.overlap import iou, overlap, precision, recall
from segdata.quality.packed import pack_pair

Change = Callable[[Mask], Mask]
TURNS: dict[str, Change] = {
    "mirrored": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "transposed": lambda mask: mask.T,
    "turned": np.rot90,
}
REGION = (iou, precision, recall)


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[Pair]:
    return list(random_pairs(250, 7, real_masks(shared_data), longest=120))


@pytest.fixture(scope="module")
def inner(pairs: list[Pair]) -> list[Pair]:
    """Give pairs of which no mask touches the border."""
    return [Pair(np.pad(pred, 1), np.pad(gt, 1), None) for pred, gt, _ in pairs]


def changed(pair: Pair, change: Change) -> Pair:
    return Pair(change(pair.pred), change(pair.gt), None if pair.void is None else change(pair.void))


def enlarged(pair: Pair, factor: int) -> Pair:
    return changed(pair, lambda mask: mask.repeat(factor, axis=0).repeat(factor, axis=1))


def padded(pair: Pair, *margins: int) -> Pair:
    top, bottom, left, right = margins
    return changed(pair, lambda mask: np.pad(mask, ((top, bottom), (left, right))))


def regions(pair: Pair) -> list[float]:
    return [measure(*pair) for measure in REGION]


def band(pair: Pair, width: int) -> float:
    """Give the boundary IoU for a band of so many pixels, whatever the size of the image."""
    share = width / float(np.hypot(*pair.gt.shape))
    assert band_width(pair.gt.shape, share) == width
    return boundary_iou(pair.pred, pair.gt, dilation=share, void=pair.void)


def bands(pair: Pair) -> Iterator[int]:
    yield from (width for width in (1, 2, 5) if width < np.hypot(*pair.gt.shape))


def contour(pair: Pair, pixels: int) -> float:
    return contour_accuracy(pair.pred, pair.gt, tolerance=pixels, void=pair.void)


# Regions


@pytest.mark.parametrize("turn", TURNS)
def test_regions_do_not_change_when_both_masks_are_turned(pairs: list[Pair], turn: str) -> None:
    for pair in pairs:
        assert regions(changed(pair, TURNS[turn])) == regions(pair)


@pytest.mark.parametrize("factor", [2, 3])
def test_regions_do_not_change_when_all_pixels_become_several(pairs: list[Pair], factor: int) -> None:
    for pair in pairs:
        assert regions(enlarged(pair, factor)) == regions(pair)


def test_regions_do_not_change_with_background_around_or_a_shift_of_both(pairs: list[Pair]) -> None:
    for pair in pairs:
        assert regions(padded(pair, 3, 9, 0, 17)) == regions(padded(pair, 9, 3, 17, 0)) == regions(pair)


def test_void_pixels_may_as_well_be_cut_out(pairs: list[Pair]) -> None:
    cut = [pair for pair in pairs if pair.void is not None and not pair.void.all()]
    assert len(cut) > 30
    for pred, gt, void in cut:
        assert regions(Pair(pred, gt, void)) == regions(Pair(pred[~void][None], gt[~void][None], None))


def test_equal_pixels_added_to_both_masks_count_as_right(pairs: list[Pair]) -> None:
    for pred, gt, _ in pairs:
        before = overlap(pack_pair(pred, gt))
        more = [np.pad(mask, ((1, 0), (0, 0)), constant_values=True) for mask in (pred, gt)]
        added = gt.shape[1]
        assert iou(*more) == (before.tp + added) / (before.union + added) >= before.iou
        assert precision(*more) == (before.tp + added) / (int(pred.sum()) + added) >= before.precision
        assert recall(*more) == (before.tp + added) / (int(gt.sum()) + added) >= before.recall


def test_of_the_complement_the_background_is_measured(pairs: list[Pair]) -> None:
    for pair in pairs:
        counts = overlap(pack_pair(*pair))
        known = pair.gt.size if pair.void is None else int((~pair.void).sum())
        background = known - counts.union
        opposite = overlap(pack_pair(~pair.pred, ~pair.gt, pair.void))
        assert (opposite.tp, opposite.fp, opposite.fn) == (background, counts.fn, counts.fp)


def test_each_pixel_put_right_raises_the_iou(pairs: list[Pair]) -> None:
    for pred, gt, _ in pairs:
        wrong = np.argwhere(pred != gt)
        if len(wrong):
            better = pred.copy()
            y, x = wrong[len(wrong) // 2]
            better[y, x] = gt[y, x]
            assert iou(better, gt) > iou(pred, gt) or not (better & gt).any()


# Contour accuracy


def test_contours_do_not_change_when_rows_and_columns_are_swapped(pairs: list[Pair]) -> None:
    for pair in pairs:
        assert contour(changed(pair, TURNS["transposed"]), 2) == contour(pair, 2)


@pytest.mark.parametrize("turn", TURNS)
def test_contours_do_not_change_when_masks_off_the_border_are_turned(inner: list[Pair], turn: str) -> None:
    for pair in inner:
        assert contour(changed(pair, TURNS[turn]), 2) == contour(pair, 2)


def test_at_the_border_half_a_pixel_towards_the_origin_makes_a_difference() -> None:
    gt, pred = np.zeros((2, 9, 9), bool)
    gt[:, :3] = gt[5:, :6] = pred[:, :3] = True
    gt[8, 8] = True
    pair = Pair(pred, gt, None)
    there, mirrored = boundary_map(gt), boundary_map(gt[::-1, ::-1])
    assert there.sum() != mirrored.sum(), "the corner has three pixels of outline at the far end, and one at the origin"
    assert contour(pair, 1) != contour(changed(pair, lambda mask: mask[::-1, ::-1]), 1)


def test_contours_do_not_change_with_background_around_masks_off_the_border(inner: list[Pair]) -> None:
    for pair in inner:
        assert contour(padded(pair, 3, 9, 0, 17), 3) == contour(padded(pair, 9, 3, 17, 0), 3) == contour(pair, 3)


def test_background_around_a_mask_at_the_border_makes_it_an_outline() -> None:
    gt = np.zeros((20, 20), bool)
    gt[:, :10] = True
    pred = gt.copy()
    pred[:, :2] = False
    pair = Pair(pred, gt, None)
    assert contour(pair, 1) < 1
    assert boundary_map(gt).sum() == 20
    assert boundary_map(np.pad(gt, 1)).sum() > 50
    assert contour(padded(pair, 1, 1, 1, 1), 1) != contour(pair, 1)


def test_a_tolerance_that_is_a_share_grows_with_the_image_and_one_in_pixels_does_not(inner: list[Pair]) -> None:
    moved = 0
    for pair in inner:
        more = padded(pair, 300, 300, 300, 300)
        pixels = contour_tolerance(more.gt.shape)
        assert pixels > contour_tolerance(pair.gt.shape)
        assert contour_accuracy(more.pred, more.gt) == contour(pair, pixels)
        assert contour_accuracy(more.pred, more.gt) >= contour_accuracy(pair.pred, pair.gt)
        moved += contour_accuracy(more.pred, more.gt) > contour_accuracy(pair.pred, pair.gt)
    assert moved > 20


def test_contours_of_the_complements_are_the_same_contours(pairs: list[Pair]) -> None:
    for pred, gt, _ in pairs:
        assert contour(Pair(~pred, ~gt, None), 2) == contour(Pair(pred, gt, None), 2)


def test_a_larger_tolerance_never_matches_less(pairs: list[Pair]) -> None:
    for pair in pairs:
        figures = [contour(pair, pixels) for pixels in (0, 1, 2, 4, 9)]
        assert figures == sorted(figures)


def test_a_shift_within_the_tolerance_costs_nothing_and_one_beyond_it_does(inner: list[Pair]) -> None:
    for _, gt, _ in inner:
        room = np.pad(gt, 8)
        assert contour_accuracy(np.roll(room, (3, 4), axis=(0, 1)), room, tolerance=5) == 1
    square = np.pad(np.ones((9, 9), bool), 12)
    assert contour_accuracy(np.roll(square, 6, axis=1), square, tolerance=5) < 1


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarged_with_its_tolerance_a_shift_still_costs_nothing(inner: list[Pair], factor: int) -> None:
    """Figures between 0 and 1 do change: an outline stays one pixel wide, and a disc has other pixels at its edge."""
    for _, gt, _ in inner:
        room = np.pad(gt, 4)
        large = enlarged(Pair(np.roll(room, (2, 1), axis=(0, 1)), room, None), factor)
        assert contour(large, 3 * factor) == 1


def test_an_island_added_far_from_both_outlines_counts_as_matched(inner: list[Pair]) -> None:
    island = np.zeros((40, 12), bool)
    island[15:25, 3:9] = True
    for pair in inner:
        pred, gt = (np.pad(mask, ((0, max(0, 40 - len(mask))), (0, 20))) for mask in pair[:2])
        alone = contour_accuracy(pred, gt, tolerance=2)
        both = [mask.copy() for mask in (pred, gt)]
        for mask in both:
            mask[:40, -12:] |= island
        of_pred, of_gt, of_island = (int(boundary_map(mask).sum()) for mask in (pred, gt, island))
        if of_pred and of_gt:
            right, found = shares(pred, gt, 2)
            right, found = ((right + of_island) / (of_pred + of_island), (found + of_island) / (of_gt + of_island))
            expected = 2 * right * found / (right + found)
        else:
            parts = of_island / (of_pred + of_island), of_island / (of_gt + of_island)
            expected = 2 * parts[0] * parts[1] / sum(parts)
        assert contour_accuracy(*both, tolerance=2) == pytest.approx(expected, abs=1e-12)
        assert contour_accuracy(*both, tolerance=2) >= alone - 1e-12


def shares(pred: Mask, gt: Mask, radius: int) -> tuple[int, int]:
    """Count the outline pixels of either mask that have one of the other within the radius."""
    outlines = [np.argwhere(boundary_map(mask)) for mask in (pred, gt)]
    squared = ((outlines[0][:, None] - outlines[1][None]) ** 2).sum(axis=2) <= radius**2
    return int(squared.any(axis=1).sum()), int(squared.any(axis=0).sum())


# Boundary IoU


@pytest.mark.parametrize("turn", TURNS)
def test_bands_do_not_change_when_masks_are_turned_wherever_they_lie(pairs: list[Pair], turn: str) -> None:
    for pair in pairs:
        for width in bands(pair):
            assert band(changed(pair, TURNS[turn]), width) == band(pair, width)


def test_bands_do_not_change_with_background_around(pairs: list[Pair]) -> None:
    """Beyond the border lies background for this measure, so that background there changes nothing."""
    for pair in pairs:
        for width in bands(pair):
            assert band(padded(pair, 3, 9, 0, 17), width) == band(pair, width)


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarged_with_its_band_the_figure_stays(pairs: list[Pair], factor: int) -> None:
    for pair in pairs:
        for width in bands(pair):
            assert band(enlarged(pair, factor), factor * width) == band(pair, width)


def test_a_band_as_wide_as_the_image_is_the_whole_mask(pairs: list[Pair]) -> None:
    checked = 0
    for pair in pairs:
        width = max(pair.gt.shape) // 2 + 1
        if width < np.hypot(*pair.gt.shape):
            assert band(pair, width) == iou(*pair)
            checked += 1
    assert checked > 100


def test_the_band_lies_inside_so_that_the_complement_has_another(pairs: list[Pair]) -> None:
    square = np.pad(np.ones((20, 20), bool), 20)
    pair = Pair(np.roll(square, 1, axis=1), square, None)
    assert band(pair, 2) != band(changed(pair, np.logical_not), 2)
    assert contour(pair, 1) == contour(changed(pair, np.logical_not), 1), "where contours are shared by both sides"


def test_an_island_far_from_both_masks_adds_its_band_to_both(inner: list[Pair]) -> None:
    for pair in inner:
        before = padded(pair, 0, 12, 0, 0)
        if before.gt.shape[1] < 7:
            continue
        more = changed(before, np.copy)
        for mask in more[:2]:
            mask[-9:-2, 1:6] = True
        ring = 7 * 5 - 3 * 1  # within 2 pixels of the outside
        tp, union = (band_counts(before, 2)[number] + ring for number in (0, 1))
        assert band(more, 2) == tp / union


def band_counts(pair: Pair, width: int) -> tuple[int, int]:
    """Count the pixels of both bands and of either."""
    masks = []
    for mask in pair[:2]:
        around = np.pad(mask, width)
        core = np.lib.stride_tricks.sliding_window_view(around, (2 * width + 1, 2 * width + 1)).all(axis=(2, 3))
        masks.append(mask & ~core)
    return int((masks[0] & masks[1]).sum()), int((masks[0] | masks[1]).sum())


# All of them


@pytest.mark.parametrize("measure", [iou, contour_accuracy, boundary_iou])
def test_prediction_and_truth_may_be_swapped(pairs: list[Pair], measure: Callable[..., float]) -> None:
    for pred, gt, void in pairs:
        assert measure(pred, gt, void=void) == measure(gt, pred, void=void)


def test_swapping_makes_precision_recall(pairs: list[Pair]) -> None:
    for pred, gt, void in pairs:
        assert precision(pred, gt, void) == recall(gt, pred, void)


@pytest.mark.parametrize("measure", [*REGION, contour_accuracy, boundary_iou])
def test_a_mask_agrees_with_itself_and_all_lies_between_0_and_1(
    pairs: list[Pair], measure: Callable[..., float]
) -> None:
    for pred, gt, void in pairs:
        assert measure(gt, gt, void=void) == 1
        assert 0 <= measure(pred, gt, void=void) <= 1


@pytest.mark.parametrize("measure", [*REGION, contour_accuracy, boundary_iou])
def test_what_is_under_void_pixels_does_not_matter(pairs: list[Pair], measure: Callable[..., float]) -> None:
    for pred, gt, void in pairs:
        if void is not None:
            assert measure(pred ^ void, gt | void, void=void) == measure(pred, gt, void=void)
