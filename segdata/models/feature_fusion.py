"""BiSeNet's feature fusion module (Yu et al., 2018): RCRNet joins its bypass with it, TriSeNet its paths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segdata.models.layers import ConvBlock


class FeatureFusion(nn.Module):
    """From features of one size and `inputs` channels together to (N, outputs, h, w).

    A 1 x 1 convolution combines them. Weights in (0, 1), one a channel, come from the channels' means through a
    bottleneck of `outputs` / `reduction`; what they weigh is added to the combined features.
    """

    def __init__(self, inputs: int, outputs: int, *, reduction: int = 1) -> None:
        super().__init__()
        self.combine = ConvBlock(inputs, outputs, 1)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs // reduction, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Give the fused features."""
        combined: Tensor = self.combine(torch.cat(list(features), dim=1))
        fused: Tensor = combined + combined * self.weigh(combined)
        return fused
