"""What must stay equal, and what must move by how much, when samples, instances, scores or frames change."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from independent import random_photos
from numpy.typing import NDArray
from random_pairs import disturbed, random_mask, random_pairs, real_masks

from segdata.domains import face_ratio
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.ops.saliency_map import saliency_map
from segdata.pixels import decode_image
from segdata.quality.average_precision import Photo, average_precision
from segdata.quality.bootstrap import paired_bootstrap
from segdata.quality.certainty import confidence, uncertainty
from segdata.quality.duplicates import likeness, records
from segdata.quality.flicker import dtssd, temporal_consistency
from segdata.quality.label_errors import disagreement
from segdata.quality.scores import score, summarise
from segdata.quality.threshold import THRESHOLDS, best_threshold, threshold_counts
from segdata.sample import Rle

Map = NDArray[np.float32]


@pytest.fixture(scope="module")
def scores(shared_data: Path) -> list:
    return [score(pair.pred, pair.gt, void=pair.void) for pair in random_pairs(60, 3, real_masks(shared_data), 100)]


@pytest.fixture(scope="module")
def data_sets() -> list[list[Photo]]:
    rng = np.random.default_rng(5)
    drawn = [random_photos(rng, []) for _ in range(60)]
    return [photos for photos in drawn if any(photo.true for photo in photos)]


@pytest.fixture(scope="module")
def maps() -> list[tuple[Map, NDArray[np.bool_]]]:
    """Give probability maps in 256ths, so that 1 - p is exact, with a mask each, on 120 x 90 pixels."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(40):
        mask = random_mask(rng, (120, 90))
        soft = cv2.GaussianBlur(disturbed(rng, mask).astype(np.float32), (0, 0), float(rng.uniform(0.3, 4)))
        found.append(((np.rint(soft * 255) / 256).astype(np.float32), mask))
    return found


# Means and pooled figures


def test_the_order_of_samples_does_not_matter(scores: list) -> None:
    forth, back = summarise(scores), summarise(scores[::-1])
    assert back.pooled == forth.pooled
    assert back.iou.mean == pytest.approx(forth.iou.mean, abs=1e-15)
    assert back.iou.std == pytest.approx(forth.iou.std, abs=1e-15)


def test_every_sample_twice_changes_neither_mean_nor_spread_nor_pooled_figures(scores: list) -> None:
    once, twice = summarise(scores), summarise(scores * 2)
    assert twice.samples == 2 * once.samples
    assert twice.pooled == once.pooled
    assert twice.contour_accuracy.mean == pytest.approx(once.contour_accuracy.mean, abs=1e-15)
    assert twice.contour_accuracy.std == pytest.approx(once.contour_accuracy.std, abs=1e-15), "the divisor is N"


def test_enlarging_one_photo_moves_the_pooled_iou_towards_its_own_and_leaves_the_mean() -> None:
    gt = np.zeros((20, 20), bool)
    gt[5:15, 5:15] = True
    good, bad = (gt, gt), (np.roll(gt, 6, axis=1), gt)
    large = tuple(mask.repeat(5, axis=0).repeat(5, axis=1) for mask in bad)
    before = summarise([score(*good), score(*bad)])
    after = summarise([score(*good), score(*large)])
    assert after.iou == before.iou
    assert score(*bad).iou < after.pooled.iou < before.pooled.iou < before.iou.mean


# Average precision


def test_instances_turned_or_enlarged_score_the_same(data_sets: list[list[Photo]]) -> None:
    def turned(rle: Rle) -> Rle:
        return mask_to_rle(rle_to_mask(rle)[::-1].T.repeat(2, axis=0).repeat(2, axis=1))

    for photos in data_sets:
        other = [
            Photo(*([turned(rle) for rle in rles] if part != 1 else rles for part, rles in enumerate(photo)))
            for photo in photos
        ]
        assert average_precision(other) == average_precision(photos)


