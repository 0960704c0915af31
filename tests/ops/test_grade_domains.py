"""Every photo of a data set or a folder is graded, by faces that are looked for once or by what annotations show."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from people import change_rows, count_faces, keypoints_file, merged_people, no_mediapipe
from running import ENV, SEGDATA, rows, segdata, times, tree

from segdata.domains import DOMAINS
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.files import write_file
from segdata.ops.grade_domains import grade_domains
from segdata.pixels import encode_photo
from segdata.recipe import build

HEADER = "key,domain,face_ratio,face_x,face_y,face_width,face_height,detector,face_score,message"


@pytest.fixture(scope="module")
def merged(shared_data, tmp_path_factory):
    return merged_people(shared_data, tmp_path_factory.mktemp("merged"), 24)


@pytest.fixture
def data(merged, tmp_path):
    return shutil.copytree(merged, tmp_path / "data")


@pytest.fixture
def photos(tmp_path):
    """A plain folder of three photos without anything on them, one of them in a folder, and one that is torn."""
    for number, key in enumerate(("a", "b/c", "d")):
        pixels = np.full((40, 80, 3), number, np.uint8)
        write_file(tmp_path / "photos" / f"{key}.png", encode_photo(pixels, ".png"))
    write_file(tmp_path / "photos" / "torn.jpg", b"\xff\xd8 torn")
    return tmp_path / "photos"


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


# What is written


def test_a_row_gets_the_domain_and_the_face_it_was_graded_by(data, monkeypatch):
    count_faces(monkeypatch)
    change_rows(data, persons=None)
    grades = grade_domains(data)
    assert grades.domains == dict.fromkeys(DOMAINS, 0) | {"close shot": 24}
    for row in rows(data / "metadata.jsonl"):
        width, height = row["width"], row["height"]
        assert (row["domain"], row["face_ratio"]) == ("close shot", 0.25)
        assert row["face_box"] == [0, 0, width / 2, height / 2]
        assert (row["face_detector"], row["face_score"]) == ("multi-pass", 0.75)
        assert row["faces"]["found"] == [{"box": row["face_box"], "score": 0.75}]


def test_the_csv_has_a_row_a_photo_in_their_order_and_a_message_for_what_failed(photos, tmp_path, monkeypatch):
    count_faces(monkeypatch)
    grades = grade_domains(photos, out=tmp_path / "new folder" / "grades.csv")
    assert grades.grades == grades.report.out == str(tmp_path / "new folder" / "grades.csv")
    lines = (tmp_path / "new folder" / "grades.csv").read_text().splitlines()
    assert lines[:2] == [HEADER, "a,close shot,0.25,0.0,0.0,40.0,20.0,multi-pass,0.75,"]
    graded = table(tmp_path / "new folder" / "grades.csv")
    assert [row["key"] for row in graded] == ["a", "b/c", "d", "torn"]
    assert (graded[3]["domain"], grades.report.failed) == ("", 1)
    assert "torn.jpg is not an image that can be read" in graded[3]["message"]
    assert sum(grades.domains.values()) == 3


def test_a_photo_that_fails_keeps_its_row_and_counts_for_no_domain(data, monkeypatch, tmp_path):
    count_faces(monkeypatch)
    grade_domains(data)
    before = rows(data / "metadata.jsonl")
    (data / before[2]["file_name"]).write_bytes(b"torn")
    grades = grade_domains(data, out=tmp_path / "grades.csv")
    assert (grades.report.failed, sum(grades.domains.values())) == (1, 23)
    assert rows(data / "metadata.jsonl") == before
    graded = table(tmp_path / "grades.csv")
    assert graded[2]["message"]
    assert len(graded) == 24


def test_only_grades_are_replaced_by_grades(photos, data, tmp_path, monkeypatch):
    count_faces(monkeypatch)
    for out in (data / "metadata.jsonl", photos / "a.png", photos):
        before = tree(tmp_path)
        with pytest.raises(InputError, match="is something else than grades: choose another name"):
            grade_domains(photos, out=out)
        assert tree(tmp_path) == before
    grade_domains(photos, out=tmp_path / "grades.csv")
    (photos / "d.png").unlink()
    grade_domains(photos, out=tmp_path / "grades.csv")
    assert [row["key"] for row in table(tmp_path / "grades.csv")] == ["a", "b/c", "torn"]


def test_the_face_is_that_of_the_dominant_person(data, monkeypatch):
    detector = count_faces(monkeypatch)
    rest = {"box": [0.0, 0.0, 1.0, 1.0]}
    change_rows(data, width=100, height=100, persons=[{"box": [60, 60, 40, 40], "area": 1600}, {**rest, "area": 1.0}])
    assert grade_domains(data).domains["no face"] == 24  # the only face lies in nobody's box
    change_rows(data, persons=[{"box": [0, 0, 500, 500]}])
    assert grade_domains(data).domains["close shot"] == 24
    assert detector.calls == 24


# Faces that annotations show


def test_keypoints_of_real_photos_give_several_domains_without_a_detector(data, monkeypatch):
    no_mediapipe(monkeypatch)
    grades = grade_domains(data, faces="keypoints")
    assert sum(grades.domains.values()) + grades.report.failed == 24
    assert sum(count > 0 for count in grades.domains.values()) >= 3
    graded = [row for row in rows(data / "metadata.jsonl") if "domain" in row]
    assert {(row["face_detector"], row["face_score"]) for row in graded} == {("keypoints", None)}
    assert grade_domains(data, faces="keypoints").report.reused == len(graded)


def test_annotated_face_boxes_are_taken_and_not_mistaken_for_changed_in_a_second_run(data):
    change_rows(data, width=100, height=100, persons=[{"box": [0, 0, 90, 90], "face_box": [10, 10, 60, 60]}])
    assert grade_domains(data, faces="annotations").domains["head shot"] == 24
    assert grade_domains(data, faces="annotations").report.reused == 24


def test_of_annotated_faces_in_no_known_box_the_largest_counts(data):
    boxes = [[5, 5, 10, 10], [10, 10, 40, 40], [60, 60, 20, 20]]
    change_rows(data, width=100, height=100, persons=[{"face_box": box} for box in boxes])
    assert grade_domains(data, faces="annotations").domains["close shot"] == 24
    row = rows(data / "metadata.jsonl")[0]
    assert (row["face_box"], row["face_ratio"], row["face_score"]) == ([10, 10, 40, 40], 0.16, None)


@pytest.mark.parametrize("faces", ["annotations", "keypoints"])
def test_persons_of_whom_nothing_is_known_are_not_taken_for_faceless(photos, data, tmp_path, faces):
    assert grade_domains(photos, faces=faces, out=tmp_path / "grades.csv").report.failed == 4
    assert "a has no" in table(tmp_path / "grades.csv")[0]["message"]
    change_rows(data, persons=[{"box": [0, 0, 9, 9]}])
    assert grade_domains(data, faces=faces).report.failed == 24
    change_rows(data, persons=[])
    assert grade_domains(data, faces=faces).domains["no face"] == 24


# Looked for once


def test_faces_are_looked_for_once_whatever_else_changes(data, photos, tmp_path, monkeypatch):
    detector = count_faces(monkeypatch)
    grade_domains(data)
    grade_domains(data, faces="keypoints")
    change_rows(data, persons=[])
    assert grade_domains(data).report.done == 24
    assert detector.calls == 24
    first = data / rows(data / "metadata.jsonl")[0]["file_name"]
    write_file(first, encode_photo(np.zeros((50, 50, 3), np.uint8), ".jpg"))
    assert grade_domains(data).report.done == 1
    assert detector.calls == 25
    for _ in range(2):
        grade_domains(photos, out=tmp_path / "grades.csv")
    assert detector.calls == 25 + 3
    grade_domains(data, detector="full-range")
    assert detector.calls == 28 + 24


def test_a_second_run_touches_nothing(data, tmp_path, monkeypatch):
    count_faces(monkeypatch)
    grade_domains(data, out=tmp_path / "grades.csv")
    before = times(tmp_path)
    assert grade_domains(data, out=tmp_path / "grades.csv").report.reused == 24
    assert times(tmp_path) == before


def test_without_mediapipe_nothing_is_begun_unless_all_faces_are_there(data, photos, tmp_path, monkeypatch):
    count_faces(monkeypatch)
    grade_domains(data)
    monkeypatch.undo()
    no_mediapipe(monkeypatch)
    assert grade_domains(data).report.reused == 24
    change_rows(data, persons=[])
    assert grade_domains(data).report.done == 24
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"not installed: pip install 'segdata\[detect\]'"):
        grade_domains(photos, out=tmp_path / "grades.csv")
    assert tree(tmp_path) == before


def test_a_plain_folder_needs_a_file_for_the_grades(photos):
    with pytest.raises(InputError, match="is a plain folder of photos: give --out for the CSV file"):
        grade_domains(photos)


# The command


def test_the_command_prints_a_table_with_bars_and_names_the_csv(data, tmp_path):
    done = segdata("grade-domains", data, "--faces", "keypoints", "--out", tmp_path / "grades.csv")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("grade-domains: ")
    assert lines[0].endswith(f"-> {data}")
    assert lines[-1] == f"grades -> {tmp_path / 'grades.csv'}"
    counted = {domain: next(line for line in lines if line.startswith(domain)).split() for domain in DOMAINS}
    graded = [row["domain"] for row in table(tmp_path / "grades.csv")]
    assert {domain: int(words[len(domain.split())]) for domain, words in counted.items()} == {
        domain: graded.count(domain) for domain in DOMAINS
    }
    assert max(line.count("█") for line in lines) == 40
    assert done.returncode == (1 if "" in graded else 0)


def test_json_holds_the_counts_and_nothing_else_is_on_stdout(data):
    done = segdata("grade-domains", data, "--faces", "keypoints", "--json")
    result = json.loads(done.stdout)
    assert set(result["domains"]) == set(DOMAINS)
    assert result["report"]["step"] == "grade-domains"


def shown_on_a_terminal(data, **environment):
    """Give what the command shows on a terminal."""
    pty = pytest.importorskip("pty")
    grade_domains(data, faces="keypoints")
    leader, follower = pty.openpty()
    command = [SEGDATA, "grade-domains", str(data), "--faces", "keypoints"]
    variables = {**ENV, "TERM": "xterm", **environment}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=variables) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                shown += os.read(leader, 4096)
            except OSError:  # the terminal is closed
                break
        process.wait()
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")


def test_on_a_terminal_without_blocks_bars_are_made_of_hashes(data):
    assert "#" * 20 in shown_on_a_terminal(data, PYTHONIOENCODING="ascii", COLUMNS="100")


@pytest.mark.parametrize("columns", [30, 50, 80])
def test_the_table_fits_a_small_terminal(data, columns):
    plain = shown_on_a_terminal(data, COLUMNS=str(columns))
    lines = [line for line in plain.splitlines() if line.startswith(DOMAINS)]
    assert len(lines) == len(DOMAINS)
    assert all(len(line.rstrip()) <= columns for line in lines)
    assert any("█" in line for line in lines)


# With the real detector


def test_real_faces_put_portraits_above_crowds(shared_data, tmp_path):
    pytest.importorskip("mediapipe")
    photos = tmp_path / "photos"
    odd = ("hopper.jpg", "hopper_orientation_6.jpg", "sharp_truncated.jpg", "p_16.png", "sharp_16-bit-grey-alpha.png")
    for name in odd:
        write_file(photos / name, (shared_data / "odd_images" / name).read_bytes())
    for path in sorted((shared_data / "ccp" / "photos").iterdir())[:4]:
        write_file(photos / path.name, path.read_bytes())
    done = segdata("grade-domains", photos, "--out", tmp_path / "grades.csv", "--workers", 1)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[0] == f"grade-domains: 8 done, 1 failed -> {tmp_path / 'grades.csv'}"
    graded = {row["key"]: row for row in table(tmp_path / "grades.csv")}
    assert graded["hopper"]["domain"] in {"head shot", "close shot"}
    # Photos are turned upright before faces are looked for: the one that is stored on its side shows the same face.
    assert abs(float(graded["hopper"]["face_ratio"]) - float(graded["hopper_orientation_6"]["face_ratio"])) < 0.05
    assert graded["p_16"]["domain"] == "no face"
    assert 0 < float(graded["hopper"]["face_score"]) <= 1
    dressed = [row["domain"] for key, row in graded.items() if key.isdigit()]
    assert dressed.count("whole body") >= 3
    assert graded["sharp_truncated"]["message"]


def test_two_workers_find_the_same_faces(data, tmp_path):
    pytest.importorskip("mediapipe")
    two = shutil.copytree(data, tmp_path / "two")
    grade_domains(data, detector="full-range")
    grade_domains(two, detector="full-range", engine=Processes(2))
    assert tree(two) == tree(data)


# Chains

RECIPE = """
[[step]]
command = "merge-coco"
annotations = "people.json"
images = "{images}"
out = "data"
crowd = "ignore"

