"""Scores of folders are those of scoring by hand, pair by pair, with the functions of segdata.quality."""

import json
import math
import shutil

import cv2
import msgspec
import numpy as np
import pytest
from heard import Heard, Losing

from segdata.dataset import write_lines
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import decode_mask, decode_probability, encode_png
from segdata.quality.evaluate import MEASURES, compare, evaluate
from segdata.quality.resize import crop_to_box, mask_box, to_height, to_size
from segdata.quality.scores import score, summarise
from segdata.quality.threshold import THRESHOLDS
from segdata.sample import encode


def read(path, void=None):
    return decode_mask(path.read_bytes(), str(path), void)


@pytest.fixture(scope="module")
def golden(shared_data, tmp_path_factory):
    """The golden pairs as preds/ and gt/; where one has void pixels, its ground truth marks them 128."""
    folder = tmp_path_factory.mktemp("golden")
    figures = json.loads((shared_data / "golden" / "golden.json").read_bytes())
    for figure in figures:
        key = figure["key"]
        source = shared_data / "golden" / key
        write_file(folder / "preds" / f"{key}.png", source.with_name(f"{key}_pred.png").read_bytes())
        gt = np.where(read(source.with_name(f"{key}_gt.png"))[0], np.uint8(255), np.uint8(0))
        if figure["void"]:
            gt[read(source.with_name(f"{key}_void.png"))[0]] = 128
        write_file(folder / "gt" / f"{key}.png", encode_png(gt))
    return folder, figures


@pytest.fixture(scope="module")
def by_hand(golden):
    folder, figures = golden
    scores = {}
    for figure in figures:
        key = figure["key"]
        gt, void = read(folder / "gt" / f"{key}.png", 128)
        scores[key] = score(read(folder / "preds" / f"{key}.png")[0], gt, void=void)
    return scores


@pytest.fixture(scope="module")
def evaluation(golden):
    folder, _ = golden
    return evaluate(folder / "preds", folder / "gt", void=128)


def test_every_sample_has_the_scores_of_its_pair(evaluation, by_hand):
    assert evaluation.count == len(evaluation.samples) == len(by_hand) == 34
    for sample in evaluation.samples:
        wanted = msgspec.structs.asdict(by_hand[sample.key])
        assert {name: getattr(sample, name) for name in wanted} == wanted


def test_the_scores_are_the_golden_figures(evaluation, golden):
    found = {sample.key: sample for sample in evaluation.samples}
    for figure in golden[1]:
        sample = found[figure["key"]]
        assert sample.iou == pytest.approx(figure["iou"], abs=1e-12)
        assert sample.contour_accuracy == pytest.approx(figure["contour"]["0.008"], abs=1e-12)
        if "boundary_iou" in figure:
            assert sample.boundary_iou == pytest.approx(figure["boundary_iou"], abs=1e-12)


def test_the_worst_sample_comes_first(evaluation):
    ious = [sample.iou for sample in evaluation.samples]
    assert ious == sorted(ious)
    assert ious[0] < ious[-1]


def test_means_and_pooled_figures_are_those_of_the_samples(evaluation, by_hand):
    summary = summarise(by_hand.values())
    for name in MEASURES:
        spread = getattr(summary, name)
        assert evaluation.mean[name] == pytest.approx(spread.mean, abs=1e-12)
        assert evaluation.std[name] == pytest.approx(spread.std, abs=1e-12)
    assert evaluation.pooled == msgspec.structs.asdict(summary.pooled)
    intersection = sum(sample.intersection for sample in evaluation.samples)
    assert evaluation.pooled["iou"] == intersection / sum(sample.union for sample in evaluation.samples)


def test_processes_give_the_same(golden, evaluation):
    folder, _ = golden
    assert evaluate(folder / "preds", folder / "gt", void=128, engine=Processes(2)) == evaluation


def test_the_settings_say_how_it_was_done(golden, evaluation):
    folder, _ = golden
    settings = evaluation.settings
    assert (settings.gt, settings.void, settings.tolerance, settings.dilation) == (str(folder / "gt"), 128, 0.008, 0.02)
    assert settings.tolerance_pixels == tuple(sorted({sample.tolerance_pixels for sample in evaluation.samples}))


