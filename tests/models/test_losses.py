"""Losses have the values that their definitions give."""

import math

import pytest

pytest.importorskip("torch")
import torch

from segdata.models.losses import cross_entropy, overlap_loss, point_loss, segmentation_loss
from segdata.models.pointrend import PointHead, choose_training_points, sample


def _square() -> torch.Tensor:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    return target


def test_cross_entropy_of_an_undecided_network_is_log_2() -> None:
    target = _square()
    assert cross_entropy(torch.zeros_like(target), target, torch.ones_like(target)).item() == pytest.approx(math.log(2))


def test_unknown_pixels_cost_nothing() -> None:
    target, known = _square(), torch.zeros(1, 1, 32, 32)
    wrong = 10 - 20 * target
    assert cross_entropy(wrong, target, known).item() == 0
    known[..., 0, 0] = 1
    assert cross_entropy(wrong, target, known).item() == pytest.approx(10, abs=1e-3)
    assert overlap_loss(wrong, target, torch.zeros_like(target)).item() == 0


def test_edge_weight_makes_pixels_along_the_outline_count_more() -> None:
    target, known = _square(), torch.ones(1, 1, 32, 32)
    wrong_inside = torch.where(target > 0, 5.0, -5.0)
    wrong_at_edge = wrong_inside.clone()
    wrong_inside[..., 14:18, 14:18] = -5
    wrong_at_edge[..., 8:10, 8:16] = -5
    plain = [cross_entropy(each, target, known).item() for each in (wrong_inside, wrong_at_edge)]
    weighted = [cross_entropy(each, target, known, edge_weight=2.0).item() for each in (wrong_inside, wrong_at_edge)]
    assert plain[0] == pytest.approx(plain[1])
    assert weighted[1] > 1.5 * weighted[0]


def test_overlap_loss_is_one_minus_iou() -> None:
    target, known = _square(), torch.ones(1, 1, 32, 32)
    half = torch.full_like(target, -20.0)
    half[..., 8:24, 8:16] = 20
    assert overlap_loss(20 * (2 * target - 1), target, known).item() == pytest.approx(0, abs=1e-4)
    assert overlap_loss(half, target, known).item() == pytest.approx(0.5, abs=0.01)


def test_an_empty_photo_has_no_overlap_loss() -> None:
    nothing = torch.zeros(1, 1, 8, 8)
    assert overlap_loss(nothing, nothing, torch.ones_like(nothing)).item() == 0


def test_training_points_lie_where_the_network_is_unsure() -> None:
    torch.manual_seed(0)
    logits = 10 * (2 * _square() - 1)
    places = choose_training_points(logits, 400)
    assert places.shape == (1, 400, 2)
    unsure = sample(logits, places).abs().amin(1) < 9.9
    evenly = sample(logits, torch.rand(1, 4000, 2)).abs().amin(1) < 9.9
    assert unsure.float().mean() > 2 * evenly.float().mean()


def test_the_point_head_learns_from_its_loss() -> None:
    torch.manual_seed(0)
    head, target = PointHead(1, 1), _square()
    logits, known = torch.zeros(1, 1, 8, 8), torch.ones_like(target)
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = point_loss(head, logits, [target], target, known, points=256)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(2), abs=0.2)
    assert losses[-1] < 0.2


def test_coarse_logits_are_compared_at_the_resolution_of_the_target() -> None:
    target, known = _square(), torch.ones(1, 1, 32, 32)
    coarse = torch.nn.functional.avg_pool2d(target, 4) * 20 - 10
    right = segmentation_loss(coarse, target, known, edge_weight=2.0, overlap_weight=1.0)
    wrong = segmentation_loss(-coarse, target, known, edge_weight=2.0, overlap_weight=1.0)
    assert right.item() < 0.6
    assert wrong.item() > 5
