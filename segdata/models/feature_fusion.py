"""The feature fusion module of BiSeNet and TriSeNet, with the head that predicts (md_trisenet.txt, figure 6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segdata.models.layers import ConvBlock


class FeatureFusion(nn.Module):
    """From the features of all paths, of one size and `inputs` channels together, to logits (N, outputs, h, w).

    A 1 x 1 convolution combines them to `width` channels. Weights in (0, 1), one a channel, come from the channels'
    means through a bottleneck of `width` / `reduction`; what they weigh is added to the combined features. A head of a
    3 x 3 convolution to `hidden` channels and one of 1 x 1 gives the logits.
    """

    def __init__(self, inputs: int, *, width: int, reduction: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.combine = ConvBlock(inputs, width, 1)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )
        self.head = nn.Sequential(ConvBlock(width, hidden), nn.Conv2d(hidden, outputs, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Give the logits."""
        combined: Tensor = self.combine(torch.cat(list(features), dim=1))
        logits: Tensor = self.head(combined + combined * self.weigh(combined))
        return logits
