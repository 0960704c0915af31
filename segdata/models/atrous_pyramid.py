"""Atrous spatial pyramid pooling (DeepLabv3, Chen et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdata.models.layers import ConvBlock


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling, from (N, inputs, h, w) to (N, outputs, h, w).

    A 1 x 1 convolution, a 3 x 3 one for each dilation rate and the mean of the whole photo, each of `outputs`
    channels, side by side; a 1 x 1 convolution mixes them.
    """

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvBlock(inputs, outputs, 1), *(_atrous(inputs, outputs, r) for r in rates)])
        # Without batch normalisation: a batch of one photo has one mean, which has no deviation.
        self.photo = nn.Conv2d(inputs, outputs, 1)
        self.mix = ConvBlock(outputs * (len(rates) + 2), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the mixed features."""
        photo = functional.relu(self.photo(x.mean(dim=(2, 3), keepdim=True)))
        parts = [branch(x) for branch in self.branches]
        mixed: Tensor = self.mix(torch.cat([*parts, photo.expand_as(parts[0])], dim=1))
        return mixed


def _atrous(inputs: int, outputs: int, rate: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
