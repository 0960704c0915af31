"""BiSeNet, TriSeNet and multi-domain TriSeNet (md_trisenet.txt): three paths, fused the same way or by domain.

Widths that the paper leaves open are chosen so that parameters and multiply-adds meet its table IV. No backbone comes
with weights: the networks start from nothing (He et al., 2015), as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from segdata.errors import InputError
from segdata.models.base import Need
from segdata.models.context_path import ContextPath
from segdata.models.edge_path import EdgePath
from segdata.models.feature_fusion import FeatureFusion
from segdata.models.layers import ConvBlock
from segdata.models.losses import segmentation_loss
from segdata.models.network import Batch, LossWeights
from segdata.models.resnet18 import ResNet18
from segdata.models.spatial_path import SpatialPath
from segdata.models.trisenet_losses import agreement_loss, edge_loss
from segdata.models.xception39 import Xception39
from segdata.models.xunit import ModifiedXUnit

_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)
_WIDTH, _FUSED, _HIDDEN = 128, 256, 64
_BRANCHES = 6
"""One for each of `segdata.domains.DOMAINS`, in its order."""

_Net = TypeVar("_Net", bound=nn.Module)

Backbone: TypeAlias = Literal["resnet18", "xception39"]
_BACKBONES: dict[str, Callable[[], ResNet18 | Xception39]] = {"resnet18": ResNet18, "xception39": Xception39}


class Paths(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to features (N, 128, H / 8, W / 8): spatial, context and, if any, edge."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: ResNet18 | Xception39, spatial: SpatialPath, edge: EdgePath | None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        self.spatial = spatial
        self.context = ContextPath(backbone.channels[1:], _WIDTH)
        self.edge = edge

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Give the features of each path."""
        x = (pixels - self.mean) / self.deviation
        levels = self.backbone(x)
        features = [self.spatial(x), self.context(*levels[1:])]
        if self.edge is not None:
            features.append(self.edge(levels))
        return features

    def loss(self, features: Sequence[Tensor], batch: Batch, share: float) -> Tensor:
        """Give `share` times the edge loss; 0 without an edge path."""
        if self.edge is None:
            return features[0].new_zeros(())
        return share * edge_loss(self.edge.logits(features[-1]), batch.target, batch.known)


