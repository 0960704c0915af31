"""The parts of TriSeNet, and the losses that it adds, have the values that their definitions give."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from segdata.models.resnet18 import ResNet18
from segdata.models.trisenet_losses import agreement_loss, edge_loss, edge_target
from segdata.models.xception39 import Xception39
from segdata.models.xunit import ModifiedXUnit
from segdata.ops.edges import edge_label


@pytest.mark.parametrize("backbone", [ResNet18, Xception39])
def test_backbones_give_three_levels(backbone: type) -> None:
    network = backbone().eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 96))
    assert [each.shape[1:] for each in features] == [
        (channels, 64 // stride, 96 // stride) for channels, stride in zip(network.channels, (8, 16, 32), strict=True)
    ]


def test_resnet18_has_the_parameters_that_are_published_less_the_classifiers() -> None:
    with torch.device("meta"):
        assert sum(each.numel() for each in ResNet18().parameters()) == 11_689_512 - 513_000


def test_a_modified_xunit_weighs_each_value_by_its_surroundings_within_two_pixels() -> None:
    torch.manual_seed(0)
    unit, x = ModifiedXUnit(4), torch.rand(1, 4, 16, 16) + 0.1
    weights = (unit(x) / x).detach()
    assert 0 < weights.min() < weights.max() < 1
    changed = x.clone()
    changed[0, 0, 8, 8] += 10
    moved = ((unit(changed) / changed - weights).abs() > 1e-6).any(dim=1)[0]
    rows, columns = moved.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 6, 10)


def test_the_edge_target_is_the_edge_label() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((40, 50)) < 0.7
    void = rng.random((40, 50)) < 0.1
    target = torch.from_numpy(mask).float()[None, None]
    known = torch.from_numpy(~void).float()[None, None]
    assert np.array_equal(edge_target(target, torch.ones_like(target))[0, 0].numpy() > 0, edge_label(mask))
    assert np.array_equal(edge_target(target, known)[0, 0].numpy() > 0, edge_label(mask, void=void))


def _square() -> torch.Tensor:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    return target


def test_the_edge_loss_is_equation_3_over_the_sum_of_its_weights() -> None:
    torch.manual_seed(0)
    target, logits = _square(), torch.randn(1, 1, 32, 32)
    edge = edge_target(target, torch.ones_like(target)) > 0
    chance, beta = logits.sigmoid(), (~edge).float().mean()
    weighted = -(beta * chance[edge].log().sum() + (1 - beta) * (1 - chance[~edge]).log().sum())
    weights = beta * edge.sum() + (1 - beta) * (~edge).sum()
    assert edge_loss(logits, target, torch.ones_like(target)).item() == pytest.approx((weighted / weights).item())


def test_an_edge_weighs_as_much_as_all_else() -> None:
    target = _square()
    edge = edge_target(target, torch.ones_like(target))
    everywhere = [edge_loss(torch.full_like(target, value), target, torch.ones_like(target)) for value in (-20.0, 20.0)]
    assert everywhere[0].item() == pytest.approx(10, rel=1e-4)
    assert everywhere[1].item() == pytest.approx(10, rel=1e-4)
    assert edge_loss(40 * edge - 20, target, torch.ones_like(target)).item() == pytest.approx(0, abs=1e-4)


def test_photos_without_an_edge_and_what_is_not_known_cost_nothing() -> None:
    target = _square()
    assert edge_loss(torch.ones_like(target), 0 * target, torch.ones_like(target)).item() == 0
    assert edge_loss(torch.ones_like(target), target, 0 * target).item() == 0
    both = torch.cat([target, 0 * target])
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert edge_loss(logits, both, torch.ones_like(both)).item() == pytest.approx(
        edge_loss(logits[:1], target, torch.ones_like(target)).item()
    )


def test_the_edge_loss_enlarges_what_is_coarse() -> None:
    assert edge_loss(torch.zeros(1, 1, 4, 4), _square(), torch.ones(1, 1, 32, 32)).item() == pytest.approx(math.log(2))


def test_the_agreement_loss_is_least_where_branches_agree() -> None:
    soft, known = torch.full((1, 1, 4, 4), 0.8), torch.ones(1, 1, 32, 32)
    chances = torch.tensor([0.7, 0.8, 0.9])
    losses = [agreement_loss(torch.full_like(soft, chance.logit()), soft, known).item() for chance in chances]
    assert losses[1] < min(losses[0], losses[2])
    assert losses[1] == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))


def test_agreement_counts_known_pixels_alone() -> None:
    soft, known = torch.full((1, 1, 4, 4), 1.0), torch.ones(1, 1, 32, 32)
    known[..., 16:] = 0
    logits = torch.zeros(1, 1, 4, 4)
    logits[..., 2:] = -50
    assert agreement_loss(logits, soft, known).item() == pytest.approx(math.log(2))
