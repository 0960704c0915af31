"""ResNeXt-29 (32 x 4d) as a feature extractor: three stages of three blocks, as a builder function with plain numbers.

Source: Xie et al., 2017: the blocks of its ResNeXt-50 (32 x 4d), in the depth of its ResNeXt-29.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from segdata.models.layers import ConvBlock


class ResNeXtBlock(nn.Module):
    """Narrow to `width`, filter in `groups` of channels, widen; added to the input, of the same shape or projected.

    From (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, inputs: int, width: int, outputs: int, *, stride: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(inputs, width, 1),
            ConvBlock(width, width, stride=stride, groups=groups),
            ConvBlock(width, outputs, 1, activation=None),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvBlock(inputs, outputs, 1, stride=stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Give the filtered features."""
        return functional.relu(self.layers(x) + self.shortcut(x))


class ResNeXt(nn.Module):
    """From normalised (N, inputs, H, W) to features at strides 4, 8 and 16, as wide as `channels` says."""

    def __init__(self, name: str, inputs: int, stages: list[list[ResNeXtBlock]], channels: list[int]) -> None:
        super().__init__()
        self.name = name
        self.channels = channels
        self.stem = nn.Sequential(ConvBlock(inputs, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList([nn.Sequential(*blocks) for blocks in stages])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the features at strides 4, 8 and 16."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def resnext29(inputs: int) -> ResNeXt:
    """ResNeXt-29 (32 x 4d): 4.8 million parameters up to stride 16.

    Its 29 layers are the first convolution, nine blocks of three, and the classifier, which is left out here.
    """
    return ResNeXt(
        "resnext29-32x4d",
        inputs,
        [
            [
                ResNeXtBlock(64, 128, 256, stride=1, groups=32),
                ResNeXtBlock(256, 128, 256, stride=1, groups=32),
                ResNeXtBlock(256, 128, 256, stride=1, groups=32),
            ],
            [
                ResNeXtBlock(256, 256, 512, stride=2, groups=32),
                ResNeXtBlock(512, 256, 512, stride=1, groups=32),
                ResNeXtBlock(512, 256, 512, stride=1, groups=32),
            ],
            [
                ResNeXtBlock(512, 512, 1024, stride=2, groups=32),
                ResNeXtBlock(1024, 512, 1024, stride=1, groups=32),
                ResNeXtBlock(1024, 512, 1024, stride=1, groups=32),
            ],
        ],
        [256, 512, 1024],
    )