def test_other_tolerance_and_dilation_reach_the_scores(golden):
    folder, figures = golden
    found = {s.key: s for s in evaluate(folder / "preds", folder / "gt", void=128, tolerance=3, dilation=0.05).samples}
    for figure in figures:
        assert found[figure["key"]].contour_accuracy == pytest.approx(figure["contour"]["3"], abs=1e-12)
        assert found[figure["key"]].tolerance_pixels == 3
    key = next(figure["key"] for figure in figures if not figure["void"])
    pred, gt = read(folder / "preds" / f"{key}.png")[0], read(folder / "gt" / f"{key}.png")[0]
    assert found[key].boundary_iou == score(pred, gt, dilation=0.05).boundary_iou


def test_the_protocol_crops_to_the_ground_truth_and_scales(golden, tmp_path):
    folder, figures = golden
    keys = [figure["key"] for figure in figures][:3]
    for name in (f"{kind}/{key}.png" for kind in ("preds", "gt") for key in keys):
        write_file(tmp_path / name, (folder / name).read_bytes())
    for sample in evaluate(tmp_path / "preds", tmp_path / "gt", void=128, height=1024, crop_to_gt=True).samples:
        gt, void = read(tmp_path / "gt" / f"{sample.key}.png", 128)
        box = mask_box(gt)
        arrays = [
            to_height(crop_to_box(each, box), 1024)
            for each in (read(tmp_path / "preds" / f"{sample.key}.png")[0], gt, void)
        ]
        wanted = msgspec.structs.asdict(score(arrays[0], arrays[1], void=arrays[2]))
        assert {name: getattr(sample, name) for name in wanted} == wanted


# Probability maps


@pytest.fixture(scope="module")
def maps(golden, tmp_path_factory):
    """Blurred predictions, as 8- and 16-bit probability maps, of the pairs without void pixels."""
    folder, figures = golden
    out = tmp_path_factory.mktemp("maps")
    for figure in [each for each in figures if not each["void"]][:8]:
        name = f"{figure['key']}.png"
        pred = read(folder / "preds" / name)[0]
        blurred = cv2.GaussianBlur(pred.astype(np.float32), (0, 0), 9)
        write_file(out / "8" / name, encode_png((blurred * 255).round().astype(np.uint8)))
        write_file(out / "16" / name, encode_png((blurred * 65535).round().astype(np.uint16)))
        write_file(out / "gt" / name, (folder / "gt" / name).read_bytes())
    return out


@pytest.mark.parametrize("bits", ["8", "16"])
def test_probability_maps_are_foreground_from_the_threshold_on(maps, bits):
    for sample in evaluate(maps / bits, maps / "gt", threshold=0.3).samples:
        path = maps / bits / f"{sample.key}.png"
        probability = decode_probability(path.read_bytes())
        assert sample.iou == score(probability >= np.float32(0.3), read(maps / "gt" / path.name)[0]).iou


@pytest.mark.parametrize("bits", ["8", "16"])
def test_the_sweep_finds_the_best_threshold_and_scores_at_it(maps, bits):
    swept = evaluate(maps / bits, maps / "gt", threshold="sweep")
    each = {threshold: evaluate(maps / bits, maps / "gt", threshold=threshold).mean["iou"] for threshold in THRESHOLDS}
    assert swept.sweep == pytest.approx({f"{threshold:.2f}": iou for threshold, iou in each.items()}, abs=1e-12)
    assert swept.best.iou == pytest.approx(max(each.values()), abs=1e-12)
    assert swept.best.iou == pytest.approx(swept.mean["iou"], abs=1e-12)
    assert len(set(each.values())) > 5
    assert swept.settings.threshold == "sweep"


def test_a_probability_map_without_threshold_is_named(maps):
    with pytest.raises(InputError, match=r"no sample could be scored .*different values.*--threshold"):
        evaluate(maps / "8", maps / "gt")


