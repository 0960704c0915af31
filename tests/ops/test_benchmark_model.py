"""A model is measured on the photos that are asked for, and scored as `evaluate` scores."""

import platform
from collections.abc import Iterator
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from tiny_models import colour_data, colour_model

from segdata.errors import InputError
from segdata.models.registry import open_model
from segdata.ops import benchmark_model as home
from segdata.ops.benchmark_model import benchmark_model
from segdata.pixels import decode_image, encode_photo, encode_png
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


@pytest.mark.parametrize(
    ("counts", "who"), [([1, 1], "dominant"), ([1, 0], "dominant"), ([0, 0], "all"), ([1, 2], "all"), ([2, 2], "all")]
)
def test_no_more_than_one_person_a_photo_and_one_at_all_are_the_dominant_one(
    model: Path, tmp_path: Path, counts: list[int], who: str
) -> None:
    data = colour_data(tmp_path / "data")
    rows = [msgspec.json.decode(line) for line in (data / "metadata.jsonl").read_bytes().splitlines()[: len(counts)]]
    lines = [
        row | {"persons": [{"id": each} for each in range(count)]} for row, count in zip(rows, counts, strict=True)
    ]
    (data / "metadata.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    assert benchmark_model([model], data, repeats=1).who == who


def test_a_pixel_at_the_threshold_is_a_persons(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    for level, iou in ((128, 1), (127, 0)):  # the model's logit is the colour less 128, its threshold 0.5
        for path in (data / "images").iterdir():
            photo = np.zeros((64, 64, 3), np.uint8)
            photo[8:40, 8:24] = level
            path.write_bytes(encode_photo(photo, ".png"))
        assert benchmark_model([model], data, repeats=1).models[0].evaluation.mean["iou"] == iou


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


def test_the_input_is_that_of_most_photos_height_first(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    for number, shape in enumerate([(128, 32), (32, 128), (32, 128), (64, 64)]):
        (data / f"images/{number:04}.png").write_bytes(encode_photo(np.zeros((*shape, 3), np.uint8), ".png"))
        (data / f"masks/{number:04}.png").write_bytes(encode_png(np.zeros(shape, bool)))
    (figures,) = benchmark_model([model], data, repeats=1).models
    assert (figures.input, figures.operations) == ((32, 128), 2 * 32 * 128 * 6)


def test_times_are_the_medians_in_milliseconds(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.001, 0.005, 0.002, 0.010, 0.030, 0.020, 0.4, 0.3, 0.1]  # the photo, the file, the network alone
    moments = accumulate(part for each in seconds for part in (1, each))
    monkeypatch.setattr(home, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    latency = benchmark_model([model], colour_data(tmp_path / "data"), split="train", repeats=3).models[0].latency
    assert (latency.photo, latency.decoded, latency.network) == pytest.approx((2, 20, 300))
    assert latency.runs == 3
    assert next(moments, None) is None, "nothing else is timed"


def test_each_photo_is_run_five_times_unless_said_otherwise(model: Path, tmp_path: Path) -> None:
    found = benchmark_model([model], colour_data(tmp_path / "data"), split="train")
    assert found.models[0].latency.runs == 5


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, [0]), (3, [0, 1, 2]), (20, list(range(20))), (21, list(range(20))), (60, list(range(0, 60, 3)))],
)
def test_times_are_taken_on_at_most_20_photos_from_all(count: int, chosen: list[int]) -> None:
    assert home._spread(list(range(count))) == chosen  # type: ignore[arg-type,comparison-overlap]


def test_threads_are_those_that_are_asked_for_and_only_meanwhile(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int | None, int]] = []

    def opened(name: Any, *, threads: int | None) -> Any:
        seen.append((threads, cv2.getNumThreads()))
        return open_model(name, threads=threads)

    monkeypatch.setattr(home, "open_model", opened)
    data = colour_data(tmp_path / "data")
    before = cv2.getNumThreads()
    assert benchmark_model([model], data, repeats=1, threads=before + 1).threads == before + 1
    assert cv2.getNumThreads() == before
    assert benchmark_model([model], data, repeats=1).threads is None
    assert seen == [(before + 1, before + 1), (None, before)]
    with pytest.raises(InputError, match="is no model"):
        benchmark_model(["hog"], data, threads=before + 1)
    assert cv2.getNumThreads() == before


def test_the_worst_photos_iou_is_the_lowest(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    mask = np.zeros((64, 64), bool)
    mask[8:40, 8:40] = True  # twice what the model finds
    (data / "masks/0002.png").write_bytes(encode_png(mask))
    (figures,) = benchmark_model([model], data, repeats=1).models
    assert (figures.lowest_iou, figures.evaluation.mean["iou"]) == (0.5, 0.875)


@pytest.fixture
def about_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let Linux say this of the processors."""
    lines = ["processor\t: 0", "model name\t: First @ 2.50GHz", "processor\t: 1", "model name\t: Second: mobile"]

    def read_text(path: Path, encoding: str) -> str:
        assert (str(path), encoding) == ("/proc/cpuinfo", "utf-8")
        if not lines:
            raise FileNotFoundError
        return "\n".join(lines)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    yield lines
    monkeypatch.undo()


def test_the_processor_is_called_as_linux_calls_the_first(about_processors: list[str]) -> None:
    assert home._processor() == "First @ 2.50GHz"
    del about_processors[1]
    assert home._processor() == "Second: mobile"
    del about_processors[2]
    assert home._processor() == "arm64", "where Linux has no name for it"


def test_the_processor_is_called_as_python_calls_it_elsewhere(
    about_processors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    about_processors.clear()
    for name, said in (("Apple M2", "Apple M2"), ("", "arm64")):
        monkeypatch.setattr(platform, "processor", lambda name=name: name)
        assert home._processor() == said


def test_versions_are_of_what_is_installed_and_cores_of_the_machine(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    found = benchmark_model([model], colour_data(tmp_path / "data"), repeats=1)
    assert found.cores == 7
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert benchmark_model([model], tmp_path / "data", repeats=1).cores == 1
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == np.__version__
    assert "torch" not in found.versions
    assert {"segdata", "opencv-contrib-python", "onnxruntime"} <= found.versions.keys()


def test_where_no_photo_can_be_read_the_first_reason_is_told(model: Path, tmp_path: Path) -> None:
    data = colour_data(tmp_path / "data")
    for path in (data / "images").iterdir():
        path.write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"no photo could be read \(.*0000\.png is not an image"):
        benchmark_model([model], data, repeats=1)


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
