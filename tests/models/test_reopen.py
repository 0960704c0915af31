"""The weights of an exported file can be trained further."""

from pathlib import Path

import pytest

pytest.importorskip("onnxscript")
import torch
from torch import nn

from segdata.errors import InputError
from segdata.models.model_file import ModelFacts, add_facts
from segdata.models.networks import build_network
from segdata.models.onnx_graph import onnx_graph
from segdata.models.reopen import freeze_norms, load_exported


def _exported(network: nn.Module, path: Path) -> Path:
    path.write_bytes(add_facts(onnx_graph(network), ModelFacts("it", ("all", "dominant"), 64 * 64, 0.5)))
    return path


@pytest.fixture(scope="module", params=["efficientnet-lite0", "mobilenet-v2"])
def trained(request: pytest.FixtureRequest) -> nn.Module:
    """A network whose batch normalisations are not trivial."""
    torch.manual_seed(0)
    network = build_network("alisnet", {"backbone": request.param}).train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(4, 3, 64, 64) * 255)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
    return network.eval()


def test_what_is_read_back_predicts_the_same(trained: nn.Module, tmp_path: Path) -> None:
    again = build_network("alisnet", {"backbone": trained.backbone.name}).eval()
    load_exported(again, _exported(trained, tmp_path / "it.onnx"))
    photo = torch.rand(1, 3, 96, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(
            again.coarse_logits(photo).logits, trained.coarse_logits(photo).logits, atol=1e-4, rtol=1e-4
        )


def test_frozen_norms_let_training_see_what_prediction_sees(trained: nn.Module, tmp_path: Path) -> None:
    again = build_network("alisnet", {"backbone": trained.backbone.name})
    load_exported(again, _exported(trained, tmp_path / "it.onnx"))
    photos = torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        predicted = again.eval().coarse_logits(photos).logits
        again.train()
        freeze_norms(again)
        torch.testing.assert_close(again.coarse_logits(photos).logits, predicted)
    assert again.training


def test_the_file_of_another_network_is_refused(trained: nn.Module, tmp_path: Path) -> None:
    path = _exported(trained, tmp_path / "it.onnx")
    with pytest.raises(InputError, match="does not hold this network"):
        load_exported(build_network("alisnet", {"backbone": "mnasnet-b1"}), path)