# Groups


def test_groups_come_from_the_metadata_of_the_ground_truth(golden, tmp_path, evaluation):
    folder, figures = golden
    shutil.copytree(folder / "gt", tmp_path / "masks")
    groups = {figure["key"]: ("head shot", "far shot", None)[n % 3] for n, figure in enumerate(figures)}
    write_lines(
        tmp_path / "metadata.jsonl",
        (
            encode({"key": key, "mask_file_name": f"masks/{key}.png", "domain": domain, "split": "test"})
            for key, domain in groups.items()
        ),
    )
    grouped = evaluate(folder / "preds", tmp_path, void=128)
    assert list(grouped.domains) == ["far shot", "head shot"]
    assert grouped.splits["test"].mean == grouped.mean == evaluation.mean
    for domain, means in grouped.domains.items():
        ious = [sample.iou for sample in evaluation.samples if groups[sample.key] == domain]
        assert means.count == len(ious)
        assert means.mean["iou"] == pytest.approx(sum(ious) / len(ious))
    assert {sample.domain for sample in grouped.samples} == {"head shot", "far shot", None}


# Small ones, drawn here


def masks(folder, **rows):
    for name, row in rows.items():
        write_file(folder / f"{name}.png", encode_png(np.array(row, np.uint8)))
    return folder


PERSON = [[0, 255, 255, 0], [0, 255, 255, 0]]
HALF = [[0, 255, 0, 0], [0, 255, 0, 0]]
NOBODY = [[0, 0, 0, 0], [0, 0, 0, 0]]


def test_files_without_a_partner_are_an_error_or_skipped(tmp_path):
    preds, gt = masks(tmp_path / "preds", a=PERSON, b=PERSON), masks(tmp_path / "gt", a=PERSON, c=PERSON, d=PERSON)
    with pytest.raises(InputError, match=r"gt/c\.png has no partner in .*preds \(3 files have none\).*--missing skip"):
        evaluate(preds, gt)
    found = evaluate(preds, gt, missing="skip")
    assert (found.count, found.skipped, found.failures) == (1, ["b", "c", "d"], [])


def test_folders_that_share_no_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="share no file"):
        evaluate(masks(tmp_path / "preds", a=PERSON), masks(tmp_path / "gt", b=PERSON), missing="skip")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for preds, gt in (("nothing", "gt"), ("gt", "nothing")):
        masks(tmp_path / "gt", a=PERSON)
        with pytest.raises(InputError, match=r"nothing does not exist: check the path"):
            evaluate(tmp_path / preds, tmp_path / gt)


def test_a_prediction_of_another_size_fails_or_is_scaled(tmp_path):
    small = [[0, 255], [0, 255]]
    preds, gt = masks(tmp_path / "preds", a=PERSON, b=small), masks(tmp_path / "gt", a=PERSON, b=PERSON)
    found = evaluate(preds, gt)
    assert (found.count, [(each.key, each.code) for each in found.failures]) == (1, [("b", "size-mismatch")])
    assert str(preds / "b.png") in found.failures[0].message
    assert "2 x 2" in found.failures[0].message
    scaled = evaluate(preds, gt, resize=True)
    wanted = score(to_size(np.array(small, bool), 2, 4), np.array(PERSON, bool)).iou
    assert (scaled.count, scaled.samples[0].iou, scaled.failures) == (2, wanted, [])


