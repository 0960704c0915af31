"""Make the channels of a network alike in range, so that 8 bits with one scale for all of them lose less.

Between the linear end of one block and the convolutions that take it, a channel may be multiplied by any number and
the weights after it divided by the same (Nagel et al., 2019, section 4.1): the network computes what it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from segdata.models.layers import InvertedResidual

if TYPE_CHECKING:
    from segdata.models.base import Image
    from segdata.models.deploy import Deployed

_POWER = 1.0
_MOST = 64.0
"""By how much at most a channel is made larger than it was, next to the largest one: a dead one has no range."""


class _Map:
    """A tensor that blocks add to: the convolutions that make it, those that take it, and the range of its channels.

    A convolution that takes it among others does so from channel `first` on.
    """

    def __init__(self) -> None:
        self.makers: list[nn.Conv2d] = []
        self.takers: list[tuple[nn.Conv2d | nn.Conv1d, int]] = []
        self.largest: Tensor | None = None

    def watch(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        largest = output.detach().abs().amin(dim=0).amax(dim=(1, 2)) if False else output.detach().abs().amax(dim=(0, 2, 3))
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)

    def equalise(self, power: float) -> None:
        assert self.largest is not None
        factors = (self.largest.max() / self.largest.clamp(min=1e-12)).clamp(max=_MOST) ** power
        for maker in self.makers:
            maker.weight.data *= factors.view(-1, 1, 1, 1)
            cast("Tensor", maker.bias).data *= factors
        for taker, first in self.takers:
            inputs = slice(first, first + len(factors))
            taker.weight.data[:, inputs] /= factors.view(1, -1, *[1] * (taker.weight.ndim - 2))


@torch.no_grad()
def equalise(deployed: Deployed, photos: Iterable[Image]) -> None:
    """Equalise, in place, the maps between blocks by their ranges on photos, uint8 (H, W, 3) as they will be seen."""
    maps = _maps(deployed)
    hooks = [block.register_forward_hook(each.watch) for each, blocks in maps for block in blocks]
    for photo in photos:
        deployed(torch.from_numpy(photo)[None])
    for hook in hooks:
        hook.remove()
    for each, _ in maps:
        each.equalise(_POWER)


def _maps(deployed: Deployed) -> list[tuple[_Map, list[InvertedResidual]]]:
    network = deployed.network
    found: list[tuple[_Map, list[InvertedResidual]]] = []
    first = 0
    for level, stage in enumerate(cast("nn.ModuleList", network.backbone.stages)):
        for block in cast("nn.Sequential", stage):
            if not isinstance(block, InvertedResidual):
                continue
            if found:
                taker = next(layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
                found[-1][0].takers.append((taker, 0))
            if not block.adds:
                found.append((_Map(), []))
            maker = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1]
            found[-1][0].makers.append(maker)
            found[-1][1].append(block)
        if level:
            lateral = next(layer for layer in network.laterals[level - 1].modules() if isinstance(layer, nn.Conv2d))
            found[-1][0].takers.append((lateral, 0))
        if level < 2 and network.point_head is not None:
            found[-1][0].takers.append((cast("nn.Conv1d", network.point_head.layers[0]), first))
            first += found[-1][0].makers[0].out_channels
    return found
