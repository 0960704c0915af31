"""Parameters and operations are those counted by hand, whatever the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdata.detect.model_files import FILES
from segdata.models.catalogue import files_of
from segdata.models.costs import Cost, onnx_cost, tflite_cost, torch_cost


def _onnx(path: Path, nodes: list[Any], constants: dict[str, np.ndarray], output: str, channels: int = 3) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    before = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["x"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        before + nodes,
        "counted",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", channels])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def onnx() -> Any:
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("onnx")


def test_a_convolution_uses_its_weights_at_each_place_of_its_output(onnx: Any, tmp_path: Path) -> None:
    weights, bias = np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    path = _onnx(tmp_path / "a.onnx", [node], {"w": weights, "b": bias}, "y")
    assert onnx_cost(path, (64, 32)) == Cost(4 * 27 + 4, 2 * 32 * 16 * 4 * 27)


def test_a_fourth_channel_is_given_what_it_takes(onnx: Any, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    path = _onnx(tmp_path / "a.onnx", [node], {"w": np.ones((5, 4, 1, 1), np.float32)}, "y", channels=4)
    assert onnx_cost(path, (8, 4)) == Cost(20, 2 * 32 * 20)


def test_a_transposed_convolution_uses_them_at_each_place_of_its_input(onnx: Any, tmp_path: Path) -> None:
    node = onnx.helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    path = _onnx(tmp_path / "a.onnx", [node], {"w": np.ones((3, 5, 2, 2), np.float32)}, "y")
    assert onnx_cost(path, (8, 4)) == Cost(60, 2 * 8 * 4 * 60)


def test_weights_of_eight_bits_count_as_those_they_stand_for(onnx: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    nodes = [make("DequantizeLinear", ["q", "scale", "zero"], ["w"]), make("Conv", ["x", "w"], ["y"])]
    constants = {
        "q": np.ones((4, 3, 1, 1), np.int8),
        "scale": np.array(0.5, np.float32),
        "zero": np.array(0, np.int8),
    }
    assert onnx_cost(_onnx(tmp_path / "a.onnx", nodes, constants, "y"), (8, 8)) == Cost(12, 2 * 64 * 12)


def test_weights_used_twice_are_one_set_of_parameters(onnx: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    nodes = [make("Conv", ["x", "w"], ["y"]), make("Conv", ["y", "w"], ["z"])]
    path = _onnx(tmp_path / "a.onnx", nodes, {"w": np.ones((3, 3, 1, 1), np.float32)}, "z")
    assert onnx_cost(path, (4, 4)) == Cost(9, 2 * 2 * 16 * 9)


def test_products_of_two_computed_tensors_leave_the_operations_unknown(onnx: Any, tmp_path: Path) -> None:
    path = _onnx(tmp_path / "a.onnx", [onnx.helper.make_node("MatMul", ["x", "x"], ["y"])], {}, "y")
    assert onnx_cost(path, (8, 8)) == Cost(0, None)


def test_without_onnx_the_cost_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert onnx_cost(tmp_path / "a.onnx", (8, 8)) == Cost(None, None)


def test_torch_counts_as_onnx_does() -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)
    network.needs = frozenset()
    assert torch_cost(network, (64, 32)) == Cost(4 * 27 + 4, 2 * 32 * 16 * 4 * 27)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rcrnet", {"prior": True}),
        ("lwpsn", {}),
        ("md-trisenet", {"backbone": "xception39"}),
    ],
)
def test_what_a_network_is_fed_beside_photos_is_counted_too(name: str, options: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    from segdata.models.networks import build_network

    network = build_network(name, options).eval()
    if name == "md-trisenet":
        network.seen[2] = 1
    cost = torch_cost(network, (64, 96))
    assert cost.parameters == sum(each.numel() for each in network.parameters())
    branch = network.for_domain(2) if name == "md-trisenet" else network
    assert cost.operations == torch_cost(branch, (64, 96)).operations


def test_mediapipes_networks_have_the_weights_that_their_files_have_room_for() -> None:
    pytest.importorskip("mediapipe.tasks.metadata.schema_py_generated")
    for name in ("mediapipe-selfie", "mediapipe-pose"):
        assert name in FILES
        files = files_of(name)
        if not all(path.is_file() for path in files):
            pytest.skip("the installed mediapipe holds no models")
        cost = tflite_cost(files)
        assert cost.parameters is not None
        assert cost.operations is not None
        halves = sum(path.stat().st_size for path in files) / 2  # 16 bits a weight, a part of them sparse
        assert 0.8 * halves < cost.parameters < 1.5 * halves
        assert cost.operations > 100 * cost.parameters
