"""Commands do what their library twins do, print their result on stdout and everything else on stderr."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from running import ENV, SEGDATA, children, coco_subset, rows, runs, segdata, start, tree, wait_for

from segdata.files import write_file
from segdata.ops.merge_coco import merge_coco
from segdata.pixels import encode_png
from segdata.quality.evaluate import compare, evaluate

unix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pipes")


@pytest.fixture(scope="module")
def coco(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    return coco_subset(shared_data, folder / "coco.json", 12), shared_data / "coco" / "images"


@pytest.fixture
def pairs(tmp_path):
    """Three masks; in preds/ one is half of it, in other/ all are right."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 255
    half = mask.copy()
    half[:, 30:] = 0
    for key in "abc":
        write_file(tmp_path / "gt" / f"{key}.png", encode_png(mask))
        write_file(tmp_path / "other" / f"{key}.png", encode_png(mask))
        write_file(tmp_path / "preds" / f"{key}.png", encode_png(half if key == "b" else mask))
    return tmp_path


# Steps


def test_a_chain_of_commands_ends_with_what_the_library_gives(coco, tmp_path):
    annotations, images = coco
    out = tmp_path / "cli"
    done = segdata("merge-coco", annotations, "--images", images, "--out", out, "--crowd", "drop", "--min-area", 900)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"merge-coco: 12 done -> {out}\n", "")
    merge_coco(annotations, images=images, out=tmp_path / "library", crowd="drop", min_area=900)
    assert tree(out) == tree(tmp_path / "library")
    done = segdata("edges", out, "--kind", "thick", "--width", 4)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"edges: 12 done -> {out}\n", "")
    done = segdata("split", out, "--lists")
    assert (done.returncode, done.stdout) == (0, f"split: train 7, val 3, test 2 -> {out}\n")
    done = segdata("edges", out, "--kind", "thick", "--width", 4)
    assert done.stdout == f"edges: 0 done, 12 up to date -> {out}\n"
    assert {row["split"] for row in rows(out / "metadata.jsonl")} == {"train", "val", "test"}


@pytest.mark.parametrize("command", [("merge-coco",), ("import", "coco")], ids=" ".join)
def test_the_memory_for_a_coco_file_is_bounded_as_asked(command, coco, tmp_path):
    annotations, _ = coco
    done = segdata(*command, annotations, "--out", tmp_path / "out", "--memory", "lots")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'lots' is no amount of memory: give one such as 500MB or 2GB" in done.stderr
    assert segdata(*command, annotations, "--out", tmp_path / "out", "--memory", "150MB").returncode == 0
    assert segdata(*command, annotations, "--out", tmp_path / "usual").returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "usual")


