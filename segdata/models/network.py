"""What the trainer wants of a network, and what it gives to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from segdata.models.base import Need


class Batch(NamedTuple):
    """Views to learn from.

    `pixels` is float32 (N, 3, H, W) in [0, 255], or (N, 4, H, W) with a fourth channel in [0, 255] where the network
    needs one. `target` and `known` are float32 (N, 2, H, W) in [0, 1]: the dominant person and everyone, and where that
    is known. `second` are the pixels in another texture, `domains` int64 (N) the places of the domains in
    `segdata.domains.DOMAINS`; None for a network that does not need them.
    """

    pixels: Tensor
    target: Tensor
    known: Tensor
    second: Tensor | None = None
    domains: Tensor | None = None


class LossWeights(NamedTuple):
    """What counts how much: pixels along the outline, and the IoU loss beside the cross-entropy."""

    edge: float = 2.0
    overlap: float = 1.0


class Network(Protocol):
    """A network that can be trained; an `nn.Module` as well.

    `needs` says what it is fed beside photos. Called with (N, C, H, W) pixels in [0, 255], 32 dividing H and W, it
    gives logits (N, 2, h, w) on a grid of its own.
    """

    needs: frozenset[Need]

    def loss(self, batch: Batch, weights: LossWeights) -> Tensor:
        """Give the loss of a batch."""

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Give the parameters that come pretrained and learn more slowly."""
