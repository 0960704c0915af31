"""BiSeNet, TriSeNet and multi-domain TriSeNet: their size, what each domain's branch learns, and from what."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import nn

from segdata.domains import DOMAINS
from segdata.errors import InputError
from segdata.models.costs import torch_cost
from segdata.models.network import Batch, LossWeights
from segdata.models.runs import predict_logits
from segdata.models.trisenet import MultiDomainTriSeNet, bisenet, mc_trisenet, md_trisenet, trisenet

BUILDERS = {"bisenet": bisenet, "trisenet": trisenet, "md_trisenet": md_trisenet}
PAPERS = LossWeights(edge=0.0, overlap=0.0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def _batch(domains: list[int] | None = None, count: int = 2) -> Batch:
    """Give photos of coloured squares on noise: everyone is the square, the dominant person its left half."""
    pixels = torch.rand(count, 3, 64, 64) * 100
    target = torch.zeros(count, 2, 64, 64)
    for photo in range(count):
        top = 8 + 8 * (photo % 3)
        pixels[photo, :, top : top + 32, 16:48] += 150
        target[photo, 0, top : top + 32, 16:32] = 1
        target[photo, 1, top : top + 32, 16:48] = 1
    return Batch(pixels, target, torch.ones_like(target), domains=None if domains is None else torch.tensor(domains))


def _changed(module: nn.Module) -> bool:
    return any(each.grad is not None and bool(each.grad.any()) for each in module.parameters())


@pytest.mark.parametrize(
    ("network", "backbone", "millions", "billions"),
    [
        ("bisenet", "xception39", 1.44, 3.53),
        ("trisenet", "xception39", 1.57, 4.19),
        ("md_trisenet", "xception39", 2.97, 4.19),
        ("bisenet", "resnet18", 12.08, 13.07),
        ("trisenet", "resnet18", 12.92, 13.76),
        ("md_trisenet", "resnet18", 14.32, 13.76),
    ],
)
def test_parameters_and_multiply_adds_are_those_of_table_4(
    network: str, backbone: str, millions: float, billions: float
) -> None:
    with torch.device("meta"):
        built = BUILDERS[network](backbone=backbone).eval()
        run = built.for_domain(0) if isinstance(built, MultiDomainTriSeNet) else built
        operations = torch_cost(run, (512, 512)).operations
    assert operations is not None
    assert sum(each.numel() for each in built.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)
    assert operations / 2e9 == pytest.approx(billions, rel=0.05)


@pytest.mark.parametrize("backbone", ["xception39", "resnet18"])
@pytest.mark.parametrize("build", BUILDERS.values())
def test_logits_are_an_eighth_of_the_photo_whatever_its_shape(build: type, backbone: str) -> None:
    network = build(backbone=backbone).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 96) * 255).shape == (2, 2, 8, 12)


@pytest.mark.parametrize("build", BUILDERS.values())
def test_a_photo_of_any_shape_gets_logits_of_its_shape(build: type) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (37, 91, 3), np.uint8)
    logits = predict_logits(build(backbone="xception39").eval(), photo, 64 * 64)
    assert logits.shape == (2, 37, 91)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("build", BUILDERS.values())
def test_every_parameter_learns(build: type) -> None:
    network = build(backbone="xception39")
    network.loss(_batch([0, 1, 2, 3, 4, 5], count=6), LossWeights()).backward()
    assert [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()] == []


@pytest.mark.parametrize("build", BUILDERS.values())
def test_a_batch_can_be_learnt_by_heart(build: type) -> None:
    network = build(backbone="xception39")
    batch = _batch([0, 0, 4, 4], count=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = network.loss(batch, PAPERS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        logits = network(batch.pixels, batch.domains) if network.needs else network(batch.pixels)
    inside = torch.nn.functional.interpolate(logits, size=(64, 64), mode="bilinear") > 0
    wanted = batch.target > 0.5
    assert ((inside & wanted).sum() / (inside | wanted).sum()).item() > 0.85


def test_nothing_is_pretrained_and_the_optimiser_of_the_trainer_takes_that() -> None:
    network = trisenet(backbone="xception39")
    assert list(network.pretrained_parameters()) == []
    groups = [{"params": [], "lr": 0.1}, {"params": list(network.parameters()), "lr": 0.2}]
    torch.optim.lr_scheduler.OneCycleLR(torch.optim.AdamW(groups), max_lr=[0.1, 0.2], total_steps=10)


def test_the_edge_loss_teaches_the_edge_path_and_what_it_sees() -> None:
    network, batch = trisenet(backbone="xception39"), _batch()
    network.paths.loss(network.paths(batch.pixels), batch, 1.0).backward()
    assert _changed(network.paths.edge)
    assert _changed(network.backbone)
    assert not _changed(network.paths.spatial)
    assert not _changed(network.fusion)


def test_the_shares_of_the_losses_are_those_asked_for() -> None:
    batch = _batch([0, 3])
    network = md_trisenet(backbone="xception39", edge_share=0.0, agreement_share=0.0)
    network.seen.fill_(1)
    losses = []
    for edge, agreement in ((0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.0, 0.25), (1.0, 0.25)):
        network.edge_share, network.agreement_share = edge, agreement
        losses.append(network.loss(batch, PAPERS).item())
    plain, whole_edge, half_edge, whole_agreement, quarter_agreement, both = losses
    assert half_edge - plain == pytest.approx((whole_edge - plain) / 2, rel=1e-3)
    assert quarter_agreement - plain == pytest.approx((whole_agreement - plain) / 4, rel=1e-3)
    assert both - plain == pytest.approx(whole_edge - plain + quarter_agreement - plain, rel=1e-3)


def _domain_network() -> MultiDomainTriSeNet:
    """Give a network whose batch normalisation has seen pixels, so that its features are of usual size."""
    network = md_trisenet(backbone="xception39")
    network.seen.fill_(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    network(torch.rand(4, 3, 64, 64) * 255)
    return network.eval()


def test_there_is_a_branch_for_each_domain() -> None:
    assert len(md_trisenet(backbone="xception39").branches) == len(DOMAINS)


@torch.no_grad()
def test_each_photo_goes_through_the_branch_of_its_domain() -> None:
    network, pixels = _domain_network(), torch.rand(4, 3, 64, 64) * 255
    domains = [5, 0, 5, 2]
    logits = network(pixels, torch.tensor(domains))
    for photo, domain in enumerate(domains):
        alone = network.for_domain(domain)(pixels[photo : photo + 1])[0]
        torch.testing.assert_close(logits[photo], alone, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits[0], network.for_domain(1)(pixels[:1])[0], atol=0.01)


@torch.no_grad()
def test_without_a_domain_the_branches_are_averaged() -> None:
    network, pixels = _domain_network(), torch.rand(1, 3, 64, 64) * 255
    branches = torch.stack([network.for_domain(domain)(pixels) for domain in range(6)])
    torch.testing.assert_close(network(pixels), branches.mean(dim=0), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_branches_that_have_learnt_nothing_are_not_asked() -> None:
    network, pixels = _domain_network(), torch.rand(1, 3, 64, 64) * 255
    network.seen.zero_()
    network.seen[2] = 1
    second = network.for_domain(2)(pixels)
    torch.testing.assert_close(network(pixels), second, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network(pixels, torch.tensor([0])), second, rtol=1e-4, atol=1e-4)


def test_a_photo_teaches_the_branch_of_its_domain_alone() -> None:
    network = md_trisenet(backbone="xception39")
    network.seen.fill_(1)
    before = [{key: value.clone() for key, value in branch.state_dict().items()} for branch in network.branches]
    network.loss(_batch([1, 1]), LossWeights()).backward()
    assert [_changed(branch) for branch in network.branches] == [False, True, False, False, False, False]
    assert _changed(network.paths.spatial)
    remembered = [
        all(torch.equal(value, old[key]) for key, value in branch.state_dict().items())
        for old, branch in zip(before, network.branches, strict=True)
    ]
    assert remembered == [True, False, True, True, True, True]


def test_branches_are_drawn_to_what_the_others_say() -> None:
    network = md_trisenet(backbone="xception39", edge_share=0.0, agreement_share=1.0)
    network.seen.fill_(1)
    for place, branch in enumerate(network.branches):
        branch[2].bias.data.fill_(0.0 if place == 0 else 5.0)
        branch[2].weight.data.zero_()
    batch = _batch([0, 0])
    whole = network.loss(batch, PAPERS)
    network.agreement_share = 0.0
    (whole - network.loss(batch, PAPERS)).backward()
    gradient = network.branches[0][2].bias.grad
    others = 1 / (1 + math.exp(-5))
    torch.testing.assert_close(gradient, torch.full((2,), (0.5 - others) / 2), rtol=1e-3, atol=1e-4)


def test_a_batch_without_domains_is_refused() -> None:
    with pytest.raises(InputError, match="domain"):
        md_trisenet(backbone="xception39").loss(_batch(), LossWeights())
    with pytest.raises(InputError, match="no domain 6"):
        md_trisenet(backbone="xception39").for_domain(6)


def test_a_network_for_each_domain_learns_from_that_domain_alone() -> None:
    torch.manual_seed(0)
    network = mc_trisenet(backbone="xception39").train()
    target = (torch.rand(2, 2, 64, 64) > 0.5).float()
    batch = Batch(torch.rand(2, 3, 64, 64) * 255, target, torch.ones_like(target), domains=torch.tensor([3, 3]))
    network.loss(batch, LossWeights()).backward()
    learnt = [any(each.grad is not None for each in one.parameters()) for one in network.networks]
    assert learnt == [False, False, False, True, False, False]
    network.eval()
    with torch.no_grad():
        own, unseen, unknown = (network(batch.pixels, *more) for more in ([batch.domains], [batch.domains - 1], []))
        alone = network.networks[3](batch.pixels)
    for found in (own, unseen, unknown):
        np.testing.assert_allclose(found, alone, atol=1e-4 * float(alone.abs().max()))
    with pytest.raises(InputError, match="grade-domains"):
        network.loss(batch._replace(domains=None), LossWeights())
