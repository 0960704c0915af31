"""Import one module and try it out, in a process of its own: a broken native library ends that process alone.

`python -m segdata.ops.package_probe MODULE` prints `WORKS` and what there is to say as its last line, or ends with one
sentence on stderr.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path

WORKS = "works"


def _opencv() -> str:
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    _, jpeg = cv2.imencode(".jpg", np.full((8, 8, 3), 100, np.uint8))
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    if decoded is None or not np.all(decoded == 100):
        raise RuntimeError("a JPEG is decoded wrongly")
    _ = cv2.ximgproc.createSuperpixelSLIC  # another package of OpenCV's may have written over it
    return ""


def _pillow() -> str:
    from PIL import Image  # noqa: PLC0415

    file = BytesIO()
    Image.new("L", (8, 8), 100).save(file, "JPEG")
    if Image.open(file).getpixel((0, 0)) != 100:
        raise RuntimeError("a JPEG is decoded wrongly")
    return ""


def _pycocotools() -> str:
    import numpy as np  # noqa: PLC0415
    from pycocotools import mask  # noqa: PLC0415

    if mask.area(mask.encode(np.ones((8, 8), np.uint8, order="F"))) != 64:
        raise RuntimeError("a mask is encoded wrongly")
    return ""


def _onnxruntime() -> str:
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    from segdata.models.registry import BUNDLED  # noqa: PLC0415

    session = onnxruntime.InferenceSession(BUNDLED, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": np.zeros((1, 32, 32, 3), np.uint8)})
    if not np.isfinite(logits).all():
        raise RuntimeError("the bundled model gives no numbers")
    return "on a GPU" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "on the CPU"


def _mediapipe() -> str:
    import mediapipe  # noqa: PLC0415

    for library in Path(mediapipe.__file__).parent.glob("tasks/c/*mediapipe.*"):
        ctypes.CDLL(str(library))  # newer wheels load it on first use alone
    return ""


def _torch() -> str:
    import torch  # noqa: PLC0415

    if torch.ones(2).sum().item() != 2:
        raise RuntimeError("a sum is wrong")
    if torch.cuda.is_available():
        return f"on {torch.cuda.get_device_name()}"
    return "on the GPU of this Mac" if torch.backends.mps.is_available() else "on the CPU, no GPU is found"


def _catalogue() -> str:
    import msgspec  # noqa: PLC0415

    from segdata.models.catalogue import models  # noqa: PLC0415

    return msgspec.json.encode(models(check=True)).decode()


_TRIALS: dict[str, Callable[[], str]] = {
    "cv2": _opencv,
    "PIL": _pillow,
    "pycocotools": _pycocotools,
    "onnxruntime": _onnxruntime,
    "mediapipe": _mediapipe,
    "torch": _torch,
    "segdata.models.catalogue": _catalogue,
}


def _main(module: str) -> None:
    try:
        import_module(module)
        found = _TRIALS[module]() if module in _TRIALS else ""
    except BaseException as error:  # noqa: BLE001 - an import may raise anything
        cause: BaseException = error
        while cause.__cause__ is not None:  # numpy wraps the reason in a page of advice
            cause = cause.__cause__
        reason = str(cause).strip().partition("\n")[0]
        sys.exit(f"{type(cause).__name__}: {reason}")
    sys.stdout.write(f"\n{WORKS} {found}\n")


if __name__ == "__main__":
    _main(sys.argv[1])
