"""A model is measured on the photos that are asked for, and scored as `evaluate` scores."""

from pathlib import Path

import msgspec
import pytest
from tiny_models import colour_data, colour_model

from segdata.errors import InputError
from segdata.models.registry import open_model
from segdata.ops.benchmark_model import benchmark_model
from segdata.pixels import decode_image, encode_png
from segdata.quality.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture(scope="module")
def runtime() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return colour_model(tmp_path / "colours.onnx")


def test_masks_of_one_person_are_compared_with_the_dominant_one(model: Path, tmp_path: Path) -> None:
    found = benchmark_model([model], colour_data(tmp_path / "data"), repeats=1)
    assert (found.who, found.models[0].who) == ("dominant", "dominant")
    assert found.models[0].evaluation.mean["iou"] == 1


def test_masks_of_several_persons_are_compared_with_all(model: Path, tmp_path: Path) -> None:
    found = benchmark_model([model], colour_data(tmp_path / "data", persons=2), repeats=1)
    assert (found.who, found.models[0].who) == ("all", "all")
    assert found.models[0].evaluation.mean["iou"] == 0.5


def test_whom_the_masks_hold_can_be_said(model: Path, tmp_path: Path) -> None:
    found = benchmark_model([model], colour_data(tmp_path / "data"), who="all", repeats=1)
    assert (found.who, found.models[0].evaluation.mean["iou"]) == ("all", 0.5)


def test_a_model_that_does_not_give_it_is_scored_with_what_it_gives(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("mediapipe")
    photo = decode_image((shared_data / "ccp/photos/0035.jpg").read_bytes())
    data = colour_data(tmp_path / "data")
    (data / "metadata.jsonl").write_text(
        f'{{"key":"a","file_name":"images/a.png","mask_file_name":"masks/a.png","width":{photo.shape[1]},'
        f'"height":{photo.shape[0]},"persons":[{{"id":1}}]}}\n'
    )
    selfie = open_model("mediapipe-selfie")
    (data / "images/a.png").write_bytes(encode_png(photo[..., 0]))
    mask = selfie.probabilities([decode_image((data / "images/a.png").read_bytes())])[0][0] >= selfie.threshold
    (data / "masks/a.png").write_bytes(encode_png(mask))
    (figures,) = benchmark_model(["mediapipe-selfie"], data, repeats=1).models
    assert (figures.who, figures.input, figures.latency.network) == ("all", None, None)
    assert figures.evaluation.mean["iou"] == 1, "the model agrees with itself"


def test_scores_are_those_of_evaluate_on_the_models_masks(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    segmenter = open_model(model)
    for path in sorted((data / "images").iterdir()):
        (maps,) = segmenter.probabilities([decode_image(path.read_bytes())])
        (tmp_path / "preds").mkdir(exist_ok=True)
        (tmp_path / "preds" / path.name).write_bytes(encode_png(maps[0] >= 0.5))
    for crop, height in ((False, None), (True, 1024)):
        expected = evaluate(tmp_path / "preds", data, crop_to_gt=crop, height=height, missing="skip")
        found = benchmark_model([model], data, who="all", crop_to_person=crop, repeats=1).models[0].evaluation
        assert found.samples == expected.samples
        assert (found.mean, found.std, found.settings) == (expected.mean, expected.std, expected.settings)


def test_only_the_photos_of_the_split_are_seen(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    found = benchmark_model([model], data, split="test", repeats=1)
    assert found.photos == 3
    assert sorted(sample.key for sample in found.models[0].evaluation.samples) == ["0001", "0002", "0003"]
    with pytest.raises(InputError, match="no photo of the split 'val' with a mask: choose test, train"):
        benchmark_model([model], data, split="val")


def test_size_and_cost_are_those_of_the_file_at_the_networks_input(model: Path, tmp_path: Path) -> None:
    (figures,) = benchmark_model([model], colour_data(tmp_path / "data"), repeats=2).models
    assert figures.bytes == model.stat().st_size
    assert (figures.input, figures.parameters, figures.operations) == ((64, 64), 8, 2 * 64 * 64 * 6)
    assert figures.latency.runs == 4 * 2
    assert figures.latency.network is not None
    assert min(figures.latency.network, figures.latency.photo, figures.latency.decoded) > 0


def test_the_folder_of_a_training_run_is_measured_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from segdata.models.alisnet import alisnet
    from segdata.models.runs import BEST, SETTINGS, save_weights
    from segdata.models.settings import TrainSettings

    network = alisnet()
    run = tmp_path / "run"
    save_weights(network, run / BEST, {})
    (run / SETTINGS).write_bytes(msgspec.json.encode(TrainSettings(model="alisnet", data=(), pixels=64 * 64)))
    (figures,) = benchmark_model([run], colour_data(tmp_path / "data"), repeats=1).models
    assert figures.bytes == (run / BEST).stat().st_size
    assert figures.parameters == sum(each.numel() for each in network.parameters())
    assert figures.operations is not None
    assert figures.latency.network is not None
    assert figures.input == (64, 64)


def test_models_are_measured_in_their_order(model: Path, tmp_path: Path) -> None:
    other = colour_model(tmp_path / "other.onnx")
    found = benchmark_model([other, model], colour_data(tmp_path / "data"), repeats=1)
    assert [figures.model for figures in found.models] == [str(other), str(model)]
    assert [figures.evaluation.predictor for figures in found.models] == [str(other), str(model)]


def test_a_photo_that_cannot_be_read_is_a_failure_and_no_figure(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    (data / "images/0002.png").write_bytes(b"no photo")
    evaluation = benchmark_model([model], data, repeats=1).models[0].evaluation
    assert [(each.key, each.code) for each in evaluation.failures] == [("0002", "unreadable-image")]
    assert evaluation.count == 3


def test_nothing_to_measure_is_wrong_use(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    with pytest.raises(InputError, match="no model to measure"):
        benchmark_model([], data)
    with pytest.raises(InputError, match="0 repeats"):
        benchmark_model([model], data, repeats=0)
    with pytest.raises(InputError, match="is no model: choose"):
        benchmark_model(["hog"], data)
    (data / "metadata.jsonl").write_text('{"key":"a","file_name":"images/a.png","width":64,"height":64}\n')
    with pytest.raises(InputError, match="names no photos with masks"):
        benchmark_model([model], data)
