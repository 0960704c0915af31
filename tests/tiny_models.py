"""A model file of a few bytes whose answers are known, and a data set that it fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from segdata.pixels import encode_photo, encode_png


def colour_model(path: Path, *, name: str = "colours") -> Path:
    """Write an ONNX file by the contract that takes what is red for all persons, and what is green for the dominant."""
    from onnx import TensorProto, helper, numpy_helper

    from segdata.models.model_file import ModelFacts, add_facts

    weights = np.array([[1, 0, 0], [0, 1, 0]], np.float32).reshape(2, 3, 1, 1)
    bias = np.array([-128, -128], np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, "h", "w"])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    facts = ModelFacts(name, ("all", "dominant"), 64 * 64, 0.5, "CC0-1.0")
    path.write_bytes(add_facts(model.SerializeToString(), facts))
    return path


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
