"""The modified xUnit, an activation with weights (md_trisenet.txt IV-A, figure 5)."""

from __future__ import annotations

from torch import Tensor, nn


class ModifiedXUnit(nn.Module):
    """From (N, channels, H, W) to the same shape: the input times weights in (0, 1), one for each of its values.

    A ReLU weighs a value by itself alone, with 0 or 1. Here a 5 x 5 depthwise convolution gathers a value's
    surroundings, a 1 x 1 convolution mixes channels, and a sigmoid makes weights of that.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Give the weighted input."""
        weights: Tensor = self.weigh(x)
        return x * weights
