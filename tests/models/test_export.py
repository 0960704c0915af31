"""A file is written if it gives the masks of the network that it was made from, and not otherwise."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch

from segdata.demo.photos import PHOTOS, read_photo
from segdata.errors import InputError, SegdataError
from segdata.models import networks, onnx_graph
from segdata.models.alisnet import ALiSNet
from segdata.models.backbones import Backbone, _Blocks
from segdata.models.export import export_model
from segdata.models.layers import relu6
from segdata.models.model_file import read_facts
from segdata.models.onnx_model import OnnxSegmenter
from segdata.models.runs import BEST, WHO, TorchSegmenter, save_weights
from segdata.models.settings import SETTINGS, TrainSettings
from segdata.models.weights_file import read_network
from segdata.sample import encode


def small_network() -> ALiSNet:
    """Give a network with all that the real one has, of few layers."""
    blocks = [_Blocks(1, 3, 1, 8, 1), *(_Blocks(2, 3, 2, width, 1) for width in (8, 16, 16, 24))]
    grey = (127.0, 127.0, 127.0)
    backbone = Backbone("small", blocks, activation=relu6, mean=grey, deviation=grey, same=True)
    return ALiSNet(backbone, width=8, outputs=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run whose network, of random weights, calls about half of a photo a person."""
    networks.NETWORKS["small"] = small_network
    torch.manual_seed(1)
    network = small_network().eval()
    photo = torch.from_numpy(read_photo(PHOTOS[0])).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        logits = network.coarse_logits(photo).logits
        network.coarse.bias -= logits.median(dim=3).values.median(dim=2).values[0]
        network.coarse.weight *= 4 / logits.std()
        network.coarse.bias *= 4 / logits.std()
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    (folder / SETTINGS).write_bytes(encode(TrainSettings("small", (), pixels=192 * 192)))
    save_weights(network, folder / BEST, {})
    yield folder
    del networks.NETWORKS["small"]


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """Let torch trace the network once, which takes twenty seconds, and not for each file made from it."""
    graphs: dict[bytes, bytes] = {}
    trace = onnx_graph.onnx_graph

    def kept(network: ALiSNet) -> bytes:
        weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        if weights not in graphs:
            graphs[weights] = trace(network)
        return graphs[weights]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graph, "onnx_graph", kept)
        yield


@pytest.fixture(scope="module")
def onnx_file(run: Path) -> Path:
    out = run.parent / "small.onnx"
    export = export_model(run, out, licence="CC0-1.0", threshold=0.4)
    assert (export.out, export.format, export.bytes) == (str(out), "onnx", out.stat().st_size)
    assert export.sha256 == read_facts(out.read_bytes(), "small.onnx").sha256
    assert export.disagreement.photos == 4
    assert export.disagreement.pooled_iou > 0.9999
    return out


def test_a_file_runs_without_torch_and_gives_the_probabilities_of_the_run(run: Path, onnx_file: Path) -> None:
    photos = [read_photo(photo) for photo in PHOTOS]
    for one, other in zip(
        TorchSegmenter(run).probabilities(photos), OnnxSegmenter(onnx_file).probabilities(photos), strict=True
    ):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-3


def test_a_file_says_of_itself_what_was_asked_for(onnx_file: Path) -> None:
    facts = read_facts(onnx_file.read_bytes(), "small.onnx")
    assert (facts.name, facts.who, facts.pixels) == ("small", WHO, 192 * 192)
    assert (facts.threshold, facts.licence) == (0.4, "CC0-1.0")


def test_a_file_holds_no_path_of_the_machine_that_made_it(onnx_file: Path) -> None:
    data = onnx_file.read_bytes()
    assert b"segdata/models" not in data
    assert b"site-packages" not in data


def test_eight_bits_are_smaller_and_say_nearly_the_same(run: Path, onnx_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "small8.onnx"
    export = export_model(run, out, format="onnx-int8", bound=0.8)
    assert 0.8 <= export.disagreement.pooled_iou < 1
    assert 0 < export.disagreement.pixels < 0.1
    onnx = pytest.importorskip("onnx")
    sizes = []
    for file in (onnx_file, out):
        graph = onnx.load(file).graph
        sizes.append(sum(len(each.raw_data) for each in graph.initializer if len(each.dims) == 4))
    assert sizes[1] < sizes[0] / 3
    kinds = {node.op_type for node in graph.node if "image" in node.input}
    assert kinds == {"Shape", "Reshape"}, "the photo's own bytes go into the first convolution"
    made = {output: node for node in graph.node for output in node.output}
    gathered = [
        made[node.input[0]].op_type for node in graph.node if node.op_type == "Gather" and node.input[0] in made
    ]
    assert "DequantizeLinear" not in gathered


def test_an_export_that_differs_too_much_is_not_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "small8.onnx"
    with pytest.raises(SegdataError, match=r"small8\.onnx is not written, for its masks have an IoU of 0\.\d+ with"):
        export_model(run, out, format="onnx-int8", bound=1.0)
    assert list(tmp_path.iterdir()) == []


def test_safetensors_hold_the_network_and_how_to_build_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    export = export_model(run, out, format="safetensors")
    assert (export.disagreement.pooled_iou, export.disagreement.probability, export.sha256) == (1, 0, None)
    network, settings = read_network(out)
    assert (settings.model, settings.pixels) == ("small", 192 * 192)
    expected = TorchSegmenter(run).network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_executorch_programs_give_the_masks_of_the_network(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    export = export_model(run, tmp_path / "small.pte", format="executorch")
    assert export.disagreement.pooled_iou > 0.999


def test_executorch_is_asked_for_where_it_is_missing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "executorch.backends.xnnpack.partition.xnnpack_partitioner", None)
    with pytest.raises(InputError, match=r"needs the package executorch: pip install .*executorch"):
        export_model(run, tmp_path / "small.pte", format="executorch")
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_photos_of_a_folder_are_compared_and_the_others_left_to_calibrate_on(
    run: Path, tmp_path: Path, shared_data: Path
) -> None:
    photos = shared_data / "coco_train" / "images"
    export = export_model(run, tmp_path / "a.safetensors", format="safetensors", photos=photos)
    assert export.disagreement.photos == len(list(photos.iterdir())) / 2


def test_progress_hears_of_each_photo(run: Path, tmp_path: Path) -> None:
    heard: list[object] = []

    class Progress:
        def begin(self, step: str, total: int | None) -> None:
            heard.append((step, total))

        def advance(self) -> None:
            heard.append(1)

    export_model(run, tmp_path / "a.safetensors", format="safetensors", progress=Progress())
    assert heard == [("compare", 4), 1, 1, 1, 1]


def test_a_file_that_is_there_is_left_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.onnx"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"a\.onnx exists: choose another name, or remove it"):
        export_model(run, out)
    assert out.read_text() == "mine"


def test_what_is_no_run_or_holds_no_photos_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a training run"):
        export_model(tmp_path, tmp_path / "a.onnx")
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="photos holds no images"):
        export_model(run, tmp_path / "a.onnx", photos=tmp_path / "photos")


def test_safetensors_of_others_are_told_apart(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(InputError, match=r"other\.safetensors does not say how its network is built"):
        read_network(other)
    (tmp_path / "no.safetensors").write_text("no")
    with pytest.raises(InputError, match=r"no\.safetensors is no safetensors file"):
        read_network(tmp_path / "no.safetensors")
    with pytest.raises(InputError, match=r"none\.safetensors does not exist"):
        read_network(tmp_path / "none.safetensors")