def test_scores_count_by_their_order_alone(data_sets: list[list[Photo]]) -> None:
    for photos in data_sets:
        other = [photo._replace(scores=[10 * value**3 - 4 for value in photo.scores]) for photo in photos]
        assert average_precision(other) == average_precision(photos)


def test_the_order_of_photos_and_of_instances_does_not_matter(data_sets: list[list[Photo]]) -> None:
    for photos in data_sets:
        other = [
            photo._replace(found=photo.found[::-1], scores=photo.scores[::-1], ignored=photo.ignored[::-1])
            for photo in photos[::-1]
        ]
        assert average_precision(other) == average_precision(photos)


def test_all_photos_twice_score_the_same(data_sets: list[list[Photo]]) -> None:
    """COCOeval ranks equal scores one after the other, and would give another figure."""
    for photos in data_sets:
        assert average_precision(photos * 2) == average_precision(photos)


def test_a_photo_of_nobody_changes_nothing_unless_somebody_is_found_there(data_sets: list[list[Photo]]) -> None:
    nobody = Photo([], [], [])
    wrong = Photo([mask_to_rle(np.ones((4, 4), bool))], [2.0], [])
    lower = 0
    for photos in data_sets:
        before = average_precision(photos)
        assert average_precision([*photos, nobody]) == before
        assert average_precision([*photos, wrong]).mean <= before.mean
        lower += average_precision([*photos, wrong]).mean < before.mean
    assert lower > 20


def test_a_person_found_first_and_exactly_never_lowers_the_figure(data_sets: list[list[Photo]]) -> None:
    person = mask_to_rle(np.ones((4, 4), bool))
    for photos in data_sets:
        before, after = (average_precision(each) for each in (photos, [*photos, Photo([person], [2.0], [person])]))
        assert after.mean >= before.mean - 1e-12


