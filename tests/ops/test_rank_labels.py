"""`rank-labels` writes into a data set how far a model contradicts each mask, and finds the ones that are wrong."""

import json

import numpy as np
import pytest
from running import rows, times, tree

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import Mask
from segdata.ops.annotate import annotate
from segdata.ops.merge_parts import merge_parts
from segdata.ops.rank_labels import COLUMNS, rank_labels
from segdata.pixels import decode_mask, encode_png
from segdata.quality.label_errors import disagreement


def mask_of(number: int) -> Mask:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10 + 2 * number : 40 + 2 * number] = True
    return mask


@pytest.fixture
def data(tmp_path):
    """Write a data set whose mask `s3` lacks half a person, and a model's maps of it that are right."""
    lines = []
    for number in range(6):
        key = f"s{number}"
        mask = mask_of(number)
        write_file(tmp_path / "maps" / f"{key}.png", encode_png((mask * 65535).astype(np.uint16)))
        mask[30:] &= number != 3
        write_file(tmp_path / "data" / "masks" / f"{key}.png", encode_png(mask))
        lines.append({"key": key, "mask_file_name": f"masks/{key}.png"})
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "data"


def test_the_wrong_mask_comes_first_and_the_rows_say_why(data, tmp_path):
    ranking = rank_labels(data, tmp_path / "maps", count=3)
    assert (ranking.report.done, ranking.report.failed) == (6, 0)
    assert [each.key for each in ranking.worst] == ["s3", "s0", "s1"]
    assert ranking.worst[0].lacking == pytest.approx(0.5, abs=0.05)
    assert ranking.worst[1].disagreement == 0
    row = rows(data / "metadata.jsonl")[3]
    assert row["disagreement"] > 1 > row["disagreement_lacking"]
    assert set(COLUMNS) <= row.keys()


def test_a_row_holds_what_the_measure_says_in_four_digits(data, tmp_path):
    mask = np.zeros((60, 80), bool)
    mask[20:49, 21:43] = True
    probability = np.zeros((60, 80), np.uint16)
    probability[10:50, 20:37] = 60000
    write_file(data / "masks/s2.png", encode_png(mask))
    write_file(tmp_path / "maps/s2.png", encode_png(probability))
    (worst,) = rank_labels(data, tmp_path / "maps", count=1).worst
    found = disagreement(mask, (probability / np.float32(65535)).astype(np.float32), void=None)
    row = rows(data / "metadata.jsonl")[2]
    values = (found.score, found.lacking, found.surplus, found.contour)
    assert [row[column] for column in COLUMNS] == [round(value, 4) for value in values]
    assert len({round(value, 4) for value in values}) == 4, "none is taken for another"
    assert row["disagreement"] != round(found.score, 3)
    wrong = max(rows(data / "metadata.jsonl"), key=lambda each: each["disagreement"])
    assert (worst.key, worst.disagreement, worst.lacking, worst.surplus, worst.contour) == (
        wrong["key"],
        *(wrong[column] for column in COLUMNS),
    )


def test_a_map_of_another_size_is_told_with_both_sizes_width_first(data, tmp_path):
    write_file(tmp_path / "maps/s2.png", encode_png(np.zeros((4, 6), np.uint16)))
    (message,) = rank_labels(data, tmp_path / "maps").report.failures
    assert f"{tmp_path}/maps/s2.png has 6 x 4 pixels, {data}/masks/s2.png 80 x 60" in message


@pytest.mark.parametrize("name", [None, "", 5, "../maps/s1.png"])
def test_names_of_maps_and_masks_that_are_none_are_told_and_the_others_go_on(data, tmp_path, name):
    lines = [
        {"key": f"s{number}", "probability_file_name": name if number == 1 else f"s{number}.png"} for number in range(6)
    ]
    (tmp_path / "maps/metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Dataset(data).rewrite(
        {**row, "mask_file_name": name} if row["key"] == "s4" else row for row in list(Dataset(data).rows())
    )
    assert rank_labels(data, tmp_path / "maps").report.done == 4
    codes = {row["key"]: row["code"] for row in rows(data / "outcomes.jsonl")}
    assert codes["s1"] == "no-prediction"
    assert codes["s4"] == ("unsafe-name" if name and name != 5 else "no-mask")


