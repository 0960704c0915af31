"""`segdata formats`, `import`, `export`, `instances` and `stats` show what their library twins give."""

import json

import numpy as np
import pytest
from people import merged_people
from running import rows, segdata

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.files import write_file
from segdata.formats.registry import FORMATS, recognise
from segdata.pixels import encode_png


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("formats"), 4)
    dataset = Dataset(data)
    facts = [("train", "half body", "person"), ("val", "far shot", "rider")] * 2
    lines = []
    for row, (split, domain, category) in zip(list(dataset.rows()), facts, strict=True):
        for person in row["persons"]:
            person["category"] = category
        lines.append({**row, "split": split, "domain": domain, "source": "COCO"})
    dataset.rewrite(iter(lines))
    return data


def test_formats_are_listed_for_people_tools_and_the_manual():
    lines = segdata("formats").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(FORMATS)
    assert sum(line.startswith("  loses") for line in lines) == len(FORMATS)
    told = json.loads(segdata("formats", "--json").stdout)["formats"]
    assert [each["name"] for each in told] == list(FORMATS)
    assert segdata("formats", "--markdown").stdout.startswith("| ")


def test_export_and_import_by_name_and_by_look(people, tmp_path):
    out = segdata("export", people, "coco", "--out", tmp_path / "coco", "-w", 1)
    assert (out.returncode, out.stderr) == (0, "")
    assert "4 done" in out.stdout
    back = segdata("import", "auto", tmp_path / "coco", "--category", "rider", "--out", tmp_path / "back", "-w", 1)
    assert f"{tmp_path / 'coco'} is coco: " in back.stderr
    assert len(rows(tmp_path / "back" / "metadata.jsonl")) == 4
    named = segdata("import", "coco", tmp_path / "coco", "--out", tmp_path / "named", "-w", 1, "--json")
    assert json.loads(named.stdout)["step"] == "import"
    assert named.stderr == ""


def test_what_is_of_no_format_or_of_several_is_to_be_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        recognise(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="of no format that is recognised"):
        recognise(tmp_path / "notes.txt")


def test_instances_fills_in_outlines(people):
    dataset = Dataset(people)
    dataset.rewrite({**row, "persons": [{**p, "rle": None} for p in row["persons"]]} for row in list(dataset.rows()))
    done = segdata("instances", people, "--boxes", "annotations", "-w", 1)
    assert done.returncode == 0
    assert done.stdout.startswith("instances: 4 done")
    assert all(row["instances_file_name"].startswith("instances/") for row in rows(people / "metadata.jsonl"))


def test_stats_shows_what_there_is_of_it(people, tmp_path):
    done = segdata("stats", people)
    assert done.returncode == 0
    for title in ("split", "domain", "source", "category", "% of a split's photos", "keypoint, % of persons"):
        assert title in done.stdout
    assert done.stdout.count("|\n") == 16, "the heat map has two rows a line"
    many = tmp_path / "many"
    for number in range(30):
        write_file(many / "masks" / f"{number}.png", encode_png(np.zeros((4, 4), bool)))
    write_file(many / "metadata.jsonl", b"")
    lines = [{"key": f"{n}", "mask_file_name": f"masks/{n}.png", "source": f"s{n}"} for n in range(30)]
    Dataset(many).rewrite(iter(lines))
    shown = segdata("stats", many).stdout
    assert "30 masks (30 empty)" in shown
    assert "more)" in shown, "of many values only the most frequent are listed"
    (many / "masks" / "3.png").write_bytes(b"no picture")
    broken = segdata("stats", many)
    assert broken.returncode == 1
    assert "3.png is not an image that can be read" in broken.stderr
