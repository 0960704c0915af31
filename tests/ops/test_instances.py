"""Every person of a data set gets an outline, and the annotated ones keep theirs."""

import colorsys
import io
import json

import numpy as np
import pytest
from people import count_poses, no_mediapipe
from PIL import Image
from running import rows, times, tree

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.masks import mask_to_rle, rle_to_mask
from segdata.ops.instances import Instances, Settings, encode_instances, instances
from segdata.pixels import decode_labels, encode_photo, encode_png

SIZE = (40, 80)
LEFT, RIGHT = [0, 0, 50, 40], [30, 0, 50, 40]


def outline(columns):
    mask = np.zeros(SIZE, bool)
    mask[:, columns] = True
    rle = mask_to_rle(mask)
    return {"size": list(rle.size), "counts": rle.counts}


def write_rows(data, lines):
    (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def data(tmp_path):
    """Two photos of a red person beside a blue one: with overlapping boxes, and apart with no one annotated."""
    image = np.full((*SIZE, 3), (200, 40, 40), np.uint8)
    image[:, 40:] = (40, 40, 200)
    apart = np.ones(SIZE, bool)
    apart[:, 30:50] = False
    lines = []
    for key, mask in (("boxes", np.ones(SIZE, bool)), ("apart", apart)):
        write_file(tmp_path / "images" / f"{key}.png", encode_photo(image, ".png"))
        write_file(tmp_path / "masks" / f"{key}.png", encode_png(mask))
        row = {"key": key, "file_name": f"images/{key}.png", "mask_file_name": f"masks/{key}.png"}
        lines.append({**row, "width": 80, "height": 40, "note": "mine"})
    lines[0]["persons"] = [{"id": 7, "box": LEFT}, {"id": 8, "box": RIGHT, "area": 5.0}]
    write_rows(tmp_path, lines)
    return tmp_path


def labels_of(data, key):
    return decode_labels((data / "instances" / f"{key}.png").read_bytes())


def test_persons_with_boxes_get_outlines_and_the_labels_are_their_places(data):
    assert instances(data).done == 2
    sample = next(iter(Dataset(data)))
    labels = labels_of(data, "boxes")
    assert ((labels == 2) == (np.arange(80) >= 40)).mean() > 0.95
    for number, person in enumerate(sample.persons, start=1):
        assert np.array_equal(rle_to_mask(person.rle), labels == number)
        assert person.area == (labels == number).sum()
    row = rows(data / "metadata.jsonl")[0]
    assert row["instances_file_name"] == "instances/boxes.png"
    assert row["note"] == "mine"
    assert [person["estimated"] for person in row["persons"]] == ["outline", "outline"]
    assert [person["box"] for person in row["persons"]] == [LEFT, RIGHT]


def test_regions_are_persons_where_none_is_annotated(data):
    instances(data)
    persons = list(Dataset(data))[1].persons
    assert [person.box for person in persons] == [(0, 0, 30, 40), (50, 0, 30, 40)]
    assert (labels_of(data, "apart")[0, [0, 40, 79]] == [1, 0, 2]).all()


def test_without_boxes_nobody_is_found_and_the_photo_counts(data):
    report = instances(data, boxes="annotations")
    assert report.notes == {"without persons": 1}
    assert rows(data / "metadata.jsonl")[1]["persons"] == []


def test_a_pose_gives_a_person_where_none_is_annotated(data, monkeypatch):
    detector = count_poses(monkeypatch)
    instances(data, boxes="pose")
    assert detector.calls == 1
    row = rows(data / "metadata.jsonl")[1]
    assert row["poses"]["found"][0]["box"] == row["persons"][0]["box"]
    assert row["persons"][0]["estimated"] == "person"
    instances(data, boxes="pose", void=255)
    assert detector.calls == 1  # the pose is kept


def test_without_mediapipe_nothing_is_begun_where_someone_is_to_be_looked_for(data, monkeypatch):
    no_mediapipe(monkeypatch)
    before = tree(data)
    with pytest.raises(InputError, match="mediapipe"):
        instances(data, boxes="pose")
    assert tree(data) == before
    lines = rows(data / "metadata.jsonl")
    write_rows(data, lines[:1])
    assert instances(data, boxes="pose").done == 1, "of this photo the persons are annotated"
    write_rows(data, lines[1:])
    assert instances(data, boxes="mask").done == 1


def test_the_pose_of_an_earlier_run_is_taken_though_the_row_has_lost_it(data, monkeypatch):
    detector = count_poses(monkeypatch)
    instances(data, boxes="pose")
    before = rows(data / "metadata.jsonl")[1]
    given = {name: value for name, value in before.items() if name not in ("poses", "persons")}
    work = Instances(str(data), str(data), Settings("pose", 255))
    monkeypatch.setattr("segdata.ops.poses._latest", {})
    assert work("apart", given, before).row["poses"] == before["poses"]
    assert detector.calls == 1
    assert work("apart", given, None).row["poses"]["photo"] == before["poses"]["photo"]
    assert detector.calls == 2


def test_keypoints_give_a_box_where_there_is_none(data):
    lines = rows(data / "metadata.jsonl")
    points = [[0, 0, 0]] * 17
    points[5], points[12] = [10, 10, 2], [30, 30, 2]
    lines[0]["persons"] = [{"keypoints": points}, {"keypoints": [[0, 0, 0]] * 17}]
    write_rows(data, lines)
    assert instances(data).done == 2
    first, second = rows(data / "metadata.jsonl")[0]["persons"]
    assert (first["estimated"], first["box"]) == ("box", [8, 8, 24, 24])
    assert "rle" not in second
    assert instances(data).reused == 2


def test_annotated_outlines_and_crowds_stay_and_keep_their_pixels(data):
    lines = rows(data / "metadata.jsonl")
    lines[0]["persons"] = [
        {"box": LEFT},
        {"box": RIGHT, "rle": outline(slice(20, 80))},
        {"box": RIGHT, "rle": outline(slice(60, 70))},
        {"box": LEFT, "rle": outline(slice(5)), "crowd": True},
    ]
    write_rows(data, lines)
    instances(data)
    persons = rows(data / "metadata.jsonl")[0]["persons"]
    assert persons[1:] == lines[0]["persons"][1:]
    expected = np.repeat([0, 1, 2, 3, 2], [5, 15, 40, 10, 10])  # the smaller person on top, the crowd no one's
    assert (labels_of(data, "boxes") == expected).all()


def test_a_person_behind_others_gets_no_pixel_and_the_photo_counts(data):
    lines = rows(data / "metadata.jsonl")
    lines[0]["persons"] = [{"box": LEFT}, {"box": LEFT, "rle": outline(slice(80))}]
    write_rows(data, lines)
    assert instances(data).notes == {"with persons without pixels": 1}
    assert rows(data / "metadata.jsonl")[0]["persons"][0]["area"] == 0
    assert instances(data).notes == {"with persons without pixels": 1}


def test_void_pixels_are_no_ones(data):
    mask = np.full(SIZE, 1, np.uint8)
    mask[:, :20] = 255
    write_file(data / "masks" / "boxes.png", encode_png(mask))
    instances(data, void=255)
    labels = labels_of(data, "boxes")
    assert not labels[:, :20].any()
    assert labels[:, 20:].all()


def test_a_second_run_touches_nothing_and_a_new_mask_is_shared_anew(data):
    instances(data)
    before, whole = times(data), tree(data)
    assert instances(data).reused == 2
    assert times(data) == before
    (data / "instances" / "boxes.png").unlink()
    assert instances(data).done == 1
    assert tree(data) == whole
    mask = np.ones(SIZE, bool)
    mask[:, :10] = False
    write_file(data / "masks" / "boxes.png", encode_png(mask))
    report = instances(data)
    assert (report.done, report.reused) == (1, 1)
    assert not labels_of(data, "boxes")[:, :10].any()


def test_a_moved_box_is_shared_anew(data):
    instances(data)
    lines = rows(data / "metadata.jsonl")
    lines[0]["persons"][1]["box"] = [60, 0, 20, 40]
    write_rows(data, lines)
    assert instances(data).done == 1
    assert (labels_of(data, "boxes")[:, 60:] == 2).all()
    assert (labels_of(data, "boxes")[:, :50] == 1).all()


def test_two_workers_write_the_same_bytes(data):
    instances(data)
    whole = tree(data)
    for path in (data / "instances").iterdir():
        path.unlink()
    instances(data, engine=Processes(2))
    assert tree(data) == whole


def test_rows_that_lack_something_say_what(data):
    lines = rows(data / "metadata.jsonl")
    del lines[0]["mask_file_name"]
    del lines[1]["file_name"]
    wrong = {**rows(data / "metadata.jsonl")[1], "key": "wrong"}
    wrong["persons"] = [{"rle": {"size": [2, 2], "counts": "04"}}]
    write_rows(data, [*lines, wrong])
    assert instances(data).failed == 3
    codes = [row["code"] for row in rows(data / "outcomes.jsonl")]
    assert codes == ["no-mask", "no-photo", "size-mismatch"]


def test_a_bad_box_is_told_with_its_key(data):
    lines = rows(data / "metadata.jsonl")
    lines[0]["persons"][0]["box"] = [0, 0, -5, 40]
    write_rows(data, lines)
    assert instances(data).failed == 1
    assert rows(data / "outcomes.jsonl")[-1]["message"].startswith(f"boxes of {data}: a box is not")


def test_more_than_255_persons_take_16_bits():
    labels = np.arange(300, dtype=np.int32)[None]
    assert np.array_equal(decode_labels(encode_instances(labels)), labels)


def test_numbers_up_to_255_are_places_in_a_palette_of_hues_a_golden_angle_apart():
    for most, mode in ((255, "P"), (256, "I;16")):
        file = io.BytesIO(encode_instances(np.array([[0, most]], np.int32)))
        with Image.open(file) as opened:
            assert (opened.mode if mode == "P" else opened.mode[:4]) == mode
    with Image.open(io.BytesIO(encode_instances(np.array([[0, 255]], np.int32)))) as opened:
        palette = np.reshape(opened.getpalette(), (256, 3))
    assert palette[0].tolist() == [0, 0, 0]
    for number, colour in enumerate(palette[1:]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(colour / 255))
        assert abs((hue - 0.618 * number + 0.5) % 1 - 0.5) < 0.01
        assert saturation == pytest.approx(190 / 255, abs=0.01)
        assert value == (255 - 64 * (number // 8 % 3)) / 255


def test_regions_of_less_than_a_thousandth_of_the_photo_are_no_persons(tmp_path):
    mask = np.zeros((100, 60), bool)  # 6,000 pixels
    mask[0, :5], mask[10, :6], mask[20:22, :9] = True, True, True
    write_file(tmp_path / "images/a.png", encode_photo(np.zeros((100, 60, 3), np.uint8), ".png"))
    write_file(tmp_path / "masks/a.png", encode_png(mask))
    write_rows(tmp_path, [{"key": "a", "file_name": "images/a.png", "mask_file_name": "masks/a.png"}])
    instances(tmp_path)
    (row,) = rows(tmp_path / "metadata.jsonl")
    assert [person["box"] for person in row["persons"]] == [[0, 20, 9, 2], [0, 10, 6, 1]]
    assert [person["area"] for person in row["persons"]] == [18, 6]


def test_unknown_sources_of_boxes_are_refused(data):
    with pytest.raises(InputError, match="annotations, pose, mask"):
        instances(data, boxes="guess")
    with pytest.raises(InputError, match="is not a data set"):
        instances(data / "images")
