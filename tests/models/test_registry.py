"""Models open by name, file or folder, and say in one sentence what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from segdata.errors import InputError
from segdata.models import registry
from segdata.models.registry import MODELS, open_model


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(InputError, match="hog is no model: choose bundled, mediapipe-selfie, mediapipe-pose, a FILE"):
        open_model("hog")


def test_every_name_of_the_table_is_opened_by_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(MODELS):
        monkeypatch.setitem(MODELS, name, lambda threads, name=name: (name, threads))  # type: ignore[misc]
        assert open_model(name, threads=3) == (name, 3)


def test_an_onnx_file_opens_with_its_own_name_and_channels(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tiny_models import colour_model

    model = open_model(colour_model(tmp_path / "a.onnx", name="by colour"), threads=1)
    assert (model.name, model.who, model.threshold) == ("by colour", ("all", "dominant"), 0.5)


def test_the_bundled_model_is_the_file_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tiny_models import colour_model

    monkeypatch.setattr(registry, "BUNDLED", tmp_path / "bundled.onnx")
    with pytest.raises(InputError, match=r"bundled\.onnx does not exist"):
        open_model("bundled")
    colour_model(tmp_path / "bundled.onnx", name="in the wheel")
    assert open_model("bundled").name == "in the wheel"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx does not exist: check the path"):
        open_model(tmp_path / "none.onnx")


def test_a_training_run_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "segdata.models.runs", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'segdata\[train\]'"):
        open_model(tmp_path)


def test_a_folder_that_is_no_training_run_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="is not the folder of a training run"):
        open_model(tmp_path)


def test_the_table_loads_no_runtime() -> None:
    code = "import sys, segdata.models.registry, segdata.models.catalogue; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"mediapipe", "onnx", "onnxruntime", "torch"} == set()