[[step]]
command = "crop"
data = "data"
out = "crops"
sources = ["keypoints", "mask"]
min_size = 32

[[step]]
command = "edges"
data = "crops"
void = 255

[[step]]
command = "saliency"
data = "crops"
keypoints = "annotations"

[[step]]
command = "grade-domains"
data = "crops"
faces = "{faces}"
detector = "full-range"
out = "grades.csv"

[[step]]
command = "split"
data = "crops"
stratify = "domain"
group_by = "crop_of"
"""


def chain_folder(shared_data, folder, count, faces="keypoints"):
    folder.mkdir()
    keypoints_file(shared_data, folder / "people.json", count)
    (folder / "recipe.toml").write_text(RECIPE.format(images=shared_data / "coco" / "images", faces=faces))
    return folder


def test_a_chain_of_steps_ends_with_crops_ready_to_train_on(shared_data, tmp_path):
    folder = chain_folder(shared_data, tmp_path / "chain", 20)
    done = segdata("build", folder / "recipe.toml", "--workers", 1)
    assert done.returncode == 1, done.stderr  # persons without keypoints have no domain, and say so
    assert "use --faces detect" in done.stderr
    crops = rows(folder / "crops" / "metadata.jsonl")
    assert len(crops) > 30
    photos = {}
    for row in crops:
        names = [row[f"{name}file_name"] for name in ("", "mask_", "edge_", "saliency_")]
        assert [name.split("/")[0] for name in names] == ["images", "masks", "edges", "saliency"]
        assert len({(folder / "crops" / name).read_bytes()[16:24] for name in names}) == 1  # PNG's width and height
        photos.setdefault(row["crop_of"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in photos.values())
    failed = {row["key"] for row in rows(folder / "crops" / "outcomes.jsonl") if row["step"] == "grade-domains"}
    assert {row["key"] for row in crops if "domain" not in row} == failed
    assert {row["domain"] for row in crops if "domain" in row} <= set(DOMAINS)
    before, whole = times(folder), tree(folder)
    again = segdata("build", folder / "recipe.toml", "--workers", 2)
    assert again.stdout.count(" 0 done") == 5
    assert tree(folder) == whole
    changed = {name for name, time in times(folder).items() if time != before[name]}
    assert changed <= {"crops/outcomes.jsonl"}  # steps write their rows of it anew


def test_a_chain_that_detects_grades_every_crop(shared_data, tmp_path):
    pytest.importorskip("mediapipe")
    folder = chain_folder(shared_data, tmp_path / "chain", 8, faces="detect")
    done = segdata("build", folder / "recipe.toml", "--workers", 1)
    assert done.returncode == 0, done.stderr
    graded = table(folder / "grades.csv")
    assert {row["domain"] for row in graded} <= set(DOMAINS)
    assert len(graded) == len(rows(folder / "crops" / "metadata.jsonl"))


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL and forks")
def test_a_killed_chain_ends_as_one_that_was_not(shared_data, tmp_path):
    whole = chain_folder(shared_data, tmp_path / "whole", 6)
    build(whole / "recipe.toml")
    killed = chain_folder(shared_data, tmp_path / "killed", 6)
    code = (  # in a process of its own, for it forks
        "import sys; from pathlib import Path; from kill_points import run; from segdata.recipe import build\n"
        "print([run(lambda out: build(out / 'recipe.toml'), Path(sys.argv[1]), point) for point in (60, 150)])"
    )
    environment = {**ENV, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(killed)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "[True, True]\n", done.stderr
    build(killed / "recipe.toml")
    ends = [tree(folder) for folder in (whole, killed)]
    assert ends[0] == ends[1]
