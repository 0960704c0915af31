"""RCRNet: the rows of its table, its folding, its loss and its fourth channel."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from segdata.errors import InputError
from segdata.models.costs import torch_cost
from segdata.models.network import Batch, LossWeights
from segdata.models.rcr_block import RCRModule
from segdata.models.rcr_losses import boundary_loss, constraint_loss
from segdata.models.rcrnet import RCRNet, rcrnet, rcrnet_bypass, rcrnet_decoder, rcrnet_encoder
from segdata.models.runs import predict_logits

Builder = Callable[..., RCRNet]
# Table 3: millions of multiply-adds, millions of parameters.
TABLE = {rcrnet_encoder: (157, 0.607), rcrnet_decoder: (177, 0.608), rcrnet_bypass: (190, 0.610), rcrnet: (217, 0.770)}
PLAIN = LossWeights(edge=0.0, overlap=0.0)


def _batch(*, prior: bool = False, side: int = 64) -> Batch:
    torch.manual_seed(0)
    target = torch.zeros(2, 2, side, side)
    target[:, :, side // 4 :, side // 4 : -side // 4] = 1
    shown = 60 + 120 * target[:, :1]
    pixels = [(shown + 20 * torch.randn(2, 3, side, side)).clamp(0, 255) for _ in range(2)]
    if prior:
        pixels = [torch.cat([each, 255 * target[:, :1]], dim=1) for each in pixels]
    return Batch(pixels[0], target, torch.ones_like(target), pixels[1])


def _trained(network: RCRNet, steps: int, batch: Batch) -> list[float]:
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = network.loss(batch, PLAIN)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("build", TABLE)
def test_it_costs_what_the_table_says_before_and_after_folding(build: Builder, prior: bool) -> None:
    operations, parameters = TABLE[build]
    with torch.device("meta"):  # shapes are all that counts
        network = build(prior=prior).eval()
    for each in (network, network.fold()):
        cost = torch_cost(each, (224, 224))
        assert cost.parameters == pytest.approx(parameters * 1e6, rel=0.05)
        assert cost.operations == pytest.approx(2 * operations * 1e6, rel=0.10)  # a multiply-add is two


@pytest.mark.parametrize("build", TABLE)
def test_logits_are_of_the_size_of_the_input(build: Builder) -> None:
    with torch.no_grad():
        assert build().eval()(torch.rand(2, 3, 32, 96) * 255).shape == (2, 2, 32, 96)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("build", TABLE)
def test_a_photo_of_any_shape_gets_logits_of_its_shape(build: Builder, channels: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (37, 91, channels), np.uint8)
    logits = predict_logits(build(prior=channels == 4).fold(), photo, 64 * 64)
    assert logits.shape == (2, 37, 91)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("build", TABLE)
def test_the_folded_network_equals_the_trained_one(build: Builder) -> None:
    torch.manual_seed(0)
    network = build(prior=True)
    _trained(network, 3, _batch(prior=True, side=32))  # batch normalisations are no longer trivial
    network.eval()
    folded = network.fold()
    pixels = torch.rand(2, 4, 64, 96) * 255
    with torch.no_grad():
        expected = network(pixels).sigmoid()
        assert expected.std() > 1e-3
        assert (folded(pixels).sigmoid() - expected).abs().max() < 1e-5
    assert not any(isinstance(each, torch.nn.BatchNorm2d | RCRModule) for each in folded.modules())
    assert any(isinstance(each, RCRModule) for each in network.modules())


def test_the_folded_network_equals_the_trained_one_on_photos(shared_data: Path) -> None:
    torch.manual_seed(0)
    network = rcrnet()
    _trained(network, 3, _batch(side=32))
    network.eval()
    folded = network.fold()
    for path in sorted((shared_data / "ccp").rglob("*.jpg"))[:4]:
        photo = cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (224, 224)), cv2.COLOR_BGR2RGB)
        pixels = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)[None])).float()
        with torch.no_grad():
            assert (folded(pixels).sigmoid() - network(pixels).sigmoid()).abs().max() < 1e-5


def test_a_module_folds_into_one_pointwise_and_one_depthwise_convolution() -> None:
    module = RCRModule(5, 7).train()
    for _ in range(5):
        module(torch.randn(4, 5, 8, 8) * 3 + 1)
    folded = module.eval().folded()
    shapes = [tuple(each.weight.shape) for each in folded.modules() if isinstance(each, torch.nn.Conv2d)]
    assert shapes == [(7, 5, 1, 1), (7, 1, 3, 3)]
    x = torch.randn(2, 5, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), module(x), rtol=0, atol=1e-5)


def test_a_folded_network_cannot_be_trained() -> None:
    with pytest.raises(InputError, match="folded"):
        rcrnet().fold().loss(_batch(), PLAIN)


def test_it_needs_a_second_texture_and_with_a_prior_that_too() -> None:
    assert rcrnet().needs == {"second-texture"}
    assert rcrnet(prior=True).needs == {"second-texture", "prior"}
    with pytest.raises(InputError, match="two textures"):
        rcrnet().loss(_batch()._replace(second=None), PLAIN)


@pytest.mark.parametrize("build", TABLE)
def test_every_parameter_learns(build: Builder) -> None:
    network = build(prior=True)
    network.loss(_batch(prior=True), LossWeights()).backward()
    assert [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_one_batch_is_learnt_by_heart() -> None:
    torch.manual_seed(0)
    network = rcrnet()
    batch = _batch(side=32)
    losses = _trained(network, 15, batch)
    assert losses[-1] < losses[0] / 3
    with torch.no_grad():
        found = network(batch.pixels) > 0
    wanted = batch.target > 0
    assert (found & wanted).sum() / (found | wanted).sum() > 0.95


def test_a_photo_has_an_empty_prior() -> None:
    network = rcrnet(prior=True).eval()
    pixels = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        without = network(pixels)
        assert torch.equal(without, network(torch.cat([pixels, torch.zeros(1, 1, 64, 64)], dim=1)))
        assert not torch.equal(without, network(torch.cat([pixels, torch.full((1, 1, 64, 64), 255.0)], dim=1)))


def test_views_that_agree_have_no_constraint_loss_and_the_teacher_is_not_taught() -> None:
    first, second = (torch.randn(2, 2, 8, 8, requires_grad=True) for _ in range(2))
    assert float(constraint_loss(first.detach(), first)) == pytest.approx(0, abs=1e-7)
    loss = constraint_loss(first, second)
    loss.backward()
    assert second.grad is None
    p, q = first.detach().sigmoid(), second.detach().sigmoid()
    expected = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)


def test_the_boundary_loss_wants_the_outline_and_nothing_else() -> None:
    target = _batch().target
    inside = torch.nn.functional.max_pool2d(target, 5, 1, 2) + torch.nn.functional.max_pool2d(-target, 5, 1, 2)
    known = torch.ones_like(target)
    right, wrong = (boundary_loss(20 * sign * (inside - 0.5), target, known) for sign in (1, -1))
    assert float(right) < 1e-6
    assert float(wrong) > 5
    assert inside[0, 0, 32].sum() == 8  # four pixels on the left, four on the right


def test_unknown_pixels_do_not_count_towards_the_boundary() -> None:
    target = _batch().target
    logits = torch.randn(2, 2, 32, 32)
    assert float(boundary_loss(logits, target, torch.zeros_like(target))) == 0
    known = torch.ones_like(target)
    known[:, :, :, :32] = 0
    other = target.clone()
    other[:, :, :, :32] = 1 - other[:, :, :, :32]
    assert float(boundary_loss(logits, target, known)) == float(boundary_loss(logits, other, known))


def test_no_pretrained_parameters_are_kept_apart() -> None:
    assert list(rcrnet().pretrained_parameters()) == []