def test_pixels_of_the_void_value_count_nowhere(data, tmp_path):
    mask = mask_of(3).astype(np.uint8)
    mask[30:][mask[30:] == 1] = 7
    write_file(data / "masks/s3.png", encode_png(mask))
    void = rank_labels(data, tmp_path / "maps", void=7)
    assert {each.key: each.disagreement for each in void.worst}["s3"] == 0
    assert void.report.done == 6


def test_a_second_run_does_what_has_changed(data, tmp_path):
    rank_labels(data, tmp_path / "maps")
    before = times(data)
    assert rank_labels(data, tmp_path / "maps").report.reused == 6
    assert times(data) == before
    write_file(data / "masks" / "s3.png", encode_png(mask_of(3)))
    ranking = rank_labels(data, tmp_path / "maps")
    assert (ranking.report.done, ranking.report.reused) == (1, 5)
    assert ranking.worst[0].disagreement == 0


def test_workers_give_the_same_bytes(data, tmp_path):
    first = rank_labels(data, tmp_path / "maps")
    once = tree(data)
    (data / "metadata.jsonl").write_text(
        "".join(json.dumps({"key": f"s{n}", "mask_file_name": f"masks/s{n}.png"}) + "\n" for n in range(6))
    )
    assert rank_labels(data, tmp_path / "maps", engine=Processes(2)).worst == first.worst
    assert tree(data) == once


def test_samples_without_mask_or_map_fail_and_keep_their_rows(data, tmp_path):
    (tmp_path / "maps" / "s1.png").unlink()
    write_file(tmp_path / "maps" / "s2.png", encode_png(np.zeros((4, 4), np.uint16)))
    Dataset(data).rewrite(
        {**row, "mask_file_name": None} if row["key"] == "s4" else row for row in list(Dataset(data).rows())
    )
    ranking = rank_labels(data, tmp_path / "maps")
    assert (ranking.report.done, ranking.report.failed) == (3, 3)
    codes = {row["key"]: row["code"] for row in rows(data / "outcomes.jsonl")}
    assert codes == {"s1": "no-prediction", "s2": "size-mismatch", "s4": "no-mask"}
    assert len(rows(data / "metadata.jsonl")) == 6


def test_predictions_without_probabilities_or_of_other_photos_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="annotate --probabilities"):
        rank_labels(data, data)
    write_file(tmp_path / "others" / "x.png", encode_png(np.zeros((4, 4), np.uint16)))
    with pytest.raises(InputError, match="of any sample"):
        rank_labels(data, tmp_path / "others")
    with pytest.raises(InputError, match="give 1 or more"):
        rank_labels(data, tmp_path / "maps", count=0)
    assert "disagreement" not in rows(data / "metadata.jsonl")[0]


def test_the_bundled_model_finds_planted_faults_among_real_photos(shared_data, tmp_path):
    parts = shared_data / "ccp"
    keys = sorted(path.stem for path in (parts / "parts").glob("*.png"))[:12]
    for key in keys:
        for folder, suffix in (("photos", ".jpg"), ("parts", ".png")):
            write_file(tmp_path / folder / f"{key}{suffix}", (parts / folder / f"{key}{suffix}").read_bytes())
    merge_parts(tmp_path / "parts", images=tmp_path / "photos", out=tmp_path / "data")
    path = tmp_path / "data" / "masks" / f"{keys[5]}.png"
    mask, _ = decode_mask(path.read_bytes())
    mask[: mask.shape[0] // 3] = False
    write_file(path, encode_png(mask))
    annotate(tmp_path / "data", out=tmp_path / "preds", who="dominant", probabilities=True)
    assert rank_labels(tmp_path / "data", tmp_path / "preds").worst[0].key == keys[5]
