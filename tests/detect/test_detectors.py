"""Detectors come by name, once a process, and say in one sentence what is missing."""

import sys
import types
from pathlib import Path

import pytest

import segdata.detect
from segdata.detect import FACES, face_detector, mediapipe_models, pose_detector
from segdata.errors import InputError


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="choose multi-pass, full-range or short-range"):
        face_detector("hog")
    with pytest.raises(InputError, match="choose blazepose"):
        pose_detector("hog")


def test_a_detector_is_made_once_in_a_process_and_anew_in_a_forked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FACES, "counting", object)
    first = face_detector("counting")
    assert face_detector("counting") is first
    monkeypatch.setattr(segdata.detect.os, "getpid", lambda: -1)
    assert face_detector("counting") is not first


def test_without_mediapipe_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    for make in (lambda: mediapipe_models.blazeface("full", 0.5), mediapipe_models.blazepose):
        with pytest.raises(InputError, match=r"not installed: pip install 'segdata\[detect\]'"):
            make()


def test_without_a_model_file_one_sentence_says_where_to_put_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tasks = types.ModuleType("mediapipe.tasks.python")
    tasks.BaseOptions, tasks.vision = object, object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mediapipe", types.ModuleType("mediapipe"))
    monkeypatch.setitem(sys.modules, "mediapipe.tasks", types.ModuleType("mediapipe.tasks"))
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", tasks)
    monkeypatch.setenv("SEGDATA_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"blaze_face_full_range\.tflite") as raised:
        mediapipe_models.blazeface("full", 0.5)
    assert str(tmp_path) in str(raised.value)
    assert "https://" in raised.value.hint
    with pytest.raises(InputError, match=r"pose_landmarker_full\.task"):
        mediapipe_models.blazepose()


def test_a_damaged_model_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    monkeypatch.delattr(mediapipe, "solutions", raising=False)
    monkeypatch.setenv("SEGDATA_MODELS", str(tmp_path))
    for name, make in (
        ("selfie_segmenter.tflite", mediapipe_models.selfie_mask),
        ("pose_landmarker_full.task", mediapipe_models.pose_mask),
        ("blaze_face_full_range.tflite", lambda: mediapipe_models.blazeface("full", 0.5)),
    ):
        (tmp_path / name).write_text("half of it")
        with pytest.raises(
            InputError, match=rf"{tmp_path / name} cannot be opened \(.*: get it again by segdata models"
        ):
            make()


def test_loading_detectors_does_not_load_mediapipe() -> None:
    import subprocess

    code = "import sys, segdata.detect; sys.exit('mediapipe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("code", ["face_detector().detect(image)", "pose_detector().detect(image)"])
def test_nothing_is_spilt_on_the_error_stream(shared_data: Path, code: str) -> None:
    pytest.importorskip("mediapipe")
    import subprocess

    photo = shared_data / "ccp" / "photos" / "0018.jpg"
    script = (
        "import cv2; from segdata.detect import face_detector, pose_detector;"
        f"image = cv2.imread({str(photo)!r})[:, :, ::-1].copy(); assert {code}"
    )
    run = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
