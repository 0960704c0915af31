"""Losses for person segmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from segdata.models.pointrend import PointHead, choose_training_points, sample, sample_features


def cross_entropy(logits: Tensor, target: Tensor, known: Tensor, *, edge_weight: float = 0.0) -> Tensor:
    """Mean binary cross-entropy over known pixels; logits, target in [0, 1] and known are (N, K, H, W).

    With `edge_weight` w, pixels within three of the outline count 1 + w times (boundary loss in the way of rcrnet.txt).
    """
    weight = known
    if edge_weight:
        inner = -functional.max_pool2d(-target, 7, 1, 3)
        outer = functional.max_pool2d(target, 7, 1, 3)
        weight = known * (1 + edge_weight * (outer - inner))
    losses = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    return losses / weight.sum().clamp(min=1)


def overlap_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - IoU with probabilities in place of labels, mean over photos and channels that hold a known person."""
    probability = logits.sigmoid() * known
    target = target * known
    shared = (probability * target).sum(dim=(2, 3))
    union = (probability + target).sum(dim=(2, 3)) - shared
    held = (target.sum(dim=(2, 3)) > 0).float()
    return ((1 - (shared + 1) / (union + 1)) * held).sum() / held.sum().clamp(min=1)


def point_loss(
    head: PointHead, logits: Tensor, features: list[Tensor], target: Tensor, known: Tensor, *, points: int
) -> Tensor:
    """Cross-entropy of the point head at drawn points (alisnet.txt 3.1, after PointRend)."""
    places = choose_training_points(logits, points)
    refined = head(sample_features(features, places), sample(logits, places))
    wanted, counted = sample(target, places), (sample(known, places) > 0.999).float()
    losses = functional.binary_cross_entropy_with_logits(refined, wanted, counted, reduction="sum")
    return losses / counted.sum().clamp(min=1)


def segmentation_loss(
    logits: Tensor,
    target: Tensor,
    known: Tensor,
    *,
    edge_weight: float,
    overlap_weight: float,
) -> Tensor:
    """Cross-entropy of coarse logits, enlarged to the target's size, and the overlap loss at their own."""
    shape = target.shape[2:]
    enlarged = functional.interpolate(logits, size=shape, mode="bilinear", align_corners=False)
    loss = cross_entropy(enlarged, target, known, edge_weight=edge_weight)
    if overlap_weight:
        loss = loss + overlap_weight * overlap_loss(enlarged, target, known)
    return torch.nan_to_num(loss)
