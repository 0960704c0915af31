"""The edge path of TriSeNet (md_trisenet.txt IV-A and V-A)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdata.models.layers import ConvBlock


class EdgePath(nn.Module):
    """From a backbone's features at strides 8, 16 and 32 to edge features (N, width, H / 8, W / 8).

    Each goes through a 1 x 1 convolution to `width` channels; enlarged to stride 8, the three are fused by a linear
    transformation. `logits` tells edges from those features: it is needed to train alone.
    """

    def __init__(self, inputs: Sequence[int], width: int, outputs: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList([ConvBlock(channels, width, 1) for channels in inputs])
        self.fuse = nn.Conv2d(len(inputs) * width, width, 1)
        self.logits = nn.Conv2d(width, outputs, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Give the edge features; the backbone's come finest first."""
        scales = [scale(x) for scale, x in zip(self.scales, features, strict=True)]
        enlarged = [
            functional.interpolate(x, scale_factor=2.0**level, mode="bilinear", align_corners=False) if level else x
            for level, x in enumerate(scales)
        ]
        fused: Tensor = self.fuse(torch.cat(enlarged, dim=1))
        return fused
