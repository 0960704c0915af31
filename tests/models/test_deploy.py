"""What goes into a file computes what the network computes."""

import pytest

pytest.importorskip("torch")

import torch

from segdata.models.backbones import BACKBONES
from segdata.models.deploy import Deployed
from segdata.models.networks import build_network


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
        found = Deployed(network)(photos)
    assert expected.abs().max() > 0.01
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_network_that_it_is_made_from_stays_as_it_is() -> None:
    network = build_network("alisnet").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deployed = Deployed(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in deployed.modules())
