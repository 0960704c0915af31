"""Model files of a few bytes whose answers are known, and photos and a data set that they fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segdata.files import write_file
from segdata.models.model_file import ModelFacts, add_facts
from segdata.pixels import encode_photo, encode_png

PIXELS = 64 * 64
STEEP, MIDDLE = 0.1, 70
"""A pixel's logit in `red_model` is STEEP times what red is above green, less MIDDLE."""


def red_model(
    path: Path, *, name: str = "red", pixels: int = PIXELS, threshold: float = 0.5, channels: int = 2
) -> Path:
    """Write a model of all persons, who are red; of the dominant one its logits are half of that.

    It is a file such as export-model writes, with logits on a grid of half the size.
    """
    weights = np.zeros((channels, 3, 2, 2), np.float32)
    weights[0, 0], weights[0, 1] = STEEP / 4, -STEEP / 4
    weights[1:] = weights[0] / 2
    bias = np.array([-STEEP * MIDDLE] + [-STEEP * MIDDLE / 2] * (channels - 1), np.float32)
    return _write(path, weights, bias, ModelFacts(name, ("all", "dominant"), pixels, threshold, "CC0-1.0"))


def colour_model(path: Path, *, name: str = "colours") -> Path:
    """Write a model that takes what is red for all persons, and what is green for the dominant one."""
    weights = np.array([[1, 0, 0], [0, 1, 0]], np.float32).reshape(2, 3, 1, 1)
    bias = np.array([-128, -128], np.float32)
    return _write(path, weights, bias, ModelFacts(name, ("all", "dominant"), PIXELS, 0.5, "CC0-1.0"))


def _write(path: Path, weights: NDArray[np.float32], bias: NDArray[np.float32], facts: ModelFacts) -> Path:
    """Write a model of one convolution without overlap, by the contract for ONNX files."""
    onnx: Any = pytest.importorskip("onnx")
    make, kinds, ends = onnx.helper.make_node, onnx.TensorProto, onnx.helper.make_tensor_value_info
    channels, side = len(weights), weights.shape[-1]
    nodes = [
        make("Cast", ["image"], ["floats"], to=kinds.FLOAT),
        make("Transpose", ["floats"], ["pixels"], perm=[0, 3, 1, 2]),
        make("Conv", ["pixels", "weights", "bias"], ["logits"], strides=[side, side]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        facts.name,
        [ends("image", kinds.UINT8, ["n", "h", "w", 3])],
        [ends("logits", kinds.FLOAT, ["n", channels, "h2", "w2"])],
        [onnx.numpy_helper.from_array(weights, "weights"), onnx.numpy_helper.from_array(bias, "bias")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    write_file(path, add_facts(model.SerializeToString(), facts))
    return path


def scene(height: int, width: int, *persons: tuple[int, int, int, int], red: int = 200) -> NDArray[np.uint8]:
    """Draw a grey photo with red rectangles: top, left, height, width."""
    photo = np.full((height, width, 3), 60, np.uint8)
    for top, left, high, wide in persons:
        photo[top : top + high, left : left + wide, 0] = red
    return photo


def colour_data(root: Path, *, persons: int = 1) -> Path:
    """Write a data set of four 64 x 64 photos, each with a yellow person and, beside it, a red one that masks lack.

    The masks hold the yellow person; `persons` are listed in each row. Splits: train, test, test, test.
    """
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = []
    for number in range(4):
        photo = np.zeros((64, 64, 3), np.uint8)
        photo[8:40, 8:24] = (255, 255, 0)
        photo[8:40, 40:56] = (255, 0, 0)
        mask = np.zeros((64, 64), bool)
        mask[8:40, 8:24] = True
        key = f"{number:04}"
        (root / "images" / f"{key}.png").write_bytes(encode_photo(photo, ".png"))
        (root / "masks" / f"{key}.png").write_bytes(encode_png(mask))
        rows.append(
            {
                "key": key,
                "file_name": f"images/{key}.png",
                "mask_file_name": f"masks/{key}.png",
                "width": 64,
                "height": 64,
                "persons": [{"id": each} for each in range(persons)],
                "split": "test" if number else "train",
            }
        )
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root