class TriSeNet(nn.Module):
    """From (N, 3, H, W) pixels in [0, 255] to logits (N, outputs, H / 8, W / 8); 32 must divide H and W.

    Two output channels are the dominant person and everyone, each with its own sigmoid. `edge_share` is the paper's
    lambda 1. Without an edge path it is BiSeNet.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, paths: Paths, fusion: nn.Module, *, edge_share: float) -> None:
        super().__init__()
        self.paths = paths
        self.fusion = fusion
        self.edge_share = edge_share

    @property
    def backbone(self) -> ResNet18 | Xception39:
        """The feature extractor of the context and edge paths."""
        return self.paths.backbone

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logits."""
        logits: Tensor = self.fusion(self.paths(pixels))
        return logits

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the losses of segmentation and of edges (equation 4); `weights` of 0 leave the paper's cross-entropy."""
        features = self.paths(batch.pixels)
        return _segmentation(self.fusion(features), batch, weights) + self.paths.loss(features, batch, self.edge_share)

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give nothing: all of it starts from nothing, and learns at the same rate."""
        return ()


class MultiDomainTriSeNet(nn.Module):
    """TriSeNet with a fusion module and head for each of six domains; pixels and logits as there.

    `agreement_share` is the paper's lambda 2. A domain is given by its place in `segdata.domains.DOMAINS`. `seen`,
    float32 (6), is above 0 for domains that training has shown: the branches of others have learnt nothing.
    """

    needs: frozenset[Need] = frozenset({"domain"})
    seen: Tensor

    def __init__(
        self, paths: Paths, branches: Sequence[nn.Module], *, edge_share: float, agreement_share: float
    ) -> None:
        super().__init__()
        self.paths = paths
        self.branches = nn.ModuleList(branches)
        self.register_buffer("seen", torch.zeros(len(branches)))
        self.edge_share = edge_share
        self.agreement_share = agreement_share

    @property
    def backbone(self) -> ResNet18 | Xception39:
        """The feature extractor of the context and edge paths."""
        return self.paths.backbone

    def forward(self, pixels: Tensor, domains: Tensor | None = None) -> Tensor:
        """Give the logits of each photo's branch; `domains` is int64 (N).

        Where no domain is given, or training has shown none of its photos, all branches run, and the mean of the logits
        of those that have learnt is given; of all in a network that has not been trained.
        """
        features = self.paths(pixels)
        if domains is None:
            return self._mean(features)
        logits = self._by_domain(features, domains)
        unseen = self.seen[domains] == 0
        if unseen.any():
            logits[unseen] = self._mean([each[unseen] for each in features])
        return logits

    def for_domain(self, domain: int) -> TriSeNet:
        """Give the TriSeNet of one domain, which shares its weights with this network; one branch to run or export.

        Raises `InputError` for a place that is none of the six.
        """
        if not 0 <= domain < len(self.branches):
            raise InputError(f"there is no domain {domain}", f"give 0 to {len(self.branches) - 1}")
        branch = self.branches[domain]
        return TriSeNet(self.paths, branch, edge_share=self.edge_share).train(self.training)

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the losses of segmentation, edges and agreement (equation 8).

        A photo teaches the three paths and the branch of its domain alone; the other branches say what that one should
        agree with, and are left as they are. Raises `InputError` for a batch without domains.
        """
        if batch.domains is None:
            raise InputError("a multi-domain network learns from photos of known domain", "run grade-domains first")
        self.seen[batch.domains] = 1
        features = self.paths(batch.pixels)
        logits = self._by_domain(features, batch.domains)
        loss = _segmentation(logits, batch, weights) + self.paths.loss(features, batch, self.edge_share)
        if self.agreement_share:
            soft = self._other_branches(features, batch.domains)
            loss = loss + self.agreement_share * agreement_loss(logits, soft, batch.known)
        return loss

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give nothing: all of it starts from nothing, and learns at the same rate."""
        return ()

    def _by_domain(self, features: Sequence[Tensor], domains: Tensor) -> Tensor:
        """Give each photo the logits of its own branch."""
        order = domains.argsort(stable=True)
        parts = [
            self.branches[place]([each[domains == place] for each in features])
            for place in sorted(set(domains.tolist()))
        ]
        return torch.cat(parts)[order.argsort()]

    def _mean(self, features: Sequence[Tensor]) -> Tensor:
        """Give the mean logits of the branches that have learnt."""
        weights = _learnt(self.seen)
        logits = torch.stack([branch(features) for branch in self.branches])
        return (logits * (weights / weights.sum()).view(-1, 1, 1, 1, 1)).sum(dim=0)

    @torch.no_grad()
    def _other_branches(self, features: Sequence[Tensor], domains: Tensor) -> Tensor:
        """Give the mean probabilities (N, K, h, w) of the branches but each photo's own (equation 6).

        Those that have learnt nothing yet have no say. Where no other has, it is the photo's own branch, and as that
        agrees with itself, nothing follows.
        """
        with _unrecorded(self.branches):
            said = torch.stack([branch(features).float().sigmoid() for branch in self.branches])
        own = nn.functional.one_hot(domains, len(self.branches)).T
        weights = _learnt(self.seen)[:, None] * (1 - own)
        weights = torch.where(weights.sum(dim=0) > 0, weights, own)
        return torch.einsum("bn,bnkhw->nkhw", weights / weights.sum(dim=0), said)


class SeparateTriSeNets(nn.Module):
    """MCTriSeNet of table V: a TriSeNet for each of six domains that shares nothing.

    Pixels, logits and `seen` are as in `MultiDomainTriSeNet`. Six times the parameters of a TriSeNet, and each learns
    from photos of its own domain alone.
    """

    needs: frozenset[Need] = frozenset({"domain"})
    seen: Tensor

    def __init__(self, networks: Sequence[TriSeNet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.register_buffer("seen", torch.zeros(len(networks)))

    def forward(self, pixels: Tensor, domains: Tensor | None = None) -> Tensor:
        """Give the logits of each photo's network, or, where nothing is known of it, the mean as in MD-TriSeNet."""
        if domains is None:
            return self._mean(pixels)
        logits = [self._of_domain(photo[None], domain) for photo, domain in zip(pixels, domains, strict=True)]
        return torch.cat(logits)

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the mean loss over photos. Raises `InputError` for a batch without domains."""
        if batch.domains is None:
            raise InputError("a network for each domain learns from photos of known domain", "run grade-domains first")
        self.seen[batch.domains] = 1
        loss = batch.pixels.new_zeros(())
        for place in sorted(set(batch.domains.tolist())):
            chosen = batch.domains == place
            part = Batch(batch.pixels[chosen], batch.target[chosen], batch.known[chosen])
            loss = loss + chosen.float().mean() * cast("TriSeNet", self.networks[place]).loss(part, weights)
        return loss

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give nothing: all of it starts from nothing, and learns at the same rate."""
        return ()

    def _of_domain(self, pixels: Tensor, domain: Tensor) -> Tensor:
        logits: Tensor = self.networks[int(domain)](pixels) if self.seen[domain] else self._mean(pixels)
        return logits

    def _mean(self, pixels: Tensor) -> Tensor:
        weights = _learnt(self.seen)
        logits = torch.stack([network(pixels) for network in self.networks])
        return (logits * (weights / weights.sum()).view(-1, 1, 1, 1, 1)).sum(dim=0)


