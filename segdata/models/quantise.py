"""An ONNX model in 8 bits, calibrated on photos: static quantisation by ONNX Runtime, QDQ, weights by channel."""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segdata.errors import InputError

if TYPE_CHECKING:
    from segdata.models.base import Image

_QUANTISED = ("Conv", "Add", "Resize", "Relu", "Clip")
_LAYOUT = ("Reshape", "Gather", "Concat", "Transpose", "Cast")


def quantise(model: bytes, photos: Iterable[Image]) -> bytes:
    """Give an ONNX model of `onnx_graph` with weights and activations in 8 bits.

    `photos` are uint8 (H, W, 3) as the model will see them; the lowest and highest value that each activation takes
    on them is its range. Quantised is what leads to a two-dimensional convolution. The last such convolutions, which
    give the coarse logits, and all that is computed after them stay in float32: they are little work, and their errors
    would be the result's. Raises `InputError` without the package `onnx`.
    """
    try:
        import onnx  # noqa: PLC0415
        from onnxruntime.quantization import (  # noqa: PLC0415
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415
    except ImportError as error:
        raise InputError("quantisation needs the package onnx", "pip install 'segdata[train]'") from error
    logger = logging.getLogger()  # the one that the quantiser writes to
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "model.onnx")
            Path(path).write_bytes(model)
            quant_pre_process(path, path, skip_symbolic_shape=True)
            prepared = onnx.load(path)
            normalised = _normalised_pixels(prepared.graph)
            ranges = {normalised.name: [normalised.range]} if normalised else {}
            quantize_static(
                prepared,
                path,
                _Reader(photos),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=list(_QUANTISED),
                nodes_to_quantize=_nodes(prepared.graph),
                extra_options={"TensorQuantOverrides": ranges},
            )
            result = onnx.load(path)
    finally:
        logger.setLevel(level)
    if normalised:
        _take_bytes(result.graph, normalised)
    _look_up_bytes(result.graph)
    result.graph.ClearField("value_info")  # types that have changed, and a good part of the file
    data: bytes = result.SerializeToString(deterministic=True)
    return data


class _Reader:
    """Photos as ONNX Runtime's calibration asks for them."""

    def __init__(self, photos: Iterable[Image]) -> None:
        self._photos = iter(photos)

    def get_next(self) -> dict[str, Any] | None:
        photo = next(self._photos, None)
        return None if photo is None else {"image": photo[None]}

    def set_range(self, start_index: int, end_index: int) -> None:
        """Not used: photos are read in one go."""


def _nodes(graph: Any) -> list[str]:
    """Name the nodes to quantise, out of all that are a two-dimensional convolution or lead to one."""
    dimensions = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    leading: set[str] = set()
    names = []
    for node in reversed(graph.node):
        followed = any(output in leading for output in node.output)
        if followed or (node.op_type == "Conv" and dimensions.get(node.input[1]) == 4):
            leading.update(node.input)
        if followed and node.op_type in _QUANTISED:
            names.append(node.name)
    return names


class _Normalised:
    """The tensor of pixels less their mean, a whole number: as bytes with the mean as zero point it is the photo."""

    def __init__(self, name: str, pixels: str, mean: float) -> None:
        self.name, self.pixels = name, pixels
        self.range = {"rmin": np.float32(-mean), "rmax": np.float32(255 - mean)}


def _normalised_pixels(graph: Any) -> _Normalised | None:
    from onnx import numpy_helper  # noqa: PLC0415

    values = {tensor.name: tensor for tensor in graph.initializer}
    moved = {"image"}
    pixels = ""
    for node in graph.node:
        if (node.input and node.input[0] in moved) or (node.op_type == "Concat" and moved.issuperset(node.input)):
            if node.op_type == "Sub":
                mean = numpy_helper.to_array(values[node.input[1]])
                whole = mean.size == 1 and float(mean.item()).is_integer()
                return _Normalised(node.output[0], pixels, mean.item()) if whole else None
            if node.op_type == "Cast":
                pixels = node.input[0]
            if node.op_type in _LAYOUT:
                moved.update(node.output)
    return None


def _take_bytes(graph: Any, normalised: _Normalised) -> None:
    """Give the photo's own bytes to what took the quantised pixels, and drop what made those."""
    made = {output: node for node in graph.node for output in node.output}
    users = _users(graph)
    subtraction = made[normalised.name]
    (quantisation,) = users[normalised.name]
    for user in users[quantisation.output[0]]:
        user.input[0] = normalised.pixels
    for node in (quantisation, subtraction, made[subtraction.input[0]]):
        graph.node.remove(node)


def _look_up_bytes(graph: Any) -> None:
    """Dequantise what Gather takes out of a map of features, and not the map."""
    from onnx import helper  # noqa: PLC0415

    users = _users(graph)
    after = {}
    for source in graph.node:
        if source.op_type != "DequantizeLinear":
            continue
        for laid_out in users[source.output[0]]:
            ends = [gather for table in users[laid_out.output[0]] for gather in users[table.output[0]]]
            if laid_out.op_type != "Transpose" or not ends or any(end.op_type != "Gather" for end in ends):
                continue
            laid_out.input[0] = source.input[0]
            for gather in ends:
                result = gather.output[0]
                gather.output[0] = f"{result}_bytes"
                after[gather.name] = helper.make_node(
                    "DequantizeLinear", [gather.output[0], *source.input[1:]], [result], f"{gather.name}_dequantised"
                )
    nodes = [each for node in graph.node for each in (node, after.get(node.name)) if each is not None]
    del graph.node[:]
    graph.node.extend(nodes)


def _users(graph: Any) -> dict[str, list[Any]]:
    users = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    return users
