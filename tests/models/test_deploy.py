"""What goes into a file computes what the network computes."""

import pytest

pytest.importorskip("torch")

import torch

from segdata.models.backbones import BACKBONES
from segdata.models.deploy import deployed
from segdata.models.networks import NETWORKS, build_network
from segdata.models.runs import fourth_of


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_it_gives_the_logits_of_the_network_up_to_rounding(backbone: str) -> None:
    """Every border included: zeros are padded after the mean is taken off, in whichever way a backbone pads."""
    torch.manual_seed(0)
    network = build_network("alisnet", {"backbone": backbone, "points": False}).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.5, 1.5)
    photos = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(photos.permute(0, 3, 1, 2).float())
        found = deployed(network)(photos)
    assert expected.abs().max() > 0.01
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


OPTIONS = {"rcrnet": {"prior": True}, "portrait": {"width": 32}} | {
    name: {"backbone": "xception39"} for name in NETWORKS if "isenet" in name
}


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "alisnet"])
def test_any_network_gives_its_logits_up_to_rounding(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, OPTIONS.get(name)).eval()
    photos = torch.randint(0, 256, (1, 64, 96, 4 if fourth_of(network) else 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(photos.permute(0, 3, 1, 2).float())
        found = deployed(network)(photos)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_the_network_that_it_is_made_from_stays_as_it_is() -> None:
    network = build_network("alisnet").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network_in_file = deployed(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network_in_file.modules())