def bisenet(*, backbone: Backbone = "resnet18", outputs: int = 2) -> TriSeNet:
    """Give the paper's basic model: no edge path, and ReLU throughout. `backbone` is ``resnet18`` or ``xception39``."""
    paths = Paths(_BACKBONES[backbone](), SpatialPath((64, 96, 112), _WIDTH), None)
    return _initialised(TriSeNet(paths, _fusion(2, outputs), edge_share=0.0))


def trisenet(*, backbone: Backbone = "resnet18", outputs: int = 2, edge_share: float = 1.0) -> TriSeNet:
    """Give TriSeNet: edge path, and modified xUnits in the spatial path. `backbone` as in `bisenet`."""
    return _initialised(TriSeNet(_three_paths(backbone, outputs), _fusion(3, outputs), edge_share=edge_share))


def md_trisenet(
    *, backbone: Backbone = "resnet18", outputs: int = 2, edge_share: float = 1.0, agreement_share: float = 0.25
) -> MultiDomainTriSeNet:
    """Give multi-domain TriSeNet; an `agreement_share` of 0 leaves out self-supervision. `backbone` as in `bisenet`."""
    branches = [_fusion(3, outputs) for _ in range(_BRANCHES)]
    return _initialised(
        MultiDomainTriSeNet(
            _three_paths(backbone, outputs), branches, edge_share=edge_share, agreement_share=agreement_share
        )
    )


def mc_trisenet(*, backbone: Backbone = "resnet18", outputs: int = 2, edge_share: float = 1.0) -> SeparateTriSeNets:
    """Give a TriSeNet for each domain, the row MCTriSeNet of table V. `backbone` as in `bisenet`."""
    return SeparateTriSeNets(
        [trisenet(backbone=backbone, outputs=outputs, edge_share=edge_share) for _ in range(_BRANCHES)]
    )


def _three_paths(backbone: Backbone, outputs: int) -> Paths:
    features = _BACKBONES[backbone]()
    edge = EdgePath(features.channels, _WIDTH, outputs)
    return Paths(features, SpatialPath((64, 96, 112), _WIDTH, ModifiedXUnit), edge)


def _fusion(paths: int, outputs: int) -> nn.Sequential:
    """Give what makes logits of the paths' features: fusion, and a head (figure 6)."""
    return nn.Sequential(
        FeatureFusion(paths * _WIDTH, _FUSED, reduction=4), ConvBlock(_FUSED, _HIDDEN), nn.Conv2d(_HIDDEN, outputs, 1)
    )


def _initialised(network: _Net) -> _Net:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _segmentation(logits: Tensor, batch: Batch, weights: LossWeights) -> Tensor:
    return segmentation_loss(
        logits, batch.target, batch.known, edge_weight=weights.edge, overlap_weight=weights.overlap
    )


@contextmanager
def _unrecorded(module: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of a batch without remembering them."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _learnt(seen: Tensor) -> Tensor:
    """Give 1 for each domain that training has shown, 0 for others; 1 for all where it has shown none.

    `seen` holds any number above 0 for the first kind, for averages of weights average it too.
    """
    learnt = (seen > 0).to(seen.dtype)
    return torch.where(learnt.sum() > 0, learnt, torch.ones_like(learnt))
