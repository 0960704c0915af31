"""Xception39, the small Xception of BiSeNet (Yu et al., 2018): a stem and three groups of separable convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from segdata.models.layers import Activation, ConvBlock, relu


class _Separable(nn.Sequential):
    """A 3 x 3 convolution of each channel, then a 1 x 1 convolution; both are normalised, the second is activated."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, activation: Activation | None = relu) -> None:
        super().__init__(
            ConvBlock(inputs, inputs, stride=stride, groups=inputs, activation=None),
            ConvBlock(inputs, outputs, 1, activation=activation),
        )


class _Block(nn.Module):
    """Three separable convolutions of `width`, `width` and four times `width` channels, added to the input."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Separable(inputs, width, stride=stride),
            _Separable(width, width),
            _Separable(width, 4 * width, activation=None),
        )
        changes = stride > 1 or inputs != 4 * width
        self.shortcut = _Separable(inputs, 4 * width, stride=stride, activation=None) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.layers(x) + self.shortcut(x))


class Xception39(nn.Module):
    """From normalised (N, 3, H, W) to features of 64, 128 and 256 channels at strides 8, 16 and 32.

    0.31 million parameters, and the 39 million multiply-adds at 224 x 224 of its name.
    """

    name = "xception39"
    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, 8, stride=2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList([_group(8, 16, 4), _group(64, 32, 8), _group(128, 64, 4)])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the features, finest first."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _group(inputs: int, width: int, blocks: int) -> nn.Sequential:
    """Give a block that halves the resolution, and `blocks` - 1 that keep it."""
    return nn.Sequential(_Block(inputs, width, 2), *(_Block(4 * width, width, 1) for _ in range(blocks - 1)))
