"""ALiSNet (alisnet.txt, figure 3): a mobile backbone, features summed without a top-down path, and PointRend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional

from segdata.models.backbones import BACKBONES, Backbone
from segdata.models.base import Need
from segdata.models.layers import ConvBlock
from segdata.models.losses import point_loss, segmentation_loss
from segdata.models.network import Batch, LossWeights
from segdata.models.pointrend import PointHead, refine


class SemanticOutput(NamedTuple):
    """What a network gives while it is trained.

    `logits` is (N, K, H / 4, W / 4), `features` what the point head samples from, finest first.
    """

    logits: Tensor
    features: list[Tensor]


class ALiSNet(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to logits (N, K, H / s, W / s); 32 must divide H and W.

    Each of the backbone's features at strides 4, 8, 16 and 32 is projected to `width` channels; those of stride 8 and
    more go through as many blocks of convolution and bilinear enlargement as bring them to stride 4, where all are
    summed. A 1 x 1 convolution gives coarse logits. With `points`, a point head refines those that are uncertain on
    grids of twice and four times the resolution (s = 1); without, s is 4.

    With `top_down`, a feature pyramid network (Lin et al., 2017) mixes each level with the one above it first, as in
    the baseline of table 1. With `context`, which the paper does not have, the mean of the coarsest features over the
    photo is added to each of their places. K output channels are independent: each has its own sigmoid.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(
        self,
        backbone: Backbone,
        *,
        width: int,
        outputs: int,
        top_down: bool = False,
        points: bool = True,
        context: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.laterals = nn.ModuleList([ConvBlock(channels, width, 1) for channels in backbone.channels[1:]])
        self.smooth = nn.ModuleList([ConvBlock(width, width) for _ in self.laterals]) if top_down else None
        self.branches = nn.ModuleList(
            [nn.Sequential(*(ConvBlock(width, width) for _ in range(max(level, 1)))) for level in range(4)]
        )
        self.context = nn.Conv2d(backbone.channels[-1], width, 1) if context else None
        self.coarse = nn.Conv2d(width, outputs, 1)
        self.point_head = PointHead(sum(backbone.channels[:2]), outputs) if points else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logits, refined where the network has a point head."""
        logits, features = self.coarse_logits(pixels)
        return logits if self.point_head is None else refine(self.point_head, logits, features)

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the cross-entropy of the coarse logits and of drawn points (alisnet.txt 3.1), and the overlap loss."""
        logits, features = self.coarse_logits(batch.pixels)
        loss = segmentation_loss(
            logits, batch.target, batch.known, edge_weight=weights.edge, overlap_weight=weights.overlap
        )
        if self.point_head is None:
            return loss
        points = batch.target[0, 0].numel() // 64
        return loss + point_loss(self.point_head, logits, features, batch.target, batch.known, points=points)

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give the parameters of the backbone."""
        return self.backbone.parameters()

    def coarse_logits(self, pixels: Tensor) -> SemanticOutput:
        """Give the logits at stride 4, with the features for points."""
        features = self.backbone(pixels)
        levels = [lateral(x) for lateral, x in zip(self.laterals, features[1:], strict=True)]
        if self.context is not None:
            levels[-1] = levels[-1] + self.context(features[-1].mean((2, 3), keepdim=True))
        if self.smooth is not None:
            for level in reversed(range(3)):
                levels[level] = levels[level] + _enlarge(levels[level + 1], levels[level])
            levels = [block(x) for block, x in zip(self.smooth, levels, strict=True)]
        for level, blocks in enumerate(self.branches):
            for number, block in enumerate(cast("nn.Sequential", blocks)):
                levels[level] = block(_twice(levels[level]) if number else levels[level])
        # Enlargement and a 1 x 1 convolution are linear and change places: it is the logits, once, that are enlarged
        # from stride 8 to 4, and not `width` channels of each level.
        logits = self.coarse(levels[0]) + _twice(
            functional.conv2d(levels[1] + levels[2] + levels[3], self.coarse.weight)
        )
        return SemanticOutput(logits, features[:2])


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


def alisnet(
    *,
    backbone: Literal["efficientnet-lite0", "mobilenet-v2", "mnasnet-b1"] = "efficientnet-lite0",
    width: int = 64,
    outputs: int = 2,
    top_down: bool = False,
    points: bool = True,
    context: bool = False,
) -> ALiSNet:
    """Give the paper's network, or with other options a row of its tables 1, 3 and 4.

    The default has 3.26 million parameters, of which the point head has 11 thousand.
    """
    return ALiSNet(
        BACKBONES[backbone](), width=width, outputs=outputs, top_down=top_down, points=points, context=context
    )