def test_files_that_cannot_be_read_are_named_and_the_rest_is_scored(tmp_path, shared_data):
    preds = masks(tmp_path / "preds", a=PERSON, b=PERSON, c=PERSON, d=[[0, 1, 2, 3], [0, 1, 2, 3]])
    gt = masks(tmp_path / "gt", a=PERSON, b=PERSON, c=PERSON, d=PERSON)
    whole = (preds / "b.png").read_bytes()
    (preds / "b.png").write_bytes(whole[: len(whole) // 2])
    (gt / "c.png").write_bytes(b"")
    found = evaluate(preds, gt)
    assert [sample.key for sample in found.samples] == ["a"]
    assert [(each.key, each.code) for each in found.failures] == [
        ("b", "unreadable-image"),
        ("c", "unreadable-image"),
        ("d", "not-binary"),
    ]
    for failure, path in zip(found.failures, (preds / "b.png", gt / "c.png", preds / "d.png"), strict=True):
        assert str(path) in failure.message


def test_an_unforeseen_error_is_the_failure_of_its_sample(tmp_path, monkeypatch):
    preds, gt = masks(tmp_path / "preds", a=PERSON, b=HALF), masks(tmp_path / "gt", a=PERSON, b=PERSON)

    def fragile(pred, *arguments, **options):
        if pred.sum() == 2:
            raise ZeroDivisionError("division by zero")
        return score(pred, *arguments, **options)

    monkeypatch.setattr("segdata.quality.evaluate.score", fragile)
    found = evaluate(preds, gt)
    assert (found.count, found.failures[0].code) == (1, "internal-error")
    assert "ZeroDivisionError" in found.failures[0].message


def test_empty_and_full_masks_give_numbers(tmp_path):
    full = [[255] * 4] * 2
    pairs = {
        "a": (NOBODY, NOBODY),
        "b": (NOBODY, PERSON),
        "c": (PERSON, NOBODY),
        "d": (full, full),
        "e": (full, NOBODY),
    }
    preds = masks(tmp_path / "preds", **{key: pred for key, (pred, _) in pairs.items()})
    gt = masks(tmp_path / "gt", **{key: gt for key, (_, gt) in pairs.items()})
    for options in ({}, {"height": 8, "crop_to_gt": True}, {"threshold": 0.5}, {"threshold": "sweep"}):
        found = evaluate(preds, gt, **options)
        assert (found.count, found.failures) == (5, [])
        numbers = [getattr(sample, name) for sample in found.samples for name in MEASURES]
        numbers += [*found.mean.values(), *found.std.values(), *found.pooled.values()]
        assert all(math.isfinite(number) and 0 <= number <= 1 for number in numbers)
    both_empty = next(sample for sample in found.samples if sample.key == "a")
    assert (both_empty.iou, both_empty.contour_accuracy, both_empty.boundary_iou) == (1, 1, 1)


def test_one_sample_spreads_by_nothing(tmp_path):
    found = evaluate(masks(tmp_path / "preds", a=HALF), masks(tmp_path / "gt", a=PERSON))
    assert (found.mean["iou"], set(found.std.values()), found.pooled["iou"]) == (0.5, {0.0}, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"threshold": -0.1}, "threshold -0.1"),
        ({"threshold": math.nan}, "threshold nan"),
        ({"tolerance": math.nan}, "tolerance nan"),
        ({"tolerance": -1}, "tolerance -1"),
        ({"tolerance": 2.5}, r"tolerance 2\.5"),
        ({"dilation": 0}, "dilation 0"),
        ({"dilation": math.nan}, "dilation nan"),
        ({"dilation": 2}, "dilation 2"),
        ({"height": 0}, "0 pixels high"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_scored(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path / "no", tmp_path / "such", **options)


# Several predictors


def test_each_predictor_is_compared_with_the_first(tmp_path):
    gt = masks(tmp_path / "gt", a=PERSON, b=PERSON, c=PERSON)
    first = masks(tmp_path / "first", a=HALF, b=HALF, c=HALF)
    second = masks(tmp_path / "second", a=PERSON, b=PERSON, c=PERSON)
    third = masks(tmp_path / "third", a=HALF, b=PERSON, c=HALF)
    found = compare([first, second, third], gt)
    assert [each.predictor for each in found.predictors] == [str(first), str(second), str(third)]
    assert found.predictors[1] == evaluate(second, gt)
    ious = {(each.a, each.b): each for each in found.differences if each.measure == "iou"}
    assert list(ious) == [(str(second), str(first)), (str(third), str(first))]
    better, mixed = ious.values()
    assert (better.difference, better.low, better.high, better.count) == (0.5, 0.5, 0.5, 3)
    assert mixed.difference == pytest.approx(0.5 / 3)
    assert mixed.low < mixed.difference < mixed.high
    assert len(found.differences) == 6


def test_predictors_are_compared_on_the_samples_that_both_have(tmp_path):
    gt = masks(tmp_path / "gt", a=PERSON, b=PERSON)
    first, second = masks(tmp_path / "first", a=HALF), masks(tmp_path / "second", a=PERSON, b=PERSON)
    assert compare([first, second], gt, missing="skip").differences[0].count == 1
    with pytest.raises(InputError, match="no scored sample in common"):
        compare([first, masks(tmp_path / "third", b=PERSON)], gt, missing="skip")


# Words, numbers and what progress hears


def test_progress_hears_of_each_pair_and_of_each_pass(tmp_path):
    preds, gt = (masks(tmp_path / name, a=PERSON, b=PERSON, c=HALF) for name in ("preds", "gt"))
    for options, begun in (
        ({}, [("evaluate", 3)]),
        ({"threshold": 0.5}, [("evaluate", 3)]),
        ({"threshold": "sweep"}, [("sweep", 3), ("evaluate", 3)]),
    ):
        heard = Heard()
        evaluate(preds, gt, progress=heard, **options)
        assert (heard.begun, heard.advanced) == (begun, [3] * len(begun))


def test_a_pair_that_ends_its_process_is_a_failure_and_the_others_are_scored(tmp_path):
    preds, gt = (masks(tmp_path / name, a=PERSON, b=PERSON, c=HALF) for name in ("preds", "gt"))
    for options in ({}, {"threshold": "sweep"}):
        found = evaluate(preds, gt, engine=Losing(0), **options)
        assert [sample.key for sample in found.samples] == ["b", "c"]
        [failure] = found.failures
        assert (failure.key, failure.code) == ("a", "worker-died")
        assert failure.message == f"{preds / 'a.png'} ended its worker process each time (out of memory?)"
        assert found.mean["iou"] == 1


def test_a_size_that_differs_is_told_as_width_x_height_of_both(tmp_path):
    preds, gt = masks(tmp_path / "preds", a=PERSON, b=[[0, 255, 0]] * 5), masks(tmp_path / "gt", a=PERSON, b=PERSON)
    found = evaluate(preds, gt)
    wanted = f"{preds}/b.png is 3 x 5, {gt}/b.png is 4 x 2: predict at the photo's size, or say --resize"
    assert [(each.code, each.message) for each in found.failures] == [("size-mismatch", wanted)]
    for options in ({"threshold": 0.5}, {"threshold": "sweep"}):
        assert [each.message for each in evaluate(preds, gt, **options).failures] == [wanted]


def test_one_file_without_a_partner_is_named_alone(tmp_path):
    preds, gt = masks(tmp_path / "preds", a=PERSON, b=PERSON), masks(tmp_path / "gt", a=PERSON)
    with pytest.raises(InputError) as caught:
        evaluate(preds, gt)
    assert str(caught.value) == f"{preds}/b.png has no partner in {gt}: give all of them, or say --missing skip"


def test_where_nothing_could_be_scored_the_first_reason_is_told(tmp_path):
    preds, gt = masks(tmp_path / "preds", a=[[1, 2, 3]], b=PERSON), masks(tmp_path / "gt", a=PERSON, b=[[0]])
    with pytest.raises(InputError, match=r"no sample could be scored \(.*a\.png .*\): check the folders"):
        evaluate(preds, gt)


def test_the_settings_and_results_of_defaults_are_all_told(tmp_path):
    preds, gt = masks(tmp_path / "preds", a=HALF, b=PERSON), masks(tmp_path / "gt", a=PERSON, b=PERSON)
    found = evaluate(preds, gt)
    assert msgspec.to_builtins(found.settings) == {
        "gt": str(gt),
        "tolerance": 0.008,
        "tolerance_pixels": (1,),
        "dilation": 0.02,
        "void": None,
        "threshold": None,
        "height": None,
        "crop_to_gt": False,
        "missing": "error",
        "resize": False,
    }
    assert (found.predictor, found.count, found.domains, found.splits) == (str(preds), 2, {}, {})
    assert (found.sweep, found.best, found.skipped, found.failures) == (None, None, [], [])
    first, second = found.samples
    assert msgspec.to_builtins(first) == {
        "key": "a",
        "iou": 0.5,
        "contour_accuracy": first.contour_accuracy,
        "boundary_iou": 0.5,
        "precision": 1.0,
        "recall": 0.5,
        "intersection": 2,
        "union": 4,
        "pred_area": 2,
        "gt_area": 4,
        "tolerance_pixels": 1,
        "domain": None,
        "split": None,
    }
    assert (second.key, second.iou) == ("b", 1)
    assert (found.mean["iou"], found.std["iou"], found.pooled["iou"]) == (0.75, 0.25, 0.75)
    assert (found.mean["recall"], found.std["recall"], found.pooled["recall"]) == (0.75, 0.25, 0.75)
    assert (found.mean["precision"], found.pooled["precision"]) == (1, 1)


def test_of_equal_scores_the_first_key_comes_first(tmp_path):
    preds, gt = (masks(tmp_path / name, c=PERSON, a=PERSON, b=PERSON) for name in ("preds", "gt"))
    assert [sample.key for sample in evaluate(preds, gt).samples] == ["a", "b", "c"]


@pytest.mark.parametrize(("threshold", "iou"), [(0, 0.5), (1, 0.25), (128 / 255, 0.5), (0.51, 0.25)])
def test_thresholds_reach_from_0_to_1_and_hold_what_lies_on_them(tmp_path, threshold, iou):
    preds = masks(tmp_path / "preds", a=[[0, 128, 255, 0], [0, 0, 0, 0]])
    found = evaluate(preds, masks(tmp_path / "gt", a=PERSON), threshold=threshold)
    assert (found.mean["iou"], found.settings.threshold) == (iou, threshold)


def test_cropping_and_scaling_go_without_each_other_and_take_void_pixels_along(tmp_path):
    gt = masks(tmp_path / "gt", a=[[0] * 6, [0, 255, 255, 255, 7, 0], [0, 255, 255, 255, 0, 0]])
    preds = masks(tmp_path / "preds", a=[[255] * 6, [0, 255, 255, 255, 255, 0], [0, 255, 0, 0, 255, 0]])

    def areas(**options):
        [sample] = evaluate(preds, gt, void=7, **options).samples
        return sample.pred_area, sample.gt_area, sample.intersection

    assert areas() == (11, 6, 4)
    assert areas(crop_to_gt=True) == (4, 6, 4)
    assert areas(height=3) == (11, 6, 4)
    assert areas(height=6) == (44, 24, 16)
    assert areas(height=4, crop_to_gt=True) == (16, 24, 16)
    assert areas(height=1) == (1, 1, 1), "two pixels wide: the columns 1 and 4 of the middle row, the latter void"


def test_the_sweep_names_thresholds_with_two_decimals_and_takes_the_best(tmp_path):
    preds = masks(tmp_path / "preds", a=[[0, 255, 180, 60], [0, 255, 180, 60]])
    found = evaluate(preds, masks(tmp_path / "gt", a=PERSON), threshold="sweep")
    ious = {f"{step / 100:.2f}": 2 / 3 if step < 25 else 1.0 if step <= 70 else 0.5 for step in range(5, 100, 5)}
    assert found.sweep == pytest.approx(ious)
    assert (found.best.threshold, found.best.iou, found.mean["iou"]) == (0.5, 1, 1)


def test_a_comparison_has_three_measures_of_each_against_the_first(tmp_path):
    gt = masks(tmp_path / "gt", a=PERSON)
    found = compare([masks(tmp_path / "first", a=HALF), masks(tmp_path / "second", a=PERSON)], gt)
    assert [each.measure for each in found.differences] == ["iou", "contour_accuracy", "boundary_iou"]
    assert [(each.difference, each.low, each.high) for each in found.differences][::2] == [(0.5, 0.5, 0.5)] * 2
