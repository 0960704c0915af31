"""The portrait network: shapes, what attention and enhancement do, its losses and gradients, and one batch learnt."""

import copy

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from segdata.models.network import Batch, LossWeights
from segdata.models.portrait import portrait, sobel_outline
from segdata.models.runs import predict_logits
from segdata.ops.edges import edge_label


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return portrait(width=32).eval()


@pytest.fixture(scope="module")
def batch():
    """Two photos of a bright square on dark ground; the dominant person is known in the first alone."""
    target = torch.zeros(2, 2, 64, 64)
    target[0, :, 16:48, 16:48] = 1
    target[1, :, 8:40, 24:56] = 1
    known = torch.ones_like(target)
    known[1, 0] = 0
    return Batch(target[:, :1].expand(-1, 3, -1, -1) * 200 + 20, target, known)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (96, 32)])
def test_logits_have_a_quarter_of_the_size_and_two_channels(network, height, width):
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, height, width)).shape == (1, 2, height // 4, width // 4)


def test_a_photo_of_any_shape_gets_logits_of_its_shape(network):
    photo = np.random.default_rng(0).integers(0, 256, (37, 91, 3), np.uint8)
    logits = predict_logits(network, photo, 64 * 64)
    assert logits.shape == (2, 37, 91)
    assert np.isfinite(logits).all()


def test_every_level_predicts_categories_and_a_boundary(network, batch):
    with torch.inference_mode():
        _, categories, boundaries = network.supervised(batch.pixels)
    assert [x.shape[1:] for x in categories] == [(2, side, side) for side in (16, 8, 4, 2)]
    assert [x.shape[1:] for x in boundaries] == [(1, side, side) for side in (16, 8, 4, 2)]


def test_attention_hands_categories_from_the_deepest_level_to_the_finer_ones(network):
    categories = [torch.ones(1, 2, side, side) for side in (4, 2)]
    deep = torch.tensor([50.0, -50.0]).view(1, 2, 1, 1)
    fine, middle, last = network._attended([*categories, deep])
    assert torch.equal(last, deep)
    assert middle[0, :, 0, 0].tolist() == [2.0, 1.0]  # attention 1 doubles, attention 0 leaves as it is
    assert fine[0, 0, 0, 0] == pytest.approx(1 + 1 / (1 + np.exp(-2)), abs=1e-6)


def test_enhancement_hands_boundaries_from_the_finest_level_to_the_deeper_ones(network):
    boundaries = [torch.full((1, 1, side, side), float(side)) for side in (8, 4, 2)]
    assert [x.mean().item() for x in network._enhanced(boundaries)] == [8.0, 12.0, 14.0]


@pytest.mark.parametrize("part", ["attention", "enhancement"])
def test_each_part_changes_the_result_and_can_be_left_out(network, batch, part):
    without = copy.deepcopy(network)
    setattr(without, part, False)
    with torch.inference_mode():
        assert not torch.allclose(network(batch.pixels), without(batch.pixels))
    assert portrait(width=8, **{part: False}).state_dict().keys() == portrait(width=8).state_dict().keys()


def test_boundaries_are_those_of_the_sobel_edge_label():
    mask = np.random.default_rng(0).random((20, 30)) > 0.7
    ours = sobel_outline(torch.from_numpy(mask.astype(np.float32))[None, None])[0, 0].numpy()
    assert np.array_equal(ours > 0, edge_label(mask, "sobel"))


def test_every_parameter_has_a_gradient(network, batch):
    trained = copy.deepcopy(network).train()
    trained.loss(batch, LossWeights()).backward()
    assert [name for name, value in trained.named_parameters() if value.grad is None] == []
    assert [name for name, value in trained.named_parameters() if not value.grad.any()] == []
    assert all(torch.isfinite(value.grad).all() for value in trained.parameters())


def test_what_is_not_known_does_not_count(network, batch):
    unknown = batch.target.clone()
    unknown[1, 0] = 1 - unknown[1, 0]
    with torch.inference_mode():
        assert network.loss(batch, LossWeights()) == network.loss(batch._replace(target=unknown), LossWeights())
        nothing = network.loss(batch._replace(known=torch.zeros_like(batch.known)), LossWeights())
    assert nothing == 0


@torch.no_grad()
def test_the_boundaries_that_are_learnt_are_everyones(network, batch):
    """A network that is undecided about categories and sure that there is no boundary pays for boundaries alone."""
    sure = copy.deepcopy(network)
    for layer in (sure.classify, *(each for level in sure.levels for each in (level.category, level.boundary[-1]))):
        layer.weight.zero_()
        layer.bias.zero_()
    for level in sure.levels:
        level.boundary[-1].bias.fill_(-20)
    nobody, dominant, everyone = (torch.zeros_like(batch.target) for _ in range(3))
    dominant[:, 0], everyone[:, 1] = batch.target[:, 0], batch.target[:, 1]
    losses = [
        sure.loss(Batch(batch.pixels, target, torch.ones_like(target)), LossWeights(edge=0, overlap=0)).item()
        for target in (nobody, dominant, everyone)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] > losses[0] + 1


def test_the_pretrained_parameters_are_the_encoders(network):
    assert {id(value) for value in network.pretrained_parameters()} == {
        id(value) for value in network.backbone.parameters()
    }


def test_one_batch_is_learnt(batch):
    torch.manual_seed(0)
    network = portrait(width=16).train()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(16):
        optimiser.zero_grad()
        loss = network.loss(batch, LossWeights())
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    found = torch.nn.functional.interpolate(network(batch.pixels), size=(64, 64), mode="bilinear")[:, 1] > 0
    wanted = batch.target[:, 1] > 0
    assert (found & wanted).sum() / (found | wanted).sum() > 0.8
