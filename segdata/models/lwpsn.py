"""LWPSN (ssm_lwpsn.txt, figure 3): ResNeXt-29, atrous spatial pyramid pooling, a decoder; a saliency map beside photos.

The paper names the parts and the size of the whole; what it leaves open is DeepLabv3+'s (Chen et al., 2018).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdata.models.atrous_pyramid import AtrousPyramid
from segdata.models.base import Need
from segdata.models.layers import ConvBlock
from segdata.models.losses import segmentation_loss
from segdata.models.network import Batch, LossWeights
from segdata.models.resnext import ResNeXt, resnext29

_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)
# The map is 0 where it says nothing, and stays so: a photo without one is as if padded. 127.5 is about its deviation.
_MAP_MEAN, _MAP_DEVIATION = 0.0, 127.5


class LWPSN(nn.Module):
    """From (N, 4, H, W) pixels in [0, 255], or (N, 3, H, W) without a map, to logits (N, 2, H / 4, W / 4).

    32 must divide H and W. The fourth channel is the spatial saliency map times 255; where nothing is known of
    persons it is 0. The logits are of the dominant person and of everyone, each with a sigmoid of its own.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: ResNeXt, *, rates: tuple[int, ...], width: int, detail: int, saliency: bool) -> None:
        super().__init__()
        self.needs: frozenset[Need] = frozenset({"saliency"}) if saliency else frozenset()
        mean = (*_MEAN, _MAP_MEAN) if saliency else _MEAN
        deviation = (*_DEVIATION, _MAP_DEVIATION) if saliency else _DEVIATION
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1), persistent=False)
        self.backbone = backbone
        self.pyramid = AtrousPyramid(backbone.channels[-1], width, rates)
        self.detail = ConvBlock(backbone.channels[0], detail, 1)
        self.decoder = nn.Sequential(
            ConvBlock(width + detail, width), ConvBlock(width, width), nn.Conv2d(width, 2, kernel_size=1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logits."""
        fine, _, coarse = self.backbone((pixels - self.mean) / self.deviation)
        context = functional.interpolate(self.pyramid(coarse), scale_factor=4.0, mode="bilinear", align_corners=False)
        logits: Tensor = self.decoder(torch.cat([context, self.detail(fine)], dim=1))
        return logits

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the cross-entropy and the overlap loss."""
        return segmentation_loss(
            self(batch.pixels), batch.target, batch.known, edge_weight=weights.edge, overlap_weight=weights.overlap
        )

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give none: the features start from chance like all else."""
        return ()


def lwpsn(*, saliency: bool = True) -> LWPSN:
    """Give the paper's network, or without `saliency` the one that sees photos alone.

    14.01 million parameters, 56.1 MB as float32, where the paper has 55.5.
    """
    return LWPSN(resnext29(4 if saliency else 3), rates=(4, 8, 12), width=256, detail=48, saliency=saliency)
