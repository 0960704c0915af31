"""Every photo of a data set gets a saliency map, from annotated keypoints or from poses that are looked for once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from people import change_rows, count_poses, merged_people, no_mediapipe
from running import ENV, rows, segdata, times, tree

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.ops.saliency import saliency
from segdata.ops.saliency_map import saliency_map
from segdata.pixels import decode_image, decode_labels, encode_photo


@pytest.fixture(scope="module")
def merged(shared_data, tmp_path_factory):
    return merged_people(shared_data, tmp_path_factory.mktemp("merged"), 8)


@pytest.fixture
def data(merged, tmp_path):
    return shutil.copytree(merged, tmp_path / "data")


@pytest.fixture
def photos(tmp_path):
    """A plain folder of two photos without anything on them, one of them in a folder."""
    for key, width in (("a", 60), ("b/c", 40)):
        write_file(tmp_path / "photos" / f"{key}.png", encode_photo(np.zeros((50, width, 3), np.uint8), ".png"))
    return tmp_path / "photos"


def poses_again(monkeypatch):
    """Forget the photo that was looked at last, as another process would."""
    monkeypatch.setattr("segdata.ops.poses._latest", {})


@pytest.mark.parametrize(("bits", "full"), [(16, 65535), (8, 255)])
def test_maps_are_made_from_the_annotated_keypoints(data, bits, full):
    assert saliency(data, bits=bits, keypoints="annotations").done == 8
    for sample in Dataset(data):
        points = [person.keypoints for person in sample.persons if person.keypoints and not person.crowd]
        expected = np.rint(saliency_map(points, (sample.height, sample.width)) * full)
        assert sample.saliency_file_name == f"saliency/{sample.key}.png"
        written = decode_labels((data / sample.saliency_file_name).read_bytes())
        assert np.array_equal(written, expected)
        assert written.max() == full


def test_the_other_columns_and_files_stay_as_they_are(data, merged):
    saliency(data, keypoints="annotations")
    assert tree(merged).keys() - tree(data).keys() == set()
    for row, old in zip(rows(data / "metadata.jsonl"), rows(merged / "metadata.jsonl"), strict=True):
        assert row.pop("saliency_file_name")
        assert row.pop("fingerprints").items() > old.pop("fingerprints").items()
        assert row == old


def test_a_photo_without_keypoints_gets_a_map_of_zeros_and_is_counted(data):
    change_rows(data, persons=[])
    report = saliency(data)
    assert (report.done, report.notes) == (8, {"without keypoints": 8})
    assert not any(decode_labels(path.read_bytes()).any() for path in (data / "saliency").iterdir())
    assert saliency(data).notes == report.notes


def test_a_second_run_touches_nothing(data):
    saliency(data, keypoints="annotations", preview=True)
    before = times(data)
    assert saliency(data, keypoints="annotations", preview=True).reused == 8
    assert times(data) == before


def test_a_missing_map_or_preview_is_made_again(data):
    saliency(data, keypoints="annotations", preview=True)
    whole = tree(data)
    first, second, *_ = sorted(path.stem for path in (data / "saliency").iterdir())
    (data / "saliency" / f"{first}.png").unlink()
    (data / "preview" / f"{second}.jpg").unlink()
    assert saliency(data, keypoints="annotations", preview=True).done == 2
    assert tree(data) == whole


def test_previews_have_the_photos_size_three_times_side_by_side(data):
    saliency(data, keypoints="annotations", preview=True)
    sample = next(iter(Dataset(data)))
    preview = decode_image((data / "preview" / f"{sample.key}.jpg").read_bytes())
    assert preview.shape == (sample.height, 3 * sample.width, 3)


def test_changed_keypoints_change_the_map(data):
    saliency(data, keypoints="annotations")
    lines = rows(data / "metadata.jsonl")
    lines[0]["persons"][0]["keypoints"] = [[20 + 9 * number, 30 + 7 * number, 2] for number in range(17)]
    (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert saliency(data, keypoints="annotations").done == 1


# Detected poses


def test_a_pose_is_looked_for_once_whatever_else_changes(photos, tmp_path, monkeypatch):
    detector = count_poses(monkeypatch)
    assert saliency(photos, out=tmp_path / "maps").done == 2
    for options in ({"bits": 8}, {"preview": True}, {"keypoints": "pose"}):
        poses_again(monkeypatch)
        assert saliency(photos, out=tmp_path / "maps", **options).done == 2
    assert detector.calls == 2
    write_file(photos / "a.png", encode_photo(np.ones((50, 60, 3), np.uint8), ".png"))
    assert saliency(photos, out=tmp_path / "maps", keypoints="pose").done == 1
    assert detector.calls == 3


def test_poses_are_kept_in_the_row_of_the_photo(data, monkeypatch):
    detector = count_poses(monkeypatch)
    saliency(data, keypoints="pose")
    poses_again(monkeypatch)
    saliency(data, keypoints="annotations")
    saliency(data, keypoints="pose")
    assert detector.calls == 8
    assert {row["poses"]["detector"] for row in rows(data / "metadata.jsonl")} == {"blazepose"}


def test_only_photos_whose_persons_are_unknown_are_looked_at_unasked(data, monkeypatch):
    detector = count_poses(monkeypatch)
    lines = rows(data / "metadata.jsonl")
    lines[1]["persons"] = []
    lines[2]["persons"] = [{"box": [0, 0, 9, 9]}]
    del lines[3]["persons"]
    (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = saliency(data)
    assert (detector.calls, report.notes) == (2, {"without keypoints": 1})


def test_without_mediapipe_nothing_is_begun_unless_no_photo_needs_it(data, photos, tmp_path, monkeypatch):
    count_poses(monkeypatch)
    saliency(photos, out=tmp_path / "maps")
    monkeypatch.undo()
    no_mediapipe(monkeypatch)
    assert saliency(data).done == 8
    before = times(data)
    with pytest.raises(InputError, match=r"not installed: pip install 'segdata\[detect\]'"):
        saliency(data, keypoints="pose")
    with pytest.raises(InputError, match="not installed"):
        saliency(photos, out=tmp_path / "new")
    assert times(data) == before
    assert not (tmp_path / "new").exists()


def test_without_mediapipe_the_command_ends_with_status_2_and_one_sentence(photos, tmp_path):
    code = "import sys; sys.modules['mediapipe'] = None; from segdata.cli.main import main; main()"
    arguments = ("saliency", str(photos), "--out", str(tmp_path / "maps"))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=ENV, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "is not installed: pip install" in done.stderr


def test_a_data_set_with_poses_needs_no_mediapipe(data, monkeypatch):
    count_poses(monkeypatch)
    saliency(data, keypoints="pose")
    monkeypatch.undo()
    no_mediapipe(monkeypatch)
    poses_again(monkeypatch)
    assert saliency(data, keypoints="pose", bits=8).done == 8


def test_real_poses_make_maps_that_lie_on_the_person(shared_data, tmp_path):
    pytest.importorskip("mediapipe")
    for name in ("0001", "0004", "0005"):
        write_file(tmp_path / "photos" / f"{name}.jpg", (shared_data / "ccp" / "photos" / f"{name}.jpg").read_bytes())
    assert saliency(tmp_path / "photos", out=tmp_path / "maps").notes == {}
    for name in ("0001", "0004", "0005"):
        person = decode_labels((shared_data / "ccp" / "parts" / f"{name}.png").read_bytes()) != 0
        saliency_of = decode_labels((tmp_path / "maps" / f"{name}.png").read_bytes())
        assert saliency_of[person].mean() > 5 * saliency_of[~person].mean()


def test_odd_photos_get_maps_or_are_rows_with_a_reason(shared_data, tmp_path):
    pytest.importorskip("mediapipe")
    photos = tmp_path / "photos"
    for name in (
        "sharp_truncated.jpg",
        "sharp_corrupt-header.jpg",
        "pil_sample_cmyk.jpg",
        "p_16.png",
        "hopper_gray.jpg",
    ):
        write_file(photos / name, (shared_data / "odd_images" / name).read_bytes())
    for turn in range(2, 9):
        name = f"hopper_orientation_{turn}.jpg"
        write_file(photos / name, (shared_data / "odd_images" / name).read_bytes())
    done = segdata("saliency", photos, "--out", tmp_path / "maps", "--workers", 1)
    assert done.returncode == 1, done.stderr
    codes = {row["key"]: row["code"] for row in rows(tmp_path / "maps" / "outcomes.jsonl")}
    assert set(codes.values()) == {"unreadable-image"}
    assert {"sharp_truncated"} <= set(codes) <= {"sharp_truncated", "sharp_corrupt-header"}
    upright = [decode_labels(path.read_bytes()) for path in sorted((tmp_path / "maps").glob("hopper_orientation*"))]
    assert len({array.shape for array in upright}) == 1


# Elsewhere, wrongly


def test_two_workers_write_the_same_bytes(merged, tmp_path):
    one, two = (shutil.copytree(merged, tmp_path / name) for name in ("one", "two"))
    names = [path.name for path in (one / "images").iterdir()]
    for data in (one, two):  # more than one batch
        for name in names:
            for copy in range(3):
                shutil.copy(data / "images" / name, data / "images" / f"{copy}-{name}")
        lines = rows(data / "metadata.jsonl")
        more = [
            {**row, "key": f"{copy}-{row['key']}", "file_name": f"images/{copy}-{Path(row['file_name']).name}"}
            for row in lines
            for copy in range(3)
        ]
        (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines + more))
    assert saliency(one, keypoints="annotations").done == 32
    assert saliency(two, keypoints="annotations", engine=Processes(2)).done == 32
    assert tree(one) == tree(two)


def test_columns_that_people_added_to_the_maps_of_a_plain_folder_stay(photos, tmp_path, monkeypatch):
    count_poses(monkeypatch)
    saliency(photos, out=tmp_path / "maps")
    change_rows(tmp_path / "maps", note="mine")
    saliency(photos, out=tmp_path / "maps", bits=8)
    assert [row["note"] for row in rows(tmp_path / "maps" / "metadata.jsonl")] == ["mine"] * 2


def test_where_they_go_is_asked_for_where_it_is_not_clear(data, photos, tmp_path):
    with pytest.raises(InputError, match="in place: leave --out away"):
        saliency(data, out=tmp_path / "out")
    with pytest.raises(InputError, match="plain folder of photos: give --out"):
        saliency(photos)
    with pytest.raises(InputError, match="a map of 12 bits"):
        saliency(data, bits=12)


def test_a_row_without_a_photo_gets_a_map_by_its_size_or_says_what_it_lacks(tmp_path):
    lines = [
        {"key": "sized", "width": 30, "height": 20, "persons": [{"keypoints": [[9, 9, 2]] * 17}]},
        {"key": "bare", "persons": []},
        {"key": "torn", "width": 30, "height": 20, "persons": [{"keypoints": 3}]},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = saliency(tmp_path)
    assert (report.done, report.failed) == (1, 2)
    assert [row["code"] for row in rows(tmp_path / "outcomes.jsonl")] == ["no-photo", "bad-persons"]
    assert decode_labels((tmp_path / "saliency" / "sized.png").read_bytes()).shape == (20, 30)


def test_a_map_of_the_dominant_person_leaves_the_others_out(data):
    saliency(data, keypoints="annotations", who="dominant")
    fewer = 0
    for sample in Dataset(data):
        persons = [person for person in sample.persons if not person.crowd]
        largest = max(persons, key=lambda person: person.area, default=None)
        shown = [largest.keypoints] if largest and any(seen for _, _, seen in largest.keypoints or []) else []
        expected = np.rint(saliency_map(shown, (sample.height, sample.width)) * 65535)
        assert np.array_equal(decode_labels((data / sample.saliency_file_name).read_bytes()), expected)
        fewer += sum(any(seen for _, _, seen in person.keypoints or []) for person in persons) > 1
    assert fewer >= 2, "some photos show several persons"


def test_of_detected_poses_the_one_on_the_dominant_person_counts(data, monkeypatch):
    count_poses(monkeypatch)
    change_rows(data, persons=[{"box": [0, 0, 5, 5]}])
    report = saliency(data, keypoints="pose", who="dominant")
    assert report.notes == {"without keypoints": 8}, "the pose lies on nobody who is listed"
    change_rows(data, persons=None)
    assert saliency(data, keypoints="pose", who="dominant").notes == {}
