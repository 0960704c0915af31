"""The weights of an exported file can be trained further."""

from pathlib import Path

import pytest

pytest.importorskip("onnxscript")
import skimage.data
import torch
from torch import nn

from segdata.errors import InputError
from segdata.models.model_file import ModelFacts, add_facts
from segdata.models.networks import build_network
from segdata.models.onnx_graph import onnx_graph
from segdata.models.onnx_model import OnnxSegmenter
from segdata.models.registry import BUNDLED, BUNDLED_OPTIONS
from segdata.models.reopen import freeze_norms, load_exported
from segdata.models.runs import predict_logits
from segdata.quality.overlap import iou


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network whose batch normalisations are not trivial."""
    torch.manual_seed(0)
    network = build_network("alisnet", {"points": False}).train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(4, 3, 64, 64) * 255)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
    return network.eval()


@pytest.fixture(scope="module")
def exported(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "it.onnx"
    path.write_bytes(add_facts(onnx_graph(trained), ModelFacts("it", ("dominant", "all"), 64 * 64, 0.5)))
    return path


def test_what_is_read_back_predicts_the_same(trained: nn.Module, exported: Path) -> None:
    again = build_network("alisnet", {"points": False}).eval()
    load_exported(again, exported)
    photo = torch.rand(1, 3, 96, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(again(photo), trained(photo), atol=1e-4, rtol=1e-4)


def test_frozen_norms_let_training_see_what_prediction_sees(exported: Path) -> None:
    again = build_network("alisnet", {"points": False})
    load_exported(again, exported)
    photos = torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        predicted = again.eval()(photos)
        again.train()
        freeze_norms(again)
        torch.testing.assert_close(again(photos), predicted)
    assert again.training


def test_the_bundled_model_can_be_trained_further() -> None:
    """Its int8 weights, read back, give the masks that the file gives, but for the rounding of activations."""
    network = build_network("alisnet", BUNDLED_OPTIONS).eval()
    load_exported(network, BUNDLED)
    photo = skimage.data.astronaut()
    (probabilities,) = OnnxSegmenter(BUNDLED).probabilities([photo])
    logits = predict_logits(network, photo, 576 * 384)
    assert iou(logits[0] > 0, probabilities[0] > 0.5) > 0.97


def test_the_file_of_another_network_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match="does not hold this network"):
        load_exported(build_network("alisnet", {"backbone": "mnasnet-b1"}), exported)
