"""Predictions for crops come back at the photo's size: there what was predicted, elsewhere 0."""

import json

import numpy as np
import pytest
from people import merged_people
from running import rows, segdata, times, tree

from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.ops.crop import crop
from segdata.ops.uncrop import uncrop
from segdata.pixels import decode_labels, encode_png


@pytest.fixture(scope="module", params=["include", "ignore"])
def people(request, shared_data, tmp_path_factory):
    """Sixteen COCO photos, their crowds as persons or as pixels to ignore, and their crops."""
    folder = tmp_path_factory.mktemp("people")
    data = merged_people(shared_data, folder, 16, crowd=request.param)
    crop(data, out=folder / "crops")
    return data, folder / "crops"


def crops_of(folder, *boxes, key="photo", size=(40, 30)):
    """What `crop` says of crops of one photo, without the crops themselves."""
    folder.mkdir()
    lines = [
        {"key": f"{key}-{number}", "crop": box, "crop_of": key, "crop_of_size": size}
        for number, box in enumerate(boxes)
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def written(folder, key="photo"):
    return decode_labels((folder / f"{key}.png").read_bytes())


def predict(folder, *arrays):
    for number, array in enumerate(arrays):
        write_file(folder / f"photo-{number}.png", encode_png(array))
    return folder


def test_cropped_masks_come_back_as_the_original_inside_the_crops_and_0_outside(people, tmp_path):
    data, crops = people
    boxes = {}
    for row in rows(crops / "metadata.jsonl"):
        boxes.setdefault(row["crop_of"], []).append(row["crop"])
    assert uncrop(crops, crops, out=tmp_path / "full").done == len(boxes) > 8
    for key, cuts in boxes.items():
        original = decode_labels((data / "masks" / f"{key}.png").read_bytes())
        inside = np.zeros(original.shape, bool)
        for x0, y0, x1, y1 in cuts:
            inside[y0:y1, x0:x1] = True
        back = written(tmp_path / "full", key)
        assert back.dtype == original.dtype
        assert np.array_equal(back, np.where(inside, original, 0))


def test_a_plain_folder_of_predictions_does_as_well(people, tmp_path):
    _, crops = people
    uncrop(crops, crops, out=tmp_path / "a")
    uncrop(crops / "masks", crops, out=tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize(
    "array",
    [
        np.eye(10, 20, dtype=bool),
        np.eye(10, 20, dtype=np.uint8),
        np.arange(200, dtype=np.uint8).reshape(10, 20),
        np.arange(200, dtype=np.uint16).reshape(10, 20) * 300,
        np.zeros((10, 20), np.uint16),
        np.full((10, 20), 128, np.uint8),
    ],
)
def test_values_and_depth_are_kept_whatever_the_map_holds(tmp_path, array):
    crops = crops_of(tmp_path / "crops", (5, 6, 25, 16))
    uncrop(predict(tmp_path / "preds", array), crops, out=tmp_path / "full")
    expected = np.zeros((30, 40), array.dtype)
    expected[6:16, 5:25] = array
    back = written(tmp_path / "full")
    assert np.array_equal(back, expected)
    assert (tmp_path / "full" / "photo.png").read_bytes()[24] == {1: 1, 8: 8, 16: 16}[
        1 if array.dtype == bool else 8 * array.itemsize
    ]


def test_where_crops_overlap_the_highest_value_counts(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10), (10, 0, 30, 10))
    low, high = np.full((10, 20), 90, np.uint8), np.full((10, 20), 200, np.uint8)
    low[0, 0], high[0, 0] = 91, 10
    uncrop(predict(tmp_path / "preds", low, high), crops, out=tmp_path / "full")
    assert written(tmp_path / "full")[0, [0, 5, 10, 15, 29, 31]].tolist() == [91, 90, 90, 200, 200, 0]


def test_predictions_of_several_depths_are_brought_to_the_highest(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 10, 10), (10, 0, 20, 10), (20, 0, 30, 10))
    bits, deep = np.ones((10, 10), bool), np.full((10, 10), 40000, np.uint16)
    uncrop(predict(tmp_path / "preds", bits, np.full((10, 10), 255, np.uint8), deep), crops, out=tmp_path / "full")
    assert written(tmp_path / "full")[0, [0, 10, 20, 30]].tolist() == [65535, 65535, 40000, 0]


def test_predictions_of_another_size_are_scaled_to_the_crop(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10), (20, 0, 40, 10))
    mask = np.zeros((20, 40), np.uint8)
    mask[:, :20], mask[10:, 30:] = 1, 255
    ramp = np.tile(np.arange(0, 200, 5, dtype=np.uint8), (20, 1))
    uncrop(predict(tmp_path / "preds", mask, ramp), crops, out=tmp_path / "full")
    back = written(tmp_path / "full")
    assert (back[:5, :10] == 1).all()
    assert (back[6:10, 15:20] == 255).all()
    assert set(np.unique(back[:, :20])) == {0, 1, 255}  # labels are not mixed
    assert (np.diff(back[0, 20:].astype(int)) > 0).all()


def test_a_photo_without_all_its_predictions_fails(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10), (20, 0, 40, 10))
    done = segdata("uncrop", predict(tmp_path / "preds", np.eye(10, 20, dtype=bool)), crops, "--out", tmp_path / "full")
    assert done.returncode == 1
    assert "there is no prediction for photo-1, a crop of photo" in done.stderr
    assert rows(tmp_path / "full" / "outcomes.jsonl")[0]["code"] == "missing-file"


def test_a_changed_prediction_or_photo_size_is_pasted_again_and_nothing_else(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10))
    preds = predict(tmp_path / "preds", np.eye(10, 20, dtype=bool))
    uncrop(preds, crops, out=tmp_path / "full")
    before = times(tmp_path / "full")
    assert uncrop(preds, crops, out=tmp_path / "full").reused == 1
    assert times(tmp_path / "full") == before
    predict(preds, np.ones((10, 20), bool))
    assert uncrop(preds, crops, out=tmp_path / "full").done == 1
    metadata = crops / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace("[40, 30]", "[50, 30]"))
    assert uncrop(preds, crops, out=tmp_path / "full").done == 1
    assert written(tmp_path / "full").shape == (30, 50)


@pytest.mark.parametrize("column", ['"crop_of": "../photo"', '"crop_of": 3', '"note": "no crop"'])
def test_only_what_crop_wrote_tells_the_way_back(tmp_path, column):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10))
    metadata = crops / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace('"crop_of": "photo"', column))
    preds = predict(tmp_path / "preds", np.eye(10, 20, dtype=bool))
    with pytest.raises(InputError, match=r"photo-0 of .* is no crop: give the data set that segdata crop wrote"):
        uncrop(preds, crops, out=tmp_path / "full")
    assert not (tmp_path / "full").exists()


def test_keys_with_folders_keep_them(tmp_path):
    crops = crops_of(tmp_path / "crops", (0, 0, 20, 10), key="shoot 1/a")
    write_file(tmp_path / "preds" / "shoot 1" / "a-0.png", encode_png(np.eye(10, 20, dtype=bool)))
    assert uncrop(tmp_path / "preds", crops, out=tmp_path / "full").done == 1
    assert written(tmp_path / "full", "shoot 1/a").sum() == 10


def test_two_workers_write_the_same_bytes(people, tmp_path):
    _, crops = people
    uncrop(crops, crops, out=tmp_path / "one")
    uncrop(crops, crops, out=tmp_path / "two", engine=Processes(2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
