"""A package that is tried works only where its answer is right, and what there is to say of it is said."""

from __future__ import annotations

import ctypes
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

from segdata.models.catalogue import models
from segdata.ops import package_probe
from segdata.ops.package_probe import _main, _mediapipe, _onnxruntime, _opencv, _pillow, _pycocotools, _torch


class TestOpenCV:
    def test_works_without_anything_to_say(self) -> None:
        assert _opencv() == ""

    def test_tries_a_grey_square_of_8_pixels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encode = cv2.imencode
        seen = []

        def imencode(*arguments: Any) -> Any:
            seen.append(arguments)
            return encode(*arguments)

        monkeypatch.setattr(cv2, "imencode", imencode)
        _opencv()
        ((kind, image),) = seen
        assert kind == ".jpg"
        np.testing.assert_array_equal(image, np.full((8, 8, 3), 100, np.uint8))

    @pytest.mark.parametrize("wrong", [99, 101])
    def test_one_wrong_pixel_is_a_wrong_jpeg(self, monkeypatch: pytest.MonkeyPatch, wrong: int) -> None:
        decoded = np.full((8, 8, 3), 100, np.uint8)
        decoded[7, 7, 2] = wrong
        monkeypatch.setattr(cv2, "imdecode", lambda *_: decoded)
        with pytest.raises(RuntimeError, match="a JPEG is decoded wrongly"):
            _opencv()
        decoded[7, 7, 2] = 100
        assert _opencv() == ""

    def test_no_pixels_at_all_are_a_wrong_jpeg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
        with pytest.raises(RuntimeError, match="a JPEG is decoded wrongly"):
            _opencv()

    def test_another_package_of_opencv_that_has_written_over_it_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(cv2.ximgproc, "createSuperpixelSLIC")
        with pytest.raises(AttributeError, match="createSuperpixelSLIC"):
            _opencv()


class TestPillow:
    def test_works_without_anything_to_say(self) -> None:
        assert _pillow() == ""

    @pytest.mark.parametrize(("value", "works"), [(0, False), (99, False), (100, True), (101, False), (255, False)])
    def test_works_where_grey_of_100_is_decoded_as_100(
        self, monkeypatch: pytest.MonkeyPatch, value: int, works: bool
    ) -> None:
        monkeypatch.setattr(Image, "open", lambda _: Image.new("L", (1, 1), value))
        if works:
            assert _pillow() == ""
        else:
            with pytest.raises(RuntimeError, match="a JPEG is decoded wrongly"):
                _pillow()


class TestPycocotools:
    def test_works_without_anything_to_say(self) -> None:
        assert _pycocotools() == ""

    @pytest.mark.parametrize(("area", "works"), [(0, False), (63, False), (64, True), (65, False)])
    def test_works_where_8_by_8_pixels_are_64(self, monkeypatch: pytest.MonkeyPatch, area: int, works: bool) -> None:
        monkeypatch.setattr(mask, "area", lambda _: area)
        if works:
            assert _pycocotools() == ""
        else:
            with pytest.raises(RuntimeError, match="a mask is encoded wrongly"):
                _pycocotools()


class TestOnnxRuntime:
    @pytest.mark.parametrize(
        ("providers", "said"),
        [
            (["CPUExecutionProvider"], "on the CPU"),
            (["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"], "on a GPU"),
        ],
    )
    def test_says_what_it_can_run_on(self, monkeypatch: pytest.MonkeyPatch, providers: list[str], said: str) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        assert _onnxruntime() == said

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
    def test_one_logit_that_is_no_number_is_an_error(self, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        logits = np.zeros((1, 2, 32, 32), np.float32)
        session = SimpleNamespace(run=lambda *_: [logits])
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
        assert _onnxruntime().startswith("on ")
        logits[0, 1, 31, 31] = wrong
        with pytest.raises(RuntimeError, match="the bundled model gives no numbers"):
            _onnxruntime()


class TestMediapipe:
    def test_its_library_is_loaded_where_a_wheel_has_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace(__file__=str(tmp_path / "__init__.py")))
        loaded: list[str] = []
        monkeypatch.setattr(ctypes, "CDLL", loaded.append)
        assert _mediapipe() == ""
        assert loaded == [], "older wheels have none"
        (tmp_path / "tasks/c").mkdir(parents=True)
        (tmp_path / "tasks/c/libmediapipe.so").touch()
        (tmp_path / "tasks/c/notes.txt").touch()
        assert _mediapipe() == ""
        assert loaded == [str(tmp_path / "tasks/c/libmediapipe.so")]


