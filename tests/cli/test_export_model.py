"""`segdata export-model` writes a file that others run, and says how it was checked."""

import json
from pathlib import Path

import pytest
from running import segdata

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch

from segdata.models.networks import build_network
from segdata.models.runs import BEST, save_weights
from segdata.models.settings import SETTINGS, TrainSettings
from segdata.sample import encode


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that has learnt nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    (folder / SETTINGS).write_bytes(encode(TrainSettings("alisnet", (), pixels=64 * 64)))
    save_weights(build_network("alisnet"), folder / BEST, {})
    return folder


def test_it_says_what_was_written_and_how_it_was_checked(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    done = segdata("export-model", run, "--format", "safetensors", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"export-model: safetensors, {out.stat().st_size / 1e6:.2f} MB -> {out}\n"
        "masks against the network's on 4 photos: pooled IoU 100.00 % (at least 100 %), mean 100.00 %, "
        "0.000 % of the pixels differ, probabilities by up to 0\n"
    )


def test_json_has_the_whole_result(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    done = segdata("export-model", run, "--format", "safetensors", "--out", out, "--bound", 0.5, "--json")
    assert json.loads(done.stdout) == {
        "out": str(out),
        "format": "safetensors",
        "bytes": out.stat().st_size,
        "sha256": None,
        "bound": 0.5,
        "disagreement": {"photos": 4, "pooled_iou": 1.0, "iou": 1.0, "pixels": 0.0, "probability": 0.0},
    }


def test_wrong_use_is_one_sentence(run: Path, tmp_path: Path) -> None:
    done = segdata("export-model", tmp_path / "none", "--out", tmp_path / "a.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"segdata: {tmp_path / 'none'} is not the folder of a training run: give the --out of segdata train\n"
    )
    done = segdata("export-model", run, "--out", tmp_path / "a.onnx", "--format", "coreml")
    assert done.returncode == 2
    assert "coreml" in done.stderr
