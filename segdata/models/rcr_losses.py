"""The losses of rcrnet.txt's equation (5), which it takes from PortraitNet (Zhang et al., 2019)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def constraint_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of one view's probabilities from those of its twin in another texture.

    Both are logits (N, K, H, W), each channel with a sigmoid of its own. The twin's probabilities are soft labels: no
    gradient flows to them. 0 where the views agree. It needs no labels, and so counts pixels of unknown ones too.

    >>> import torch
    >>> float(constraint_loss(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)))
    0.0
    """
    teacher = teacher.detach()
    labels = teacher.sigmoid()
    crossed = functional.binary_cross_entropy_with_logits(logits, labels)
    return crossed - functional.binary_cross_entropy_with_logits(teacher, labels)


def boundary_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean focal loss (Lin et al., 2017, gamma 2) of an edge map against the outline, four pixels thick.

    `target` in [0, 1] and `known` are (N, K, H, W): the masks, from which the outline is taken, and where they hold;
    places whose outline depends on unknown pixels do not count. Logits (N, K, h, w) are enlarged to H x W.
    """
    logits = functional.interpolate(logits, size=target.shape[2:], mode="bilinear", align_corners=False)
    inner, outer = _smallest(target), functional.max_pool2d(target, 5, 1, 2)
    edge, counted = outer - inner, _smallest(known)
    losses = functional.binary_cross_entropy_with_logits(logits, edge, reduction="none")
    losses = losses * (edge - logits.sigmoid()).square() * counted
    return losses.sum() / counted.sum().clamp(min=1)


def _smallest(x: Tensor) -> Tensor:
    return -functional.max_pool2d(-x, 5, 1, 2)