class _Torch:
    """What is asked of torch: a sum, and which accelerators there are."""

    def __init__(self, *, cuda: bool = False, mps: bool = False, off: float = 0) -> None:
        self.cuda = SimpleNamespace(is_available=lambda: cuda, get_device_name=lambda: "NVIDIA T4")
        self.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
        self.off = off

    def ones(self, count: int) -> Any:
        return SimpleNamespace(sum=lambda: SimpleNamespace(item=lambda: count + self.off))


class TestTorch:
    @pytest.mark.parametrize(
        ("cuda", "mps", "said"),
        [
            (True, False, "on NVIDIA T4"),
            (True, True, "on NVIDIA T4"),
            (False, True, "on the GPU of this Mac"),
            (False, False, "on the CPU, no GPU is found"),
        ],
    )
    def test_says_what_it_runs_on(self, monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, said: str) -> None:
        monkeypatch.setitem(sys.modules, "torch", _Torch(cuda=cuda, mps=mps))
        assert _torch() == said

    @pytest.mark.parametrize("off", [-1, 1, float("nan")])
    def test_a_wrong_sum_is_an_error(self, monkeypatch: pytest.MonkeyPatch, off: float) -> None:
        monkeypatch.setitem(sys.modules, "torch", _Torch(off=off))
        with pytest.raises(RuntimeError, match="a sum is wrong"):
            _torch()

    def test_the_real_one_works(self) -> None:
        pytest.importorskip("torch")
        assert _torch().startswith("on ")


class TestTheProcess:
    def test_ends_with_works_on_a_line_of_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        _main("json")
        assert capsys.readouterr().out == "\nworks \n"

    def test_tries_each_package_with_the_trial_of_its_name(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for module in package_probe._TRIALS:
            monkeypatch.setitem(sys.modules, module, SimpleNamespace())
            monkeypatch.setitem(package_probe._TRIALS, module, partial("tried {}".format, module))
        for module in package_probe._TRIALS:
            _main(module)
            assert capsys.readouterr().out == f"\nworks tried {module}\n"

    def test_knows_the_trial_of_each_package(self) -> None:
        assert {module: trial.__name__ for module, trial in package_probe._TRIALS.items()} == {
            "cv2": "_opencv",
            "PIL": "_pillow",
            "pycocotools": "_pycocotools",
            "onnxruntime": "_onnxruntime",
            "mediapipe": "_mediapipe",
            "torch": "_torch",
            "segdata.models.catalogue": "_catalogue",
        }

    def test_lists_the_models_with_what_was_looked_up_of_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        _main("segdata.models.catalogue")
        line = capsys.readouterr().out.splitlines()[-1]
        assert line == f"works {msgspec.json.encode(models(check=True)).decode()}"

    @pytest.mark.parametrize(
        ("raised", "sentence"),
        [
            (RuntimeError("another machine's\nand a page of advice"), "RuntimeError: another machine's"),
            (RuntimeError("\n  first comes an empty line\nand more"), "RuntimeError: first comes an empty line"),
            (KeyboardInterrupt(), "KeyboardInterrupt: "),
            (SystemExit(3), "SystemExit: 3"),
        ],
    )
    def test_ends_with_the_first_line_of_what_is_wrong(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        raised: BaseException,
        sentence: str,
    ) -> None:
        def trial() -> str:
            raise raised

        monkeypatch.setitem(package_probe._TRIALS, "json", trial)
        with pytest.raises(SystemExit) as caught:
            _main("json")
        assert caught.value.code == sentence
        assert capsys.readouterr().out == ""

    def test_ends_with_the_first_of_all_causes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def trial() -> str:
            try:
                try:
                    raise OSError("libGL.so.1 is missing")
                except OSError as error:
                    raise ImportError("a page of advice") from error
            except ImportError as error:
                raise RuntimeError("nothing works") from error

        monkeypatch.setitem(package_probe._TRIALS, "json", trial)
        with pytest.raises(SystemExit) as caught:
            _main("json")
        assert caught.value.code == "OSError: libGL.so.1 is missing"
