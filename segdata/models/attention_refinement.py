"""The attention refinement module of BiSeNet (Yu et al., 2018), which md_trisenet.txt takes over."""

from __future__ import annotations

from torch import Tensor, nn

from segdata.models.layers import ConvBlock


class AttentionRefinement(nn.Module):
    """From (N, inputs, H, W) to (N, outputs, H, W): narrowed, filtered, and each channel weighed by all of the photo.

    A channel's weight in (0, 1) comes from the channels' means. It is normalised over the batch, so that a batch to
    train on has at least two photos.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(ConvBlock(inputs, outputs, 1), ConvBlock(outputs, outputs))
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvBlock(outputs, outputs, 1, activation=None), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Give the weighted features."""
        features: Tensor = self.features(x)
        weights: Tensor = self.weigh(features)
        return features * weights
