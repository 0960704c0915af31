"""ALiSNet and the rows of the paper's tables that it can be built as."""

import pytest

pytest.importorskip("torch")
import torch

from segdata.errors import InputError
from segdata.models.networks import build_network


def _parameters(**options: object) -> int:
    return sum(each.numel() for each in build_network("alisnet", options).parameters())


def test_the_network_refines_to_the_resolution_of_its_input() -> None:
    pixels = torch.rand(2, 3, 64, 96) * 255
    network = build_network("alisnet").eval()
    assert network(pixels).shape == (2, 2, 64, 96)
    assert build_network("alisnet", {"points": False}).eval()(pixels).shape == (2, 2, 16, 24)


def test_the_paths_that_the_paper_takes_away_are_what_makes_it_small() -> None:
    whole = _parameters()
    assert whole == 3_261_640
    assert whole - _parameters(points=False) == 11_462
    assert _parameters(top_down=True) - whole == 4 * (64 * 64 * 9 + 2 * 64)
    assert _parameters(backbone="mobilenet-v2") < whole


def test_refinement_changes_uncertain_points_alone() -> None:
    torch.manual_seed(0)
    network = build_network("alisnet").eval()
    torch.nn.init.normal_(network.point_head.predict.weight)  # else nothing is refined before it is trained
    pixels = torch.rand(1, 3, 256, 256) * 255
    with torch.no_grad():
        coarse = network.coarse_logits(pixels).logits
        refined = network(pixels)
        plain = coarse
        for _ in range(2):
            plain = torch.nn.functional.interpolate(plain, scale_factor=2.0, mode="bilinear")
    changed = (refined - plain).abs().amin(1)[0] > 1e-6
    assert 0 < changed.sum() < changed.numel() / 2


@pytest.mark.parametrize(("options", "said"), [({"backbone": "resnet"}, "resnet"), ({"nonsense": 1}, "nonsense")])
def test_an_unknown_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_network("alisnet", options)


def test_an_untrained_point_head_leaves_coarse_logits_as_they_are() -> None:
    network = build_network("alisnet").eval()
    pixels = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        coarse = network.coarse_logits(pixels).logits
        for _ in range(2):
            coarse = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        torch.testing.assert_close(network(pixels), coarse)


def test_context_is_the_same_at_each_place() -> None:
    torch.manual_seed(0)
    network = build_network("alisnet", {"context": True, "points": False}).eval()
    plain = build_network("alisnet", {"points": False}).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    torch.nn.init.zeros_(network.context.weight)
    torch.nn.init.zeros_(network.context.bias)
    photo = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(network(photo), plain(photo))
        torch.nn.init.constant_(network.context.bias, 5.0)
        assert (network(photo) - plain(photo)).abs().amin((0, 1)).max() > 1e-3
    assert _parameters(context=True) - _parameters() == 320 * 64 + 64


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(InputError, match="unheard-of"):
        build_network("unheard-of")
