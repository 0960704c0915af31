"""`segdata filter`, `view`, `stats`, `report` and `rank-labels` do what their library twins do, and say so."""

import json

import numpy as np
import pytest
from running import rows, segdata, tree

from segdata.dataset import Dataset
from segdata.files import write_file
from segdata.ops.filter import filter as filter_samples
from segdata.pixels import encode_photo, encode_png


@pytest.fixture
def data(tmp_path):
    """Write a data set of four photos; the mask of `c` lacks half a person whom the maps have."""
    lines = []
    for number, key in enumerate("abcd"):
        photo = np.full((40, 60, 3), 50 * number, np.uint8)
        mask = np.zeros((40, 60), bool)
        mask[5:35, 10 + number : 40] = True
        write_file(tmp_path / "maps" / f"{key}.png", encode_png((mask * 65535).astype(np.uint16)))
        mask[20:] &= key != "c"
        write_file(tmp_path / "data" / "images" / f"{key}.png", encode_photo(photo, ".png"))
        write_file(tmp_path / "data" / "masks" / f"{key}.png", encode_png(mask))
        files = {"file_name": f"images/{key}.png", "mask_file_name": f"masks/{key}.png", "width": 60, "height": 40}
        url = f"http://creativecommons.org/licenses/{'by-nc' if key == 'd' else 'by'}/2.0/"
        lines.append({"key": key, **files, "split": "val" if number % 2 else "train", "licence_url": url})
    write_file(tmp_path / "data" / "metadata.jsonl", b"")
    Dataset(tmp_path / "data").rewrite(iter(lines))
    return tmp_path / "data"


def test_filter_writes_what_fits(data, tmp_path):
    out = tmp_path / "out"
    done = segdata("filter", data, "--where", 'split == "val"', "--out", out, "-w", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"filter: 2 done, 2 skipped -> {out}\n"
    filter_samples(data, where='split == "val"', out=tmp_path / "library")
    assert tree(out) == tree(tmp_path / "library")


def test_filter_says_what_licences_left_out(data, tmp_path):
    done = segdata("filter", data, "--licence", "commercial", "--out", tmp_path / "out")
    assert "3 done, 1 skipped, 1 left out, CC BY-NC 2.0: it allows no commercial use" in done.stdout
    assert done.returncode == 0
    notes = json.loads(segdata("filter", data, "--licence", "commercial", "--out", tmp_path / "b", "--json").stdout)[
        "notes"
    ]
    assert list(notes.values()) == [1]


def test_filter_points_at_what_is_wrong(data, tmp_path):
    done = segdata("filter", data, "--where", "splt == 'val'", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == (
        """segdata: --where "splt == 'val'": at character 1, 'splt': there is no column 'splt': did you mean split?\n"""
    )


def test_view_draws_a_sheet_and_tells_what_it_could_not(data, tmp_path):
    options = ("--where", "width > 1", "--sort", "-key", "--count", 3, "--columns", 2, "--width", 400)
    done = segdata("view", data, "--sheet", tmp_path / "a.png", *options, "--show", "mask,boxes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"view: 3 of 4 samples -> {tmp_path / 'a.png'}\n"
    (data / "images" / "d.png").write_bytes(b"none")
    done = segdata("view", data, "--sheet", tmp_path / "a.png", *options, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["keys"] == ["d", "c", "b"]
    assert "failed: d: " in done.stderr


def test_rank_labels_names_the_suspect_first(data, tmp_path):
    done = segdata("rank-labels", data, tmp_path / "maps", "--count", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"rank-labels: 4 done -> {data}\n")
    table = done.stdout.splitlines()[2:]
    assert table[0].split()[:2] == ["most", "suspect"]
    assert table[1].split()[0] == "c"
    assert "disagreement" in rows(data / "metadata.jsonl")[0]
    worst = json.loads(segdata("rank-labels", data, tmp_path / "maps", "--json").stdout)["worst"]
    assert (len(worst), worst[0]["key"]) == (4, "c")


def test_stats_are_tables_for_people_and_an_object_for_programs(data, tmp_path):
    done = segdata("stats", data, "--heat-map", tmp_path / "heat.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{data}: 4 samples, 4 photos, 4 masks, 0 persons" in done.stdout
    for text in ("median", "mask, % of photo", "train", "CC BY-NC 2.0", "where persons are"):
        assert text in done.stdout
    assert (tmp_path / "heat.png").exists()
    found = json.loads(segdata("stats", data, "--quick", "--json").stdout)
    assert (found["samples"], found["heat_map"]) == (4, None)
    (data / "masks" / "a.png").unlink()
    done = segdata("stats", data)
    assert done.returncode == 1
    assert "failed: " in done.stderr


def test_report_writes_a_page_and_says_where(data, tmp_path):
    done = segdata("report", data, "--out", tmp_path / "r.html", "-w", 1)
    assert (done.returncode, done.stderr) == (0, "")
    size = (tmp_path / "r.html").stat().st_size
    assert done.stdout == f"report: {data}, {size / 1e6:.1f} MB -> {tmp_path / 'r.html'}\n"
    scores = tmp_path / "scores.json"
    scores.write_text(segdata("evaluate", data, data, "--json").stdout)
    done = segdata("report", scores, "-o", tmp_path / "r.html", "--by", "boundary_iou", "--json", "-w", 1)
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, {})


def test_report_tells_what_it_could_not_draw(data, tmp_path):
    (data / "images" / "d.png").write_bytes(b"none")
    done = segdata("report", data, "--out", tmp_path / "r.html", "-w", 1)
    assert done.returncode == 1
    assert "failed: d: " in done.stderr
    assert segdata("report", data, "--out", tmp_path / "r.txt").returncode == 2
