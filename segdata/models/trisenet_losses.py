"""The losses that TriSeNet adds to segmentation: of edges, and of agreement between branches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from segdata.models.losses import cross_entropy


def edge_target(target: Tensor, known: Tensor) -> Tensor:
    """Give 1 on pixels of a person beside the background, else 0, as (N, K, H, W) of the target's type.

    `target` in [0, 1] counts as a person above 0.5. It is the edge of kind ``inner`` and width 1 that
    `segdata.edge_label` draws, where what is not known is void.

    >>> mask = torch.tensor([[[[0, 0, 1.0, 1, 1, 1, 0]] * 3]])
    >>> edge_target(mask, torch.ones_like(mask))[0, 0, 1].int().tolist()
    [0, 0, 1, 0, 0, 1, 0]
    """
    surely = ((target > 0.5) & (known > 0.5)).to(target.dtype)
    background = ((target <= 0.5) & (known > 0.5)).to(target.dtype)
    beside = torch.maximum(
        functional.max_pool2d(background, (3, 1), 1, (1, 0)), functional.max_pool2d(background, (1, 3), 1, (0, 1))
    )
    return surely * beside


def edge_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Balanced cross-entropy of edges (md_trisenet.txt, equation 3), over known pixels.

    `logits` (N, K, h, w) are enlarged to the target's size. In each channel of each photo an edge pixel weighs
    b = |Y-| / |Y| and any other 1 - b, so that both kinds weigh the same together. The paper's sum is divided by that
    of the weights: the loss depends neither on the photos' size nor on how long their outlines are, as the mean
    cross-entropy beside it. Channels without an edge do not count; where none has one, the loss is 0.
    """
    logits = functional.interpolate(logits, size=target.shape[2:], mode="bilinear", align_corners=False)
    edge = edge_target(target, known)
    pixels = known.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    edges = edge.sum(dim=(2, 3), keepdim=True) / pixels
    weight = known * (edge * (1 - edges) + (1 - edge) * edges)
    losses = functional.binary_cross_entropy_with_logits(logits, edge, weight, reduction="sum")
    return losses / weight.sum().clamp(min=1)


def agreement_loss(logits: Tensor, soft: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy between a branch and what the others say (md_trisenet.txt, equation 7), mean over known pixels.

    `logits` and `soft`, the mean of the other branches' probabilities, are (N, K, h, w); `known` is (N, K, H, W). The
    paper's softmax over person and background is a sigmoid here, and its sum runs over both.
    """
    at_grid = functional.interpolate(known, size=logits.shape[2:], mode="area")
    return cross_entropy(logits, soft, at_grid)
