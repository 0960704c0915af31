"""ResNet18 (He et al., 2016) without its classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from segdata.models.layers import ConvBlock


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBlock(inputs, outputs, stride=stride)
        self.second = ConvBlock(outputs, outputs, activation=None)
        changes = stride > 1 or inputs != outputs
        self.shortcut = ConvBlock(inputs, outputs, 1, stride=stride, activation=None) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNet18(nn.Module):
    """From normalised (N, 3, H, W) to features of 128, 256 and 512 channels at strides 8, 16 and 32.

    11.18 million parameters, 1.81 billion multiply-adds at 224 x 224.
    """

    name = "resnet18"
    channels = (128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    _Residual(64, 64, 1), _Residual(64, 64, 1), _Residual(64, 128, 2), _Residual(128, 128, 1)
                ),
                nn.Sequential(_Residual(128, 256, 2), _Residual(256, 256, 1)),
                nn.Sequential(_Residual(256, 512, 2), _Residual(512, 512, 1)),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the features, finest first."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
