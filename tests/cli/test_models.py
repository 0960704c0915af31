"""`segdata models` and `segdata benchmark-model`: their tables, their JSON and their status."""

import json
from pathlib import Path

import pytest
from running import segdata
from tiny_models import colour_data, colour_model


def test_models_lists_names_and_what_they_give() -> None:
    done = segdata("models")
    assert done.returncode == 0
    for name in ("bundled", "mediapipe-selfie", "mediapipe-pose", "blazeface-full", "blazeface-short"):
        assert name in done.stdout


def test_models_gives_one_json_object() -> None:
    found = json.loads(segdata("models", "--json", "--check").stdout)
    assert found["models"][0]["name"] == "bundled"
    assert {"works", "files", "licence", "how", "gives"} <= set(found["models"][0])


def test_a_model_that_is_not_known_is_wrong_use() -> None:
    done = segdata("models", "--fetch", "hog")
    assert done.returncode == 2
    assert done.stderr.startswith("segdata: there is no model 'hog' to fetch: choose ")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return colour_model(tmp_path / "colours.onnx")


def test_benchmark_model_shows_a_row_a_model(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    done = segdata("benchmark-model", model, model, "--data", data, "--split", "test", "--repeats", 1, "--threads", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{data}, split test: 3 photos, masks of dominant, scored as stored" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith(str(model))][1:]
    assert "100.00 ± 0.00" in done.stdout


def test_benchmark_model_gives_one_json_object_with_every_photo(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    (data / "images/0002.png").write_bytes(b"no photo")
    done = segdata("benchmark-model", model, "--data", data, "--repeats", 1, "--json")
    assert done.returncode == 1, "a photo failed"
    (figures,) = json.loads(done.stdout)["models"]
    assert len(figures["evaluation"]["samples"]) == 3
    assert "0002.png" in done.stderr
