"""Mobile feature extractors: EfficientNet-Lite0, MobileNetV2 and MnasNet-B1, as builder functions with plain numbers.

Each gives features at strides 2, 4, 8, 16 and 32, and leaves out the layers that only classification needs. It takes
RGB pixels in [0, 255], of a height and width that 32 divides, and normalises them itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segdata.models.layers import Activation, ConvBlock, InvertedResidual, relu, relu6


class _Blocks(NamedTuple):
    expand: int
    kernel: int
    stride: int
    channels: int
    repeats: int


class Backbone(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to five feature maps at strides 2, 4, 8, 16 and 32.

    `name` is that in `BACKBONES`, `channels` holds the maps' widths. `mean` and `deviation` are those of the pixels
    that the weights were trained on.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        name: str,
        blocks: list[_Blocks],
        *,
        activation: Activation,
        mean: tuple[float, float, float],
        deviation: tuple[float, float, float],
        same: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)
        inputs = 32
        stage: list[nn.Module] = [ConvBlock(3, inputs, 3, stride=2, activation=activation, same=same, epsilon=epsilon)]
        stages: list[nn.Module] = []
        self.channels: list[int] = []
        for group in blocks:
            if group.stride == 2:
                stages.append(nn.Sequential(*stage))
                self.channels.append(inputs)
                stage = []
            for repeat in range(group.repeats):
                stage.append(
                    InvertedResidual(
                        inputs,
                        group.channels,
                        group.kernel,
                        stride=group.stride if repeat == 0 else 1,
                        expand=group.expand,
                        activation=activation,
                        same=same,
                        epsilon=epsilon,
                    )
                )
                inputs = group.channels
        self.stages = nn.ModuleList([*stages, nn.Sequential(*stage)])
        self.channels.append(inputs)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Give the features at strides 2, 4, 8, 16 and 32."""
        x = (pixels - self.mean) / self.deviation
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


def efficientnet_lite0() -> Backbone:
    """EfficientNet-Lite0 (TensorFlow's tpu repository): 2.96 million parameters up to stride 32."""
    return Backbone(
        "efficientnet-lite0",
        [
            _Blocks(1, 3, 1, 16, 1),
            _Blocks(6, 3, 2, 24, 2),
            _Blocks(6, 5, 2, 40, 2),
            _Blocks(6, 3, 2, 80, 3),
            _Blocks(6, 5, 1, 112, 3),
            _Blocks(6, 5, 2, 192, 4),
            _Blocks(6, 3, 1, 320, 1),
        ],
        activation=relu6,
        mean=(127.0, 127.0, 127.0),
        deviation=(128.0, 128.0, 128.0),
        same=True,
        epsilon=1e-3,
    )


def mobilenet_v2() -> Backbone:
    """MobileNetV2 (Sandler et al., 2018, table 2): 1.81 million parameters up to stride 32."""
    return Backbone(
        "mobilenet-v2",
        [
            _Blocks(1, 3, 1, 16, 1),
            _Blocks(6, 3, 2, 24, 2),
            _Blocks(6, 3, 2, 32, 3),
            _Blocks(6, 3, 2, 64, 4),
            _Blocks(6, 3, 1, 96, 3),
            _Blocks(6, 3, 2, 160, 3),
            _Blocks(6, 3, 1, 320, 1),
        ],
        activation=relu6,
        mean=_IMAGENET_MEAN,
        deviation=_IMAGENET_DEVIATION,
    )


def mnasnet_b1() -> Backbone:
    """MnasNet-B1 (Tan et al., 2019, figure 7 without squeeze and excitation): 2.7 million parameters to stride 32."""
    return Backbone(
        "mnasnet-b1",
        [
            _Blocks(1, 3, 1, 16, 1),
            _Blocks(3, 3, 2, 24, 3),
            _Blocks(3, 5, 2, 40, 3),
            _Blocks(6, 5, 2, 80, 3),
            _Blocks(6, 3, 1, 96, 2),
            _Blocks(6, 5, 2, 192, 4),
            _Blocks(6, 3, 1, 320, 1),
        ],
        activation=relu,
        mean=_IMAGENET_MEAN,
        deviation=_IMAGENET_DEVIATION,
    )


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "efficientnet-lite0": efficientnet_lite0,
    "mobilenet-v2": mobilenet_v2,
    "mnasnet-b1": mnasnet_b1,
}
