"""What a network costs: its parameters, and the floating-point operations of one run.

Operations are those of convolutions and matrix products, two for each multiply-add: a layer whose W weights are used at
P places costs 2 P W. Everything else (interpolation, sums, activations) is left out, as is usual. Parameters are the
weights and biases of those layers; batch normalisation that is still apart counts too.
"""

from __future__ import annotations

import io
import zipfile
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from segdata.models.networks import AnyNetwork

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_PASSED_ON = frozenset({"Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose"})

# Operators of TensorFlow Lite's schema.
_CONV, _DEPTHWISE, _DENSE, _CUSTOM = 3, 4, 9, 32
_DEQUANTIZE, _DENSIFY = 6, 124
_TRANSPOSED = b"Convolution2DTransposeBias"  # mediapipe's own


class Cost(NamedTuple):
    """The number of parameters and of operations of one run; None for what cannot be counted."""

    parameters: int | None
    operations: int | None


UNKNOWN = Cost(None, None)


def onnx_cost(path: Path, shape: tuple[int, int]) -> Cost:
    """Count what an ONNX model costs for one photo of `shape` (height, width): it is run once, on black.

    Unknown where the package `onnx` is not installed. The operations are unknown where the graph has products of two
    tensors that are both computed.
    """
    try:
        import onnx  # noqa: PLC0415
    except ImportError:
        return UNKNOWN
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    model = onnx.load(path)
    constants = {each.name: tuple(each.dims) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = tuple(node.attribute[0].t.dims)
    makers = {name: node for node in model.graph.node for name in node.output}

    def constant(name: str) -> str | None:
        while name not in constants:
            if name not in makers or makers[name].op_type not in _PASSED_ON:
                return None
            name = makers[name].input[0]
        return name

    layers = [node for node in model.graph.node if node.op_type in _PRODUCTS]
    places = {_where_used(node): None for node in layers}  # each once, in order
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in places)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    channels = session.get_inputs()[0].shape[3]
    values = session.run(None, {"image": np.zeros((1, *shape, channels), np.uint8)})
    shapes = {name: value.shape for name, value in zip(places, values, strict=True)}

    used, operations, whole = set(), 0, True
    for node in layers:
        weights = constant(node.input[1])
        whole = whole and weights is not None
        if weights is None:
            continue
        used |= {found for name in node.input[1:] if (found := constant(name)) is not None}
        at = shapes[_where_used(node)]
        channels = at[1] if node.op_type.startswith("Conv") else at[-1]
        operations += 2 * prod(at) // channels * prod(constants[weights])
    return Cost(sum(prod(constants[name]) for name in used), operations if whole else None)


def _where_used(node: Any) -> str:
    """Give the tensor at each of whose places a layer uses all of its weights."""
    name: str = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    return name


def torch_cost(network: AnyNetwork, shape: tuple[int, int]) -> Cost:
    """Count what a network costs for one photo of `shape`: it is run once, on black.

    Of a network with a branch for each domain the operations are those of one that has learnt, the parameters all.
    """
    import torch  # noqa: PLC0415
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    parameters = list(network.parameters())
    counter = FlopCounterMode(display=False)
    device = parameters[0].device
    black = torch.zeros(1, 4 if {"prior", "saliency"} & network.needs else 3, *shape, device=device)
    domain = [cast("torch.Tensor", network.seen).argmax()[None]] if "domain" in network.needs else []
    with torch.no_grad(), counter:
        network(black, *domain)
    return Cost(sum(each.numel() for each in parameters), counter.get_total_flops())


def tflite_cost(paths: Iterable[Path]) -> Cost:
    """Count what mediapipe's models cost, at the sizes they are made for: each network in these files once.

    The files are .tflite, or .task bundles of them. Unknown where mediapipe does not come with the files' schema.
    """
    try:
        from mediapipe.tasks.metadata import schema_py_generated as schema  # noqa: PLC0415
    except ImportError:
        return UNKNOWN
    costs = [_graph_cost(schema, data) for path in paths for data in _graphs(path)]
    return Cost(sum(parameters for parameters, _ in costs), sum(operations for _, operations in costs))


def _graphs(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if path.suffix == ".task":
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            yield from (bundle.read(name) for name in bundle.namelist() if name.endswith(".tflite"))
    else:
        yield data


def _graph_cost(schema: Any, data: bytes) -> tuple[int, int]:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = model.subgraphs[0]
    codes = [model.operatorCodes[layer.opcodeIndex] for layer in graph.operators]
    layers = list(zip(graph.operators, map(_kind, codes), codes, strict=True))
    stored_in = {layer.outputs[0]: layer.inputs[0] for layer, kind, _ in layers if kind in {_DEQUANTIZE, _DENSIFY}}

    def size(tensor: int) -> int:
        return prod(int(side) for side in graph.tensors[tensor].shape)

    used: dict[int, int] = {}
    operations = 0
    for layer, kind, code in layers:
        transposed = kind == _CUSTOM and code.customCode == _TRANSPOSED
        if kind not in {_CONV, _DEPTHWISE, _DENSE} and not transposed:
            continue
        at, weights = layer.inputs[0] if transposed else layer.outputs[0], layer.inputs[1]
        operations += 2 * size(at) // int(graph.tensors[at].shape[-1]) * size(weights)
        for tensor in layer.inputs[1:]:
            if tensor >= 0:  # a layer without biases has -1
                stored = int(stored_in.get(tensor, tensor))
                used[int(stored_in.get(stored, stored))] = size(tensor)
    return sum(used.values()), operations


def _kind(code: Any) -> int:
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))  # small numbers stand in the older field
