"""A model file is run as it says of itself, and refused in one sentence where it cannot be."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from tiny_models import MIDDLE, PIXELS, STEEP, red_model, scene

from segdata.errors import InputError
from segdata.models.model_file import ModelFacts, add_facts
from segdata.models.onnx_model import OnnxSegmenter, _threads


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return red_model(tmp_path_factory.mktemp("model") / "red.onnx", threshold=0.25)


def test_a_model_is_called_as_its_file_says(path):
    model = OnnxSegmenter(path)
    assert (model.name, model.who, model.threshold, model.pixels) == ("red", ("all", "dominant"), 0.25, PIXELS)
    assert len(model.sha256) == 64


def test_logits_are_what_the_network_gives_on_its_own_grid(path):
    photos = np.stack([scene(64, 32, (0, 0, 64, 32), red=red) for red in (80, 180)])
    found = OnnxSegmenter(path).logits(photos)
    assert (found.shape, found.dtype) == ((2, 2, 32, 16), np.float32)
    np.testing.assert_allclose(
        found[:, 0].mean(axis=(1, 2)), [STEEP * (20 - MIDDLE), STEEP * (120 - MIDDLE)], atol=1e-5
    )


def test_probabilities_are_the_sigmoid_of_the_logits_at_the_size_of_the_photo(path):
    [found] = OnnxSegmenter(path).probabilities([scene(64, 64, (0, 0, 64, 64), red=80)])
    assert (found.shape, found.dtype) == ((2, 64, 64), np.float32)
    assert found[0] == pytest.approx(1 / (1 + np.exp(-STEEP * (20 - MIDDLE))), abs=1e-6)
    assert found[1] == pytest.approx(1 / (1 + np.exp(-STEEP * (20 - MIDDLE) / 2)), abs=1e-6)


def test_what_is_red_is_found_where_it_is_in_photos_of_any_size(path):
    photos = [scene(300, 200, (50, 20, 150, 90)), scene(96, 96, (0, 0, 48, 96)), scene(40, 70, (10, 35, 30, 35))]
    for photo, found in zip(photos, OnnxSegmenter(path).probabilities(photos), strict=True):
        red = photo[..., 0] > 100
        assert found.shape == (2, *red.shape)
        assert (found[0] >= 0.5)[red].mean() > 0.95
        assert (found[0] >= 0.5)[~red].mean() < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (33, 31)])
def test_the_oddest_shapes_have_probabilities(path, shape):
    [found] = OnnxSegmenter(path).probabilities([np.zeros((*shape, 3), np.uint8)])
    assert found.shape == (2, *shape)
    assert ((found >= 0) & (found <= 1)).all()


def test_neither_the_batch_nor_the_threads_change_a_bit(path):
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (*shape, 3), np.uint8) for shape in [(90, 60), (60, 90), (91, 61), (64, 64)]]
    together = OnnxSegmenter(path, 2).probabilities(photos)
    alone = [OnnxSegmenter(path, 1).probabilities([photo])[0] for photo in photos]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one, other)


def test_no_photos_have_no_probabilities(path):
    assert OnnxSegmenter(path).probabilities([]) == []


def test_a_worker_process_computes_with_one_thread_and_others_with_every_core():
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(_threads).result() == 1
    assert _threads() >= 1


# What cannot be run


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.onnx cannot be read \(No such file"):
        OnnxSegmenter(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"", b"no model", b"\xff" * 99])
def test_what_is_no_model_is_refused(tmp_path, data):
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.onnx"):
        OnnxSegmenter(tmp_path / "a.onnx")


def test_a_changed_or_cut_file_is_refused(path, tmp_path):
    data = path.read_bytes()
    for changed in (data[:-200], data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        (tmp_path / "a.onnx").write_bytes(changed)
        with pytest.raises(InputError, match=r"a\.onnx"):
            OnnxSegmenter(tmp_path / "a.onnx")


def test_a_signed_file_without_a_graph_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(add_facts(b"", ModelFacts("none", ("all",), PIXELS, 0.5)))
    with pytest.raises(InputError, match=r"a\.onnx cannot be opened by ONNX Runtime"):
        OnnxSegmenter(tmp_path / "a.onnx")


def test_a_model_with_more_channels_than_it_says_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.onnx takes or gives something else"):
        OnnxSegmenter(red_model(tmp_path / "a.onnx", channels=3))


def test_neither_torch_nor_onnx_is_loaded_and_nothing_is_said(path):
    code = (
        "import sys; from segdata.models.registry import open_model; import numpy as np\n"
        "open_model(sys.argv[1]).probabilities([np.zeros((9, 9, 3), np.uint8)])\n"
        "assert not {'torch', 'onnx', 'mediapipe'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
