"""`stats` says what a data set holds, in one pass, whatever its rows are like."""

from array import array

import numpy as np
import pytest
from people import merged_people
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from running import rows

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.quality.stats import GRID, NOT_STATED, distribution, heat_picture, stats


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("stats"), 20)
    dataset = Dataset(data)
    names = ("val", "train", None)
    dataset.rewrite({**row, "split": names[number % 3]} for number, row in enumerate(list(dataset.rows())))
    return data


def made(folder, masks, **columns):
    """Write a data set of masks alone."""
    lines = []
    for number, mask in enumerate(masks):
        write_file(folder / "masks" / f"m{number}.png", encode_png(mask))
        row = {"key": f"m{number}", "mask_file_name": f"masks/m{number}.png", "width": 80, "height": 40}
        lines.append(row | columns)
    write_file(folder / "metadata.jsonl", b"")
    Dataset(folder).rewrite(iter(lines))
    return folder


def test_a_real_data_set_is_counted_right(people):
    found = stats(people)
    every = rows(people / "metadata.jsonl")
    persons = [person for row in every for person in row["persons"]]
    assert (found.samples, found.photos, found.masks, found.failed) == (20, 20, 20, 0)
    assert found.persons == sum(not person["crowd"] for person in persons)
    assert found.crowds == sum(person["crowd"] for person in persons)
    assert found.distributions["width"].median == np.median([row["width"] for row in every])
    shares = [decode_mask((people / row["mask_file_name"]).read_bytes())[0].mean() for row in every]
    assert found.distributions["mask_share"].mean == pytest.approx(np.mean(shares), abs=1e-6)
    assert found.distributions["mask_share"].p95 == pytest.approx(np.quantile(shares, 0.95), abs=1e-6)
    assert list(found.counts["split"].items()) == [("train", 7), ("val", 7), (NOT_STATED, 6)]
    assert set(found.counts["licence"]) <= {"CC BY 2.0", "CC BY-SA 2.0", "no known copyright restrictions"}
    labelled = [person["keypoints"] for person in persons if person["keypoints"] and not person["crowd"]]
    labelled = [points for points in labelled if any(seen for _, _, seen in points)]
    nose = found.keypoints["nose"]
    assert nose.visible == sum(points[0][2] == 2 for points in labelled)
    assert nose.visible + nose.hidden + nose.unlabelled == len(labelled)
    assert found.distributions["visible_keypoints"].count == len(labelled)


def test_workers_change_nothing(people):
    assert stats(people, engine=Processes(2)) == stats(people)


def test_a_quick_look_reads_no_files(people, tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes((people / "metadata.jsonl").read_bytes())
    quick = stats(tmp_path, quick=True)
    assert (quick.failed, quick.heat_map) == (0, None)
    assert quick.distributions["width"] == stats(people).distributions["width"]
    assert "mask_share" not in quick.distributions


def test_the_heat_map_is_the_share_of_masks_with_a_person_at_each_place(tmp_path):
    left, right, nobody = (np.zeros((40, 80), bool) for _ in range(3))
    left[:, :40], right[:, 40:] = True, True
    found = stats(made(tmp_path, [left, left, left, right, nobody]))
    assert found.empty_masks == 1
    heat = np.array(found.heat_map)
    assert heat.shape == (GRID, GRID)
    assert (heat[:, : GRID // 2] == 0.75).all()
    assert (heat[:, GRID // 2 :] == 0.25).all()
    assert found.distributions["mask_share"].min == 0


def test_void_pixels_are_left_out_of_shares(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:10], mask[10:20] = 1, 255
    assert stats(made(tmp_path, [mask])).distributions["mask_share"].mean == pytest.approx(1 / 3, abs=1e-6)


def test_a_plain_folder_has_its_photos_sizes(tmp_path):
    for name, shape in (("a", (10, 40, 3)), ("b", (30, 20, 3))):
        write_file(tmp_path / f"{name}.png", encode_photo(np.zeros(shape, np.uint8), ".png"))
    found = stats(tmp_path)
    assert (found.distributions["width"].min, found.distributions["width"].max) == (20, 40)
    assert (found.masks, found.heat_map, found.counts) == (0, None, {})


def test_what_cannot_be_read_is_told_and_the_rest_is_counted(tmp_path):
    data = made(tmp_path, [np.ones((40, 80), bool)] * 4, domain=["odd"], split=7)
    (data / "masks" / "m0.png").write_bytes(b"none")
    lines = list(Dataset(data).rows())
    lines[1] |= {"persons": [{"box": [1]}]}
    lines[2] |= {"mask_file_name": "../m.png", "width": "wide"}
    Dataset(data).rewrite(iter(lines))
    found = stats(data)
    assert (found.samples, found.failed) == (4, 3)
    assert {failure.key: failure.code for failure in found.failures} == {
        "m0": "unreadable-image",
        "m1": "bad-row",
        "m2": "unsafe-name",
    }
    assert found.distributions["mask_share"].count == 1
    assert found.counts["split"] == {"7": 4}


def test_a_column_of_very_many_values_does_not_fill_the_memory(tmp_path):
    data = made(tmp_path, [np.ones((4, 8), bool)])
    row = next(Dataset(data).rows())
    Dataset(data).rewrite(row | {"source": f"s{number}", "mask_file_name": None} for number in range(300))
    counts = stats(data).counts["source"]
    assert len(counts) == 201
    assert counts["others"] == 100


def test_quantiles_lie_between_neighbours_as_numpy_has_them():
    values = np.random.default_rng(0).random(101)
    found = distribution(array("d", values))
    assert found.p25 == pytest.approx(np.quantile(values, 0.25), abs=1e-6)
    assert distribution(array("d", [3.0])).max == 3.0


@pytest.mark.parametrize("values", [[3.0], [1, 2, 2, 5], [0.1, 0.2, 7.5], [4, 4, 4], list(range(200))])
def test_a_histogram_counts_every_value_once_and_whole_numbers_in_bins_of_their_own(values):
    found = distribution(array("d", values)).histogram
    assert len(found.edges) == len(found.counts) + 1
    assert found.edges == sorted(set(found.edges))
    assert sum(found.counts) == len(values)
    if values in ([0.1, 0.2, 7.5], list(range(200))):
        assert len(found.counts) == 30
    if values == [1, 2, 2, 5]:
        assert (found.edges, found.counts) == ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], [1, 2, 0, 0, 1])


def test_the_heat_map_is_drawn_and_only_such_a_picture_is_replaced(tmp_path):
    data = made(tmp_path / "data", [np.ones((40, 80), bool)])
    for _ in range(2):
        stats(data, heat_map=tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as image:
        assert image.size == (512, 512)
    with pytest.raises(InputError, match="something else than a heat map"):
        stats(data, heat_map=data / "masks" / "m0.png")
    drawn = PngInfo()
    drawn.add_text("Software", "Another program")
    Image.new("L", (2, 2)).save(tmp_path / "drawing.png", pnginfo=drawn)
    with pytest.raises(InputError, match="something else than a heat map"):
        stats(data, heat_map=tmp_path / "drawing.png")
    assert heat_picture([[0.0, 0.0]]).shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heat_map": "a.txt"}, "ends with .png"),
        ({"heat_map": "a.png", "quick": True}, "leave --quick"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        stats(made(tmp_path, [np.ones((4, 8), bool)]), **settings)
    (tmp_path / "metadata.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="no sample"):
        stats(tmp_path)
