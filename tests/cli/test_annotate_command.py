"""`segdata annotate` does what its library twin does, and says so."""

import json

import pytest
from running import rows, segdata, tree
from tiny_models import red_model, scene

from segdata.files import write_file
from segdata.ops.annotate import annotate
from segdata.pixels import encode_photo


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return red_model(tmp_path_factory.mktemp("model") / "red.onnx")


@pytest.fixture
def photos(tmp_path):
    for name, persons in (("a", [(10, 10, 40, 20)]), ("b", [])):
        write_file(tmp_path / "photos" / f"{name}.png", encode_photo(scene(60, 50, *persons), ".png"))
    return tmp_path / "photos"


def test_a_folder_of_photos_gets_masks(photos, model, tmp_path):
    command = ("annotate", photos, "--model", model, "--out", tmp_path / "preds")
    done = segdata(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"annotate: 2 done, 1 without a person -> {tmp_path / 'preds'}\n"
    annotate(photos, out=tmp_path / "library", model=str(model))
    assert tree(tmp_path / "preds") == tree(tmp_path / "library")
    done = segdata(*command, "--json")
    assert json.loads(done.stdout)["reused"] == 2


def test_every_option_reaches_the_library(photos, model, tmp_path):
    out = tmp_path / "preds"
    options = ("--who", "dominant", "--threshold", 0.3, "--probabilities", "--copy-photos", "--refine", "--flips")
    done = segdata("annotate", photos, "--model", model, "--out", out, *options, "--no-tiles", "--batch", 2, "-w", 1)
    assert done.returncode == 0, done.stderr
    annotate(
        photos,
        out=tmp_path / "library",
        model=str(model),
        who="dominant",
        threshold=0.3,
        probabilities=True,
        copy_photos=True,
        refine=True,
        flips=True,
        tiles=False,
    )
    assert tree(out) == tree(tmp_path / "library")


def test_a_photo_that_fails_is_told_with_status_1(photos, model, tmp_path):
    (photos / "a.png").write_bytes(b"no photo")
    done = segdata("annotate", photos, "--model", model, "--out", tmp_path / "preds")
    assert done.returncode == 1
    assert f"failed: {photos / 'a.png'} is not an image" in done.stderr
    assert [row["key"] for row in rows(tmp_path / "preds" / "metadata.jsonl")] == ["b"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nonesuch"), "nonesuch is no model"),
        (("--threshold", 3), "the threshold 3 is not a probability"),
        (("--batch", 0), "greater than or equal to 1"),
    ],
)
def test_wrong_use_is_one_sentence_with_status_2(photos, model, tmp_path, options, said):
    done = segdata("annotate", photos, "--out", tmp_path / "preds", "--model", model, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_masks_can_be_scored_as_they_are(photos, model, tmp_path):
    segdata("annotate", photos, "--model", model, "--out", tmp_path / "preds", "--probabilities")
    done = segdata("evaluate", tmp_path / "preds", tmp_path / "preds" / "masks", "--threshold", "sweep", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mean"]["iou"] > 0.99
