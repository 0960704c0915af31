"""Weights back out of an exported file, so that the model that comes with segdata can be trained further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from segdata.errors import InputError
from segdata.models.model_file import read_facts

if TYPE_CHECKING:
    from segdata.models.backbones import Backbone
    from segdata.models.networks import AnyNetwork

Arrays = dict[str, npt.NDArray[np.float32]]


def load_exported(network: AnyNetwork, path: Path) -> None:
    """Put the weights of an ONNX file, float or int8, that holds the same network into `network`, in place.

    Exported convolutions hold their batch normalisation; here it becomes one that adds the bias and changes nothing
    else, so that it must be left as it is in training (`freeze_norms`). Raises `InputError` where the file is damaged
    or holds another network.
    """
    data = path.read_bytes()
    read_facts(data, str(path))
    stored = _stored(data)
    try:
        _fill(network, stored)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path} does not hold this network ({error})", "choose the network that it was") from error


def freeze_norms(network: nn.Module) -> None:
    """Put the batch normalisations of a network in training into the state that they have when it predicts."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def _stored(data: bytes) -> Arrays:
    """Give the float32 weights of an ONNX model by name, int8 ones times their scales."""
    import onnx  # noqa: PLC0415

    graph = onnx.load_model_from_string(data).graph
    raw = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    floats: Arrays = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in raw:
            values, scale, zero = (raw[name] for name in node.input)
            axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
            shape = [-1 if place == axis else 1 for place in range(values.ndim)] if scale.ndim else []
            centred = values.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            floats[node.input[0].removesuffix("_quantized")] = centred * scale.reshape(shape)
    return {**{name: value.copy() for name, value in raw.items() if value.dtype == np.float32}, **floats}


def _fill(network: AnyNetwork, stored: Arrays) -> None:
    layers = dict(network.named_modules())
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d | nn.Conv1d):
            weight, bias = _weight(layer, name, stored, network), stored.get(f"network.{name}.bias")
            layer.weight.data.copy_(weight)
            if layer.bias is not None and bias is not None:
                layer.bias.data.copy_(torch.from_numpy(bias))
        elif isinstance(layer, nn.BatchNorm2d):
            block, _, place = name.rpartition(".")
            _pass_on(layer, _bias(f"{block}.{int(place) - 1}", stored))


def _weight(layer: nn.Conv1d | nn.Conv2d, name: str, stored: Arrays, network: AnyNetwork) -> torch.Tensor:
    """Give the weights of a convolution, of the first one as it works on pixels (see `segdata.models.deploy`)."""
    if f"network.{name}.weight" in stored:
        return torch.from_numpy(stored[f"network.{name}.weight"])
    blocks = torch.from_numpy(stored[f"network.{name}.1.weight"])
    outputs, before = blocks.shape[0], cast("tuple[int, ...]", layer.padding)[0]
    spread = blocks.view(outputs, 2, 2, 3, 2, 2).permute(0, 3, 4, 1, 5, 2).reshape(outputs, 3, 4, 4)
    return spread[:, :, before : before + 3, before : before + 3] * cast("Backbone", network.backbone).deviation


def _bias(name: str, stored: Arrays) -> torch.Tensor:
    within_blocks = stored.get(f"network.{name}.1.bias")
    return torch.from_numpy(stored[f"network.{name}.bias"] if within_blocks is None else within_blocks)


def _pass_on(norm: nn.BatchNorm2d, bias: torch.Tensor) -> None:
    """Make a batch normalisation add `bias` and do nothing else."""
    norm.weight.data.fill_(1)
    norm.bias.data.copy_(bias)
    cast("torch.Tensor", norm.running_mean).zero_()
    cast("torch.Tensor", norm.running_var).fill_(1 - norm.eps)
