"""A model file for tests: whatever is red is a person, in the first channel; the second halves the logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segdata.files import write_file
from segdata.models.model_file import ModelFacts, add_facts

PIXELS = 64 * 64
STEEP, MIDDLE = 0.1, 70
"""A pixel's logit is STEEP times what red is above green, less MIDDLE."""


def red_model(
    path: Path, *, name: str = "red", pixels: int = PIXELS, threshold: float = 0.5, channels: int = 2
) -> Path:
    """Write it, as a file of the format that export-model writes: logits on a grid of half the size."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper.make_node, onnx.TensorProto
    weights = np.zeros((channels, 3, 2, 2), np.float32)
    weights[0, 0], weights[0, 1] = STEEP / 4, -STEEP / 4
    weights[1:] = weights[0] / 2
    bias = np.array([-STEEP * MIDDLE] + [-STEEP * MIDDLE / 2] * (channels - 1), np.float32)
    nodes = [
        make("Cast", ["image"], ["floats"], to=kinds.FLOAT),
        make("Transpose", ["floats"], ["pixels"], perm=[0, 3, 1, 2]),
        make("Conv", ["pixels", "weights", "bias"], ["logits"], strides=[2, 2]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "red",
        [onnx.helper.make_tensor_value_info("image", kinds.UINT8, ["n", "h", "w", 3])],
        [onnx.helper.make_tensor_value_info("logits", kinds.FLOAT, ["n", channels, "h2", "w2"])],
        [onnx.numpy_helper.from_array(weights, "weights"), onnx.numpy_helper.from_array(bias, "bias")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    facts = ModelFacts(name, ("all", "dominant"), pixels, threshold, "CC0-1.0")
    write_file(path, add_facts(model.SerializeToString(), facts))
    return path


def scene(height: int, width: int, *persons: tuple[int, int, int, int], red: int = 200) -> NDArray[np.uint8]:
    """Draw a grey photo with red rectangles: top, left, height, width."""
    photo = np.full((height, width, 3), 60, np.uint8)
    for top, left, high, wide in persons:
        photo[top : top + high, left : left + wide, 0] = red
    return photo
