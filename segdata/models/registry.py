"""The models that segment persons, by name: one table, and how each is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segdata.errors import InputError
from segdata.models.base import Segmenter

BUNDLED = Path(__file__).with_name("weights") / "alisnet.onnx"
BUNDLED_OPTIONS: dict[str, str | int | float | bool] = {"points": False, "context": True}
"""What the network of the bundled file is built with: it is an ``alisnet``."""


def open_model(name: str | Path, *, threads: int | None = None) -> Segmenter:
    """Open a model by its name (`MODELS`), or as an ONNX file, or as the folder of a training run.

    `threads` is how many threads the network may use, by default as many as its runtime likes; mediapipe decides
    that by itself.

    Raises `InputError` for a name that is none of these, and where a file or package that the model needs is missing.

    >>> open_model("nonesuch")
    Traceback (most recent call last):
    ...
    segdata.errors.InputError: ...
    """
    if str(name) in MODELS:
        return MODELS[str(name)](threads)
    path = Path(name)
    if path.is_dir():
        return _run(path, threads)
    if path.suffix == ".onnx":
        return _onnx(path, threads)
    raise InputError(f"{name} is no model", f"choose {', '.join(MODELS)}, a FILE.onnx, or the folder of a training run")


def _run(path: Path, threads: int | None) -> Segmenter:
    try:
        from segdata.models.runs import TorchSegmenter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path} is a training run, and {error.name}, which runs it, is not installed",
            "pip install 'segdata[train]', or export the model to ONNX",
        ) from error
    return TorchSegmenter(path, threads=threads)


def _bundled(threads: int | None) -> Segmenter:
    return _onnx(BUNDLED, threads)


def _onnx(path: Path, threads: int | None) -> Segmenter:
    if not path.is_file():
        raise InputError(f"the model file {path} does not exist", "check the path; segdata models lists what there is")
    from segdata.models.onnx_model import OnnxSegmenter  # noqa: PLC0415

    return OnnxSegmenter(path, threads)


def _selfie(_threads: int | None) -> Segmenter:
    from segdata.models.mediapipe_segmenters import SelfieSegmenter  # noqa: PLC0415

    return SelfieSegmenter()


def _pose(_threads: int | None) -> Segmenter:
    from segdata.models.mediapipe_segmenters import PoseSegmenter  # noqa: PLC0415

    return PoseSegmenter()


MODELS: dict[str, Callable[[int | None], Segmenter]] = {
    "bundled": _bundled,
    "mediapipe-selfie": _selfie,
    "mediapipe-pose": _pose,
}
