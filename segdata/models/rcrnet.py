"""RCRNet (rcrnet.txt): a small U-shaped network of modules that fold into single convolutions.

The paper gives neither widths nor a figure that can be read off them; docs/networks/rcrnet.md says how those here were
found. They meet the parameters and operations of all rows of table 3 at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segdata.errors import InputError
from segdata.models.base import Need
from segdata.models.feature_fusion import FeatureFusion
from segdata.models.layers import ConvBlock
from segdata.models.losses import segmentation_loss
from segdata.models.network import Batch, LossWeights
from segdata.models.rcr_block import RCRModule, RCRStage, fold, transposed
from segdata.models.rcr_losses import boundary_loss, constraint_loss

_CONSTRAINT, _BOUNDARY = 1.0, 0.3  # alpha and beta of equation (5)


class PortraitStage(nn.Module):
    """A stage of PortraitNet's decoder (Zhang et al., 2019): a residual block of depthwise separable convolutions.

    From (N, inputs, H, W) to (N, outputs, 2 H, 2 W), enlarged by a transposed convolution of each channel.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            ConvBlock(inputs, inputs, 3, groups=inputs),
            ConvBlock(inputs, outputs, 1),
            ConvBlock(outputs, outputs, 3, groups=outputs),
            ConvBlock(outputs, outputs, 1, activation=None),
        )
        self.shortcut = nn.Identity() if inputs == outputs else ConvBlock(inputs, outputs, 1, activation=None)
        self.enlarge = transposed(outputs, dense=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, outputs, 2 H, 2 W)."""
        enlarged: Tensor = self.enlarge(functional.relu(self.block(x) + self.shortcut(x)))
        return enlarged


class _Outputs(NamedTuple):
    """Logits (N, 2, H, W), and the features that an edge head learns from."""

    logits: Tensor
    edge_features: Tensor


class RCRNet(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to logits (N, 2, H, W): the dominant person, everyone; 32 divides H and W.

    The encoder halves the size five times, with features of `widths` channels at strides 2 to 32. The decoder, of RCR
    stages or of PortraitNet's, doubles it again; each of its stages takes the sum of the stage above and the encoder's
    feature of its size. With `bypass`, two RCR modules of that width at stride 2 take the encoder's feature to a fusion
    module instead of that sum. `dense` is that of the RCR decoder's first stage, see `RCRStage`.

    With `prior`, a fourth channel in [0, 255] holds the mask of the frame before (4.2.2); without that channel, as in
    photos and first frames, it is empty. `edge` is an edge head that is used in training alone: the paper's on the
    bypass, or, without one, PortraitNet's on the last features. It is gone after `fold`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        widths: tuple[int, int, int, int, int],
        *,
        last: int,
        decoder: Literal["portraitnet", "rcr"],
        dense: bool = False,
        bypass: int | None = None,
        prior: bool = False,
    ) -> None:
        super().__init__()
        self.needs: frozenset[Need] = frozenset({"second-texture", "prior"} if prior else {"second-texture"})
        self.prior = prior
        # ImageNet's for the photo; the prior mask becomes 0 to 1.
        mean, deviation = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
        if prior:
            mean, deviation = [*mean, 0.0], [*deviation, 255.0]
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1), persistent=False)

        stem = ConvBlock(len(mean), widths[0], 3, stride=2)
        deeper = [RCRStage(widths[i], widths[i + 1], "down") for i in range(4)]
        self.encoder = nn.ModuleList([nn.Sequential(stem, RCRStage(widths[0], widths[0])), *deeper])
        wanted = (last, *widths[:4])
        self.decoder = nn.ModuleList(
            [
                RCRStage(widths[i], wanted[i], "up", dense=dense and i == 4)
                if decoder == "rcr"
                else PortraitStage(widths[i], wanted[i])
                for i in reversed(range(5))
            ]
        )
        self.predict = nn.Conv2d(last, 2, 3, padding=1)
        self.bypass: nn.Module | None = None
        self.fusion: nn.Module | None = None
        self.edge: nn.Module | None = nn.Conv2d(last, 2, 3, padding=1)
        if bypass is not None:
            self.bypass = nn.Sequential(RCRModule(widths[0], bypass), RCRModule(bypass, bypass))
            self.fusion = FeatureFusion(widths[0] + bypass, widths[0])
            self.edge = nn.Sequential(ConvBlock(bypass, bypass), nn.Conv2d(bypass, 2, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logits."""
        return self._outputs(pixels).logits

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give equation (5), L = L_m + L_c + 0.3 L_e, over both textures of a batch.

        L_m is `segmentation_loss`: with both `weights` 0 the cross-entropy alone, as in the paper. The constraint loss
        L_c takes `batch.second` for soft labels of `batch.pixels`. L_e is the boundary loss of the edge head. Raises
        `InputError` without a second texture or after `fold`.
        """
        if self.edge is None:
            raise InputError("a folded RCRNet cannot be trained", "train the network that it was folded from")
        if batch.second is None:
            raise InputError("RCRNet learns from views in two textures, and was given one", "set Batch.second")
        logits, features = self._outputs(torch.cat([batch.pixels, batch.second]))
        target, known = (torch.cat([each, each]) for each in (batch.target, batch.known))
        segmentation = segmentation_loss(
            logits, target, known, edge_weight=weights.edge, overlap_weight=weights.overlap
        )
        first, second = logits.chunk(2)
        boundary = boundary_loss(self.edge(features), target, known)
        return segmentation + _CONSTRAINT * constraint_loss(first, second) + _BOUNDARY * boundary

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give none: there are no pretrained weights of this encoder."""
        return ()

    def fold(self) -> RCRNet:
        """Give a copy for inference: the edge head gone, each module and batch normalisation in single convolutions."""
        network = copy.deepcopy(self).eval()
        network.edge = None
        fold(network)
        return network.requires_grad_(False)

    def _outputs(self, pixels: Tensor) -> _Outputs:
        if self.prior and pixels.shape[1] == 3:
            pixels = functional.pad(pixels, (0, 0, 0, 0, 0, 1))
        x = (pixels - self.mean) / self.deviation
        features = []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        for stage, feature in zip(self.decoder, reversed(features[:4]), strict=False):
            x = stage(x)
            if self.fusion is None or feature is not features[0]:
                x = x + feature
        edge_features = None
        if self.bypass is not None and self.fusion is not None:
            edge_features = self.bypass(features[0])
            x = self.fusion([x, edge_features])
        x = self.decoder[4](x)
        return _Outputs(self.predict(x), x if edge_features is None else edge_features)


