"""Models in ONNX files, run by ONNX Runtime alone."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segdata.engine.worker import is_worker
from segdata.errors import InputError
from segdata.models.model_file import read_facts
from segdata.models.probability import sigmoid
from segdata.models.shapes import enlarge, fit, network_shape, with_fourth

if TYPE_CHECKING:
    from segdata.models.base import Image, Probabilities

_ERRORS_ALONE = 3


class OnnxSegmenter:
    """A `Segmenter` out of an ONNX file such as export-model writes.

    `sha256` tells it from any other model (`model_file.ModelFacts`), and `pixels` is the number of pixels that photos
    are brought to. `threads` are those of one photo's computation, by default all cores; in a worker process one, for
    there the other workers have the other cores, and photos side by side are done sooner than one photo split up. The
    result is the same to the bit for any number of threads and any batch. On a machine with a GPU and the package
    onnxruntime-gpu the GPU is used.

    Raises `InputError` that names the file where it cannot be read, is no such model, or is damaged.
    """

    uses_domains = False

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"the model file {path} cannot be read ({error.strerror})", "check the path") from error
        facts = read_facts(data, str(path))
        self.name, self.who, self.threshold = facts.name, facts.who, facts.threshold
        self.pixels, self.sha256, self.fourth = facts.pixels, facts.sha256, facts.fourth
        self._session = _open(path, data, threads or _threads())
        ends = [(end.name, end.type) for end in (*self._session.get_inputs(), *self._session.get_outputs())]
        channels = self._session.get_inputs()[0].shape[3:], self._session.get_outputs()[0].shape[1:2]
        right = [4 if self.fourth else 3], [len(self.who)]
        if ends != [("image", "tensor(uint8)"), ("logits", "tensor(float)")] or channels != right:
            raise InputError(
                f"{path} takes or gives something else than a model of segdata ({ends})", "export the model again"
            )

    def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Give float32 (K, H, W) in [0, 1] for each uint8 (H, W, 3) RGB photo; those seen at one shape run together.

        A model with a `fourth` channel takes (H, W, 4) as well.
        """
        places: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            places[network_shape((image.shape[0], image.shape[1]), self.pixels)].append(place)
        found: dict[int, Probabilities] = {}
        for shape, members in places.items():
            seen = np.stack([fit(with_fourth(images[place], self.fourth), shape) for place in members])
            for place, each in zip(members, self.logits(seen), strict=True):
                height, width = images[place].shape[:2]
                found[place] = sigmoid(enlarge(each, (height, width)))
        return [found[place] for place in range(len(images))]

    def logits(self, seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Give what the network itself gives, float32 (N, K, h, w), of uint8 (N, H, W, C); 32 divides H and W."""
        found: npt.NDArray[np.float32] = self._session.run(["logits"], {"image": seen})[0]
        return found

    def for_domain(self, _domain: str | None) -> OnnxSegmenter:
        """Give itself: a file holds no branches for domains."""
        return self


def _open(path: str | Path, data: bytes, threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415 - takes a quarter of a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ALONE
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the cores in between
    there = onnxruntime.get_available_providers()
    providers = [each for each in ("CUDAExecutionProvider", "CPUExecutionProvider") if each in there]
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # those of ONNX Runtime share no other base
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be opened by ONNX Runtime ({reason})", "export the model again") from error


def _threads() -> int:
    if is_worker():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