def test_found_and_true_are_not_interchangeable() -> None:
    """One of two persons is found, then two are found where there is one: precision is high first, recall second."""
    left, right = (mask_to_rle(np.arange(8)[None] // 4 == side) for side in (0, 1))
    missed = average_precision([Photo([left], [0.9], [left, right])]).mean
    surplus = average_precision([Photo([left, right], [0.9, 0.8], [left])]).mean
    assert missed == pytest.approx(51 / 101)
    assert surplus == 1


# Thresholds


def test_more_passes_a_lower_threshold(maps: list) -> None:
    for probability, gt in maps:
        counts = threshold_counts(probability, gt)
        assert [each.tp for each in counts] == sorted((each.tp for each in counts), reverse=True)
        assert [each.fp for each in counts] == sorted((each.fp for each in counts), reverse=True)


def test_squared_probabilities_have_the_counts_of_squared_thresholds(maps: list) -> None:
    thresholds = [step / 16 for step in range(1, 16)]
    for probability, gt in maps:
        squared = threshold_counts(np.square(probability), gt, [value**2 for value in thresholds])
        assert squared == threshold_counts(probability, gt, thresholds)


def test_samples_in_another_order_or_twice_have_the_same_best_threshold() -> None:
    table = np.random.default_rng(0).integers(0, 9, (7, len(THRESHOLDS))) / 8
    best = best_threshold(table)
    assert best_threshold(table[::-1]) == best_threshold(np.repeat(table, 2, axis=0)) == best


# Intervals


def test_an_interval_moves_and_grows_with_the_scores() -> None:
    a, b = np.random.default_rng(0).random((2, 40))
    before = paired_bootstrap(a, b)
    raised, doubled, both = (
        paired_bootstrap(a + 0.25, b),
        paired_bootstrap(2 * a, 2 * b),
        paired_bootstrap(a + 3, b + 3),
    )
    for name in ("difference", "low", "high"):
        value = getattr(before, name)
        assert getattr(raised, name) == pytest.approx(value + 0.25)
        assert getattr(doubled, name) == pytest.approx(2 * value)
        assert getattr(both, name) == pytest.approx(value)


def test_four_times_the_samples_halve_the_interval() -> None:
    a, b = np.random.default_rng(0).random((2, 60))
    few, many = paired_bootstrap(a, b), paired_bootstrap(np.tile(a, 4), np.tile(b, 4))
    assert many.difference == pytest.approx(few.difference)
    assert many.high - many.low == pytest.approx((few.high - few.low) / 2, rel=0.06)


# Video


@pytest.fixture(scope="module")
def video() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    rng = np.random.default_rng(4)
    truth = [random_mask(rng, (40, 50)) for _ in range(6)]
    return np.array([disturbed(rng, mask) for mask in truth]), np.array(truth)


def test_dtssd_is_the_same_swapped_backwards_turned_and_enlarged(video: tuple) -> None:
    maps, truth = video
    figure = dtssd(maps, truth)
    assert 0 < figure < 2
    large = [each.repeat(2, axis=1).repeat(2, axis=2) for each in video]
    for one, other in (
        (truth, maps), (maps[::-1], truth[::-1]), (maps[:, ::-1], truth[:, ::-1]),
        (maps.transpose(0, 2, 1), truth.transpose(0, 2, 1)), large, (~maps, ~truth),
    ):  # fmt: skip
        assert dtssd(one, other) == pytest.approx(figure, rel=1e-6)


def test_dtssd_does_not_see_what_is_wrong_in_every_frame_alike(video: tuple) -> None:
    maps, truth = (each.astype(np.float32) / 2 for each in video)
    error = np.random.default_rng(0).random((40, 50)).astype(np.float32) / 2
    assert dtssd(maps + error, truth) == pytest.approx(dtssd(maps, truth), rel=1e-5)
    assert dtssd(maps, truth) == pytest.approx(dtssd(*video) / 2, rel=1e-6), "half the swing has half the figure"


def test_background_around_lowers_dtssd_by_the_root_of_the_area(video: tuple) -> None:
    padded = (np.pad(each, ((0, 0), (0, 120), (0, 0))) for each in video)
    assert dtssd(*padded) == pytest.approx(dtssd(*video) / 2, rel=1e-6)


def test_where_nothing_moves_consistency_is_the_iou_of_neighbours_and_turns_do_not_matter(video: tuple) -> None:
    """With movement they may: OpenCV's flow of a mirrored frame is not the mirrored flow to the last digit."""
    masks, _ = video
    still = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    ious = [score(one, other).iou for one, other in pairwise(masks)]
    figure = temporal_consistency(masks, [still] * 6)
    assert figure == pytest.approx(np.mean(ious), abs=1e-12)
    assert temporal_consistency(masks[:, :, ::-1], [still[:, ::-1]] * 6) == pytest.approx(figure, abs=1e-12)
    assert temporal_consistency(masks[::-1], [still] * 6) == pytest.approx(figure, abs=1e-12)


# Doubt


def test_confidence_is_the_same_turned_and_enlarged_and_with_background_around(maps: list) -> None:
    for probability, _ in maps:
        figure = confidence(probability, 0.5)
        large = probability.repeat(2, axis=0).repeat(2, axis=1)
        for other in (probability[::-1], probability.T, large, np.pad(probability, 9)):
            assert confidence(other, 0.5) == pytest.approx(figure, abs=1e-12)


def test_uncertainty_is_the_same_turned_and_of_the_background(maps: list) -> None:
    for probability, _ in maps:
        figure = uncertainty(probability, 0.25)
        for other in (probability[::-1], probability[:, ::-1], probability.T):
            assert uncertainty(other, 0.25) == pytest.approx(figure, abs=1e-7)
        if not (probability == 0.5).any():
            background = uncertainty(1 - probability, 0.5)
            assert background == pytest.approx(uncertainty(probability, 0.5), abs=1e-7)


def test_areas_that_contradict_are_the_same_mirrored(maps: list) -> None:
    """The score is not to the last digit, for contours lie half a pixel towards the origin."""
    for probability, mask in maps:
        found = disagreement(mask, probability)
        for turn in (np.flipud, np.fliplr):
            other = disagreement(turn(mask), turn(probability))
            assert (other.lacking, other.surplus) == pytest.approx((found.lacking, found.surplus), abs=1e-12)


def test_turned_on_its_side_a_narrow_area_may_count_where_it_did_not() -> None:
    """OpenCV's ellipse of 5 x 5 pixels is three rows of five with a pixel above and below, and no disc."""
    empty, wide = np.zeros((120, 90), bool), np.zeros((120, 90), np.float32)
    wide[40:43, 20:60] = 1
    wide[39:44, 39] = 1
    upright, turned = disagreement(empty, wide), disagreement(empty.T, np.ascontiguousarray(wide.T))
    assert upright.lacking > 0 == turned.lacking


def test_a_mask_moved_with_its_map_off_the_border_contradicts_as_much(maps: list) -> None:
    for probability, mask in maps:
        there = [np.pad(each, ((40, 40), (50, 50))) for each in (mask, probability)]
        found = disagreement(*there)
        moved = disagreement(*(np.roll(each, (-30, 40), axis=(0, 1)) for each in there))
        assert moved.score == pytest.approx(found.score, rel=1e-5)


# Photos


@pytest.mark.parametrize("box", [(10, 20, 30, 40), (-10, 5, 30, 40), (90, 70, 30, 40), (0, 0, 100, 80)])
def test_the_face_ratio_is_the_same_enlarged_mirrored_and_transposed(box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    ratio = face_ratio(box, (80, 100))
    assert face_ratio((3 * x, 3 * y, 3 * width, 3 * height), (240, 300)) == pytest.approx(ratio, abs=1e-15)
    assert face_ratio((100 - x - width, y, width, height), (80, 100)) == ratio
    assert face_ratio((y, x, height, width), (100, 80)) == ratio
    assert face_ratio(box, (160, 100)) == ratio / 2 or y + height > 80


def test_keypoints_of_a_mirrored_photo_are_those_kept_of_its_mirror_image(shared_data: Path) -> None:
    photo = decode_image(next(iter(sorted((shared_data / "ccp" / "photos").glob("*.jpg")))).read_bytes())
    (upright, mirrored), (there, back) = records(photo), records(np.ascontiguousarray(photo[:, ::-1]))
    assert len(upright) > 100
    assert np.array_equal(there, mirrored)
    assert np.array_equal(back, upright)


def test_likeness_does_not_depend_on_light_and_hardly_on_the_order(shared_data: Path) -> None:
    photo = decode_image(next(iter(sorted((shared_data / "ccp" / "photos").glob("*.jpg")))).read_bytes())
    photo, part = (photo // 2).astype(np.uint8), (photo[60:, 40:] // 2).astype(np.uint8)
    one, other = likeness(photo, part), likeness(part, photo)
    brighter = likeness(photo, part + np.uint8(60))
    assert one.relation == other.relation == brighter.relation == "copy"
    assert other.overlap == pytest.approx(one.overlap, abs=0.02)
    assert brighter.correlation == pytest.approx(one.correlation, abs=0.005)


def test_a_saliency_map_moves_with_its_persons_and_of_several_the_highest_counts() -> None:
    body = np.zeros((17, 3))
    body[[0, 5, 6, 11, 12, 13, 14]] = [
        (50, 20, 2), (60, 35, 2), (40, 35, 2), (57, 70, 2), (43, 70, 2), (58, 95, 2), (42, 95, 1),
    ]  # fmt: skip
    moved = body + np.array([70, 12, 0]) * (body[:, 2:] > 0)
    here, there = saliency_map([body], (160, 200)), saliency_map([moved], (160, 200))
    assert np.array_equal(there[12:, 70:], here[:-12, :-70])
    assert np.array_equal(saliency_map([body, moved], (160, 200)), np.maximum(here, there))
    assert np.array_equal(saliency_map([moved, body], (160, 200)), np.maximum(here, there))
