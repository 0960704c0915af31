"""The portrait network (portrait_instance.txt 2.1): categories handed up, boundaries handed down the feature levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdata.models.atrous_pyramid import AtrousPyramid
from segdata.models.backbones import Backbone, mobilenet_v2
from segdata.models.base import Need
from segdata.models.layers import ConvBlock
from segdata.models.losses import cross_entropy, segmentation_loss
from segdata.models.network import Batch, LossWeights

_BOUNDARY_WIDTH = 64
_RATES = (3, 6, 9)  # DeepLab's 6, 12, 18 are for features of twice the resolution
_CATEGORY_WEIGHT = 0.4
_BOUNDARY_WEIGHT = 1.0


class PortraitOutput(NamedTuple):
    """What the network gives while it is trained.

    `logits` is (N, K, H / 4, W / 4); `categories` holds (N, K, h, w) and `boundaries` (N, 1, h, w) of the four levels,
    finest first, before they are enhanced.
    """

    logits: Tensor
    categories: list[Tensor]
    boundaries: list[Tensor]


class Level(nn.Module):
    """One of the decoder's four layers (figure 1), from `inputs` channels of the encoder to `width`."""

    def __init__(self, inputs: int, width: int, outputs: int, *, deepest: bool) -> None:
        super().__init__()
        self.enter = AtrousPyramid(inputs, width, _RATES) if deepest else ConvBlock(inputs, width, 1)
        self.category = nn.Conv2d(width, outputs, 3, padding=1)
        self.from_category = ConvBlock(outputs, width)
        self.boundary = nn.Sequential(ConvBlock(width, _BOUNDARY_WIDTH), nn.Conv2d(_BOUNDARY_WIDTH, 1, 3, padding=1))
        self.from_boundary = nn.Sequential(
            ConvBlock(1, _BOUNDARY_WIDTH), ConvBlock(_BOUNDARY_WIDTH, width, activation=None)
        )
        self.narrow = ConvBlock(width, inputs, 1, activation=None)
        self.leave = ConvBlock(inputs, width)

    def fuse(self, encoded: Tensor, entered: Tensor, category: Tensor, boundary: Tensor) -> Tensor:
        """Join both branches (2.1.3), with residual connections at `width` and at the encoder's channels."""
        semantic = self.from_category(category)
        fused = semantic + semantic * self.from_boundary(boundary).sigmoid() + entered
        left: Tensor = self.leave(torch.relu(self.narrow(fused) + encoded))
        return left


class PortraitNetwork(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to logits (N, outputs, H / 4, W / 4); 32 must divide H and W.

    Two output channels are the dominant person and everyone, each with its own sigmoid; boundaries are everyone's.

    The encoder's features at strides 4, 8, 16 and 32 each enter a level of the decoder. A level predicts categories
    and boundaries, both supervised. With `attention`, the mean of the deeper level's categories, through a sigmoid,
    weighs those of the level, which are added (cross-granularity categorical attention, 2.1.4). With `enhancement`,
    the boundaries of the finer level are added to those of the level (cross-granularity boundary enhancement, 2.1.5).
    The paper does not say how the levels' outputs are joined: they are summed at stride 4, then classified.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(
        self, backbone: Backbone, *, width: int, outputs: int, attention: bool = True, enhancement: bool = True
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.attention = attention
        self.enhancement = enhancement
        channels = backbone.channels[1:]
        self.levels = nn.ModuleList([Level(each, width, outputs, deepest=each is channels[-1]) for each in channels])
        self.classify = nn.Conv2d(width, outputs, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logits."""
        return self.supervised(pixels).logits

    def supervised(self, pixels: Tensor) -> PortraitOutput:
        """Give the logits, with the categories and boundaries that the levels predict."""
        encoded = self.backbone(pixels)[1:]
        levels = [level for level in self.levels if isinstance(level, Level)]
        entered = [level.enter(x) for level, x in zip(levels, encoded, strict=True)]
        categories = [level.category(x) for level, x in zip(levels, entered, strict=True)]
        boundaries = [level.boundary(x) for level, x in zip(levels, entered, strict=True)]
        attended = self._attended(categories)
        enhanced = self._enhanced(boundaries)
        fused = [level.fuse(*each) for level, *each in zip(levels, encoded, entered, attended, enhanced, strict=True)]
        # A 1 x 1 convolution and enlargement change places: what is enlarged are the logits of each level.
        logits = self.classify(fused[0])
        for level, x in enumerate(fused[1:], start=1):
            logits = logits + _scaled(functional.conv2d(x, self.classify.weight), 2.0**level)
        return PortraitOutput(logits, categories, boundaries)

    def _attended(self, categories: list[Tensor]) -> list[Tensor]:
        if not self.attention:
            return categories
        attended = [categories[-1]]
        for category in reversed(categories[:-1]):
            attention = attended[0].mean(dim=(2, 3), keepdim=True).sigmoid()
            attended.insert(0, category + category * attention)
        return attended

    def _enhanced(self, boundaries: list[Tensor]) -> list[Tensor]:
        if not self.enhancement:
            return boundaries
        enhanced = [boundaries[0]]
        for boundary in boundaries[1:]:
            enhanced.append(boundary + _scaled(enhanced[-1], 0.5))
        return enhanced

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the loss of the logits, and of every level's categories and boundaries (deep supervision)."""
        logits, categories, boundaries = self.supervised(batch.pixels)
        loss = segmentation_loss(
            logits, batch.target, batch.known, edge_weight=weights.edge, overlap_weight=weights.overlap
        )
        for category in categories:
            part = segmentation_loss(category, batch.target, batch.known, edge_weight=0.0, overlap_weight=0.0)
            loss = loss + _CATEGORY_WEIGHT / len(categories) * part
        # Everyone's: the dominant person's boundaries are among them, but where another stands right behind.
        outline, known = sobel_outline(batch.target[:, 1:]), batch.known[:, 1:]
        for boundary in boundaries:
            size = boundary.shape[2:]
            # A cell holds the boundary where any of its pixels does, and is known where all of them are.
            target = functional.adaptive_max_pool2d(outline, size)
            loss = loss + _BOUNDARY_WEIGHT / len(boundaries) * cross_entropy(
                boundary, target, -functional.adaptive_max_pool2d(-known, size)
            )
        return loss

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give the parameters of the encoder."""
        return self.backbone.parameters()


def sobel_outline(target: Tensor) -> Tensor:
    """Mark where the Sobel gradient of a mask is not zero: (N, 1, H, W) in [0, 1] to the same of 0 and 1.

    The mask is cut at 0.5 and continues past the image, as in `edge_label` of kind ``sobel`` (2.1.2).

    >>> sobel_outline(torch.tensor([[[[0.0, 0.0, 1.0, 1.0, 1.0]] * 3]]))[0, 0, 1].tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    across = target.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([across, across.T])[:, None]
    padded = functional.pad((target > 0.5).to(target.dtype), (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernels).ne(0).any(dim=1, keepdim=True).to(target.dtype)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def portrait(
    *, width: int = 256, outputs: int = 2, attention: bool = True, enhancement: bool = True
) -> PortraitNetwork:
    """Give the paper's network; without `attention` or `enhancement` for the ladder of its claims."""
    return PortraitNetwork(mobilenet_v2(), width=width, outputs=outputs, attention=attention, enhancement=enhancement)