def test_samples_that_fail_are_told_on_stderr_with_status_1(coco, tmp_path):
    annotations, images = coco
    photos = shutil.copytree(images, tmp_path / "photos", ignore=lambda _, names: sorted(names)[40:])
    names = [image["file_name"] for image in json.loads(annotations.read_bytes())["images"]]
    for name in names:
        (photos / name).write_bytes((images / name).read_bytes()[: 2000 if name in names[:7] else None])
    command = ("merge-coco", annotations, "--images", photos, "--out", tmp_path / "out")
    done = segdata(*command, "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert (result["step"], result["done"], result["failed"], result["skipped"]) == ("merge-coco", 5, 7, 0)
    lines = done.stderr.splitlines()
    assert len(lines) == 7
    assert all(line.startswith("failed: ") and names[n] in line for n, line in enumerate(lines[:5]))
    assert lines[5:] == ["... and 2 more", f"every sample that failed is a row of {result['outcomes']}"]
    assert [row["key"] for row in rows(tmp_path / "out" / "outcomes.jsonl")] == [name[:-4] for name in names[:7]]
    for name in names[:7]:
        shutil.copy(images / name, photos / name)
    done = segdata(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"merge-coco: 7 done, 5 up to date -> {tmp_path / 'out'}\n"
    assert not (tmp_path / "out" / "outcomes.jsonl").exists()


def test_parts_are_merged(tmp_path):
    write_file(tmp_path / "parts" / "a.png", encode_png(np.array([[0, 1, 2]], np.uint8)))
    (tmp_path / "names.json").write_text('{"0": "null", "1": "bag", "2": "skin"}')
    command = ("merge-parts", tmp_path / "parts", "--names", tmp_path / "names.json", "--out", tmp_path / "out")
    done = segdata(*command, "--background", "null", "--background", "bag", "--json")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out" / "metadata.jsonl")[0]["persons"][0]["area"] == 1


def test_a_recipe_is_built_and_its_results_are_one_object(coco, tmp_path):
    annotations, images = coco
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"[[step]]\ncommand = 'merge-coco'\nannotations = '{annotations}'\nimages = '{images}'\nout = 'data'\n"
        "[[step]]\ncommand = 'split'\ndata = 'data'\n"
    )
    done = segdata("build", recipe, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = json.loads(done.stdout)["steps"]
    assert (first["command"], first["result"]["done"], second["command"]) == ("merge-coco", 12, "split")
    done = segdata("build", recipe)
    assert [line.partition(" ->")[0] for line in done.stdout.splitlines()] == [
        "merge-coco: 0 done, 12 up to date",
        "split: train 7, val 3, test 2",
    ]


def test_a_recipe_with_failed_samples_is_status_1(coco, tmp_path):
    annotations, _ = coco
    recipe = tmp_path / "recipe.toml"
    (tmp_path / "photos").mkdir()
    recipe.write_text(
        f"[[step]]\ncommand = 'merge-coco'\nannotations = '{annotations}'\nimages = 'photos'\nout = 'data'\n"
        "[[step]]\ncommand = 'split'\ndata = 'data'\n"
    )
    done = segdata("build", recipe)
    assert done.returncode == 1
    assert "12 failed" in done.stdout
    assert "does not exist" in done.stderr


# Scores


def test_scores_are_one_object_on_stdout(pairs):
    done = segdata("evaluate", pairs / "preds", pairs / "gt", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    wanted = evaluate(pairs / "preds", pairs / "gt")
    assert [row["key"] for row in result["samples"]] == ["b", "a", "c"]
    assert result["samples"][0]["iou"] == 0.5
    assert result["mean"] == wanted.mean
    assert result["std"] == wanted.std
    assert result["pooled"] == wanted.pooled
    assert result["settings"]["tolerance"] == 0.008
    assert {"key", "iou", "contour_accuracy", "boundary_iou"} <= result["samples"][0].keys()


def test_scores_are_a_table_for_people_in_percent(pairs):
    done = segdata("evaluate", pairs / "preds", pairs / "gt")
    assert done.returncode == 0
    assert any(line.split() == ["IoU", "83.33", "23.57", "83.33"] for line in done.stdout.splitlines())
    assert any(line.split()[:2] == ["b", "50.00"] for line in done.stdout.splitlines())
    assert "contour tolerance 1 px (0.008)" in done.stdout


def test_several_predictors_stand_side_by_side(pairs):
    command = ("evaluate", pairs / "preds", pairs / "other", pairs / "gt", "--csv", pairs / "out" / "scores.csv")
    done = segdata(*command, "--json")
    result = json.loads(done.stdout)
    assert [each["predictor"] for each in result["predictors"]] == [str(pairs / "preds"), str(pairs / "other")]
    assert result["differences"][0]["difference"] == pytest.approx(0.5 / 3)
    wanted = compare([pairs / "preds", pairs / "other"], pairs / "gt")
    with (pairs / "out" / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6
    for row, sample in zip(table, [s for each in wanted.predictors for s in each.samples], strict=True):
        assert (row["key"], float(row["iou"]), int(row["union"])) == (sample.key, sample.iou, sample.union)
    assert "16.67" in segdata(*command).stdout


def test_a_prediction_that_cannot_be_read_is_named_with_status_1(pairs):
    (pairs / "preds" / "a.png").write_bytes(b"torn")
    done = segdata("evaluate", pairs / "preds", pairs / "gt", "--json")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["samples"]) == 2
    assert str(pairs / "preds" / "a.png") in done.stderr
    assert "samples that failed are not in the figures" in done.stderr


@pytest.mark.parametrize("options", [[], ["--threshold", "sweep"], ["--height", "64", "--crop-to-gt"]])
def test_every_figure_is_a_number(tmp_path, options):
    full, empty = np.full((20, 30), 255, np.uint8), np.zeros((20, 30), np.uint8)
    for key, pred, gt in (("a", full, full), ("b", empty, empty), ("c", empty, full), ("d", full, empty)):
        write_file(tmp_path / "preds" / f"{key}.png", encode_png(pred))
        write_file(tmp_path / "gt" / f"{key}.png", encode_png(gt))
    for form in ([], ["--json"]):
        done = segdata("evaluate", tmp_path / "preds", tmp_path / "gt", *options, *form)
        assert done.returncode == 0, done.stderr
        assert "nan" not in done.stdout.lower()


def test_files_without_partner_are_refused_or_listed(pairs):
    (pairs / "preds" / "c.png").unlink()
    done = segdata("evaluate", pairs / "preds", pairs / "gt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "c.png has no partner" in done.stderr
    done = segdata("evaluate", pairs / "preds", pairs / "gt", "--missing", "skip", "--json")
    assert (done.returncode, json.loads(done.stdout)["skipped"]) == (0, ["c"])


# Interruptions


@unix
def test_a_reader_that_leaves_early_ends_it_quietly(tmp_path):
    mask = encode_png(np.eye(8, dtype=bool))
    for number in range(400):  # more than a pipe holds
        write_file(tmp_path / "gt" / f"{number:04}.png", mask)
    command = [SEGDATA, "evaluate", str(tmp_path / "gt"), str(tmp_path / "gt"), "--json", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stdout.readline() == "{\n"
        process.stdout.close()
        assert process.stderr.read() == ""


@unix
def test_an_interrupted_run_ends_with_one_sentence_and_goes_on_later(shared_data, tmp_path):
    annotations = coco_subset(shared_data, tmp_path / "coco.json", 200)
    images = shared_data / "coco" / "images"
    out = tmp_path / "out"
    command = ("merge-coco", annotations, "--images", images, "--out", out, "--workers", 2)
    for more in (0, 10, 40):
        at_work = len(list(out.glob("masks/*.png"))) + more
        with start(*command) as process:
            wait_for(lambda: len(children(process.pid)) > 1 and len(list(out.glob("masks/*.png"))) >= at_work)  # noqa: B023
            workers = children(process.pid)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            time.sleep(0.02 * more)
            os.killpg(process.pid, signal.SIGINT)  # an impatient person
            told, error = process.communicate(timeout=10)
        assert (process.returncode, told) == (130, "")
        assert error == "segdata: interrupted; run the same command again to go on\n"
        wait_for(lambda: not any(map(runs, workers)), seconds=5)  # noqa: B023
    done = segdata(*command)
    assert done.returncode == 0, done.stderr
    assert " up to date" in done.stdout
    merge_coco(annotations, images=images, out=tmp_path / "whole")
    assert tree(out) == tree(tmp_path / "whole")


@unix
def test_an_interruption_while_the_workers_start_is_one_sentence_too(coco, tmp_path, shared_data):
    annotations = coco_subset(shared_data, tmp_path / "coco.json", 64)
    for delay in (0.0, 0.1, 0.3):
        command = ("merge-coco", annotations, "--out", tmp_path / "out", "--workers", 2)
        with start(*command) as process:
            wait_for(lambda: len(children(process.pid)) > 1 or process.poll() is not None)
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            told, error = process.communicate(timeout=10)
        if process.returncode:
            assert (process.returncode, told) == (130, "")
            assert error == "segdata: interrupted; run the same command again to go on\n"