_WIDTHS = (24, 32, 96, 96, 528)
_LAST = 8
_BYPASS = 24


def rcrnet_encoder(*, prior: bool = False) -> RCRNet:
    """Give RCRNet† of table 3, RCR in the encoder alone: 157 million multiply-adds, 0.607 million parameters."""
    return RCRNet(_WIDTHS, last=_LAST, decoder="portraitnet", prior=prior)


def rcrnet_decoder(*, prior: bool = False) -> RCRNet:
    """Give RCRNet‡ of table 3, with RCR modules in the decoder too: 177 million multiply-adds, 0.608 million."""
    return RCRNet(_WIDTHS, last=_LAST, decoder="rcr", prior=prior)


def rcrnet_bypass(*, prior: bool = False) -> RCRNet:
    """Give RCRNet◇ of table 3, RCRNet† with the bypass: 190 million multiply-adds, 0.610 million parameters."""
    return RCRNet(_WIDTHS, last=_LAST, decoder="portraitnet", bypass=_BYPASS, prior=prior)


def rcrnet(*, prior: bool = False) -> RCRNet:
    """Give RCRNet* of table 3, with all of it: 217 million multiply-adds, 0.770 million parameters."""
    return RCRNet(_WIDTHS, last=_LAST, decoder="rcr", dense=True, bypass=_BYPASS, prior=prior)
