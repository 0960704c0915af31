"""mediapipe's models segment persons alike in both kinds of mediapipe."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdata.detect.model_files import FILES, wheel_folder
from segdata.errors import InputError
from segdata.models.registry import open_model
from segdata.pixels import decode_image, decode_labels
from segdata.quality.overlap import iou

NAMES = ("mediapipe-selfie", "mediapipe-pose")

# protobuf warns Tasks of mediapipe 0.10.14 of two of its own functions.
pytestmark = [
    pytest.mark.filterwarnings("ignore:MessageFactory class is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:SymbolDatabase.GetPrototype:UserWarning"),
]


@pytest.fixture(scope="session")
def task_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of the files that Tasks needs, made of those in the wheel."""
    pytest.importorskip("mediapipe")
    wheel = wheel_folder()
    if wheel is None:
        pytest.skip("the installed mediapipe holds no models")
    folder = tmp_path_factory.mktemp("models")
    (selfie,) = FILES["mediapipe-selfie"].in_wheel
    (folder / FILES["mediapipe-selfie"].download.name).write_bytes((wheel / selfie.name).read_bytes())
    detector, landmarks = (wheel / file.name for file in FILES["mediapipe-pose"].in_wheel)
    with zipfile.ZipFile(folder / FILES["mediapipe-pose"].download.name, "w") as bundle:
        bundle.writestr("pose_detector.tflite", _normalised(detector.read_bytes(), 127.5, 127.5))
        bundle.writestr("pose_landmarks_detector.tflite", _normalised(landmarks.read_bytes(), 0.0, 255.0))
    return folder


def _normalised(data: bytes, mean: float, std: float) -> bytes:
    """Add to a model how pixels become its input, which Tasks reads from the file and solutions from their graphs."""
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    def packed(table: Any, identifier: bytes) -> bytes:
        builder = flatbuffers.Builder(0)
        builder.Finish(table.Pack(builder), identifier)
        return bytes(builder.Output())

    step = metadata.ProcessUnitT()
    step.optionsType = metadata.ProcessUnitOptions.NormalizationOptions
    step.options = metadata.NormalizationOptionsT()
    step.options.mean, step.options.std = [mean], [std]
    image = metadata.TensorMetadataT()
    image.name, image.processUnits, image.content = "image", [step], metadata.ContentT()
    image.content.contentPropertiesType = metadata.ContentProperties.ImageProperties
    image.content.contentProperties = metadata.ImagePropertiesT()
    image.content.contentProperties.colorSpace = metadata.ColorSpaceType.RGB
    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(data, 0))
    graph = metadata.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    graph.outputTensorMetadata = [metadata.TensorMetadataT() for _ in model.subgraphs[0].outputs]
    root = metadata.ModelMetadataT()
    root.subgraphMetadata = [graph]
    buffer, entry = tflite.BufferT(), tflite.MetadataT()
    buffer.data = list(packed(root, b"M001"))
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [each for each in model.metadata or [] if each.name != b"TFLITE_METADATA"] + [entry]
    return packed(model, b"TFL3")


@pytest.fixture(params=["solutions", "tasks"])
def kind(request: pytest.FixtureRequest, task_files: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let segdata find either kind of mediapipe."""
    import mediapipe

    if request.param == "tasks":
        monkeypatch.delattr(mediapipe, "solutions")
        monkeypatch.setenv("SEGDATA_MODELS", str(task_files))
    return str(request.param)


def _photo(shared_data: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    image = decode_image((shared_data / f"ccp/photos/{key}.jpg").read_bytes())
    return image, decode_labels((shared_data / f"ccp/parts/{key}.png").read_bytes()) != 0


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize(("name", "who"), [("mediapipe-selfie", ("all",)), ("mediapipe-pose", ("dominant",))])
def test_a_person_is_segmented_at_the_photos_size(shared_data: Path, name: str, who: tuple[str, ...]) -> None:
    image, person = _photo(shared_data, "0035")
    model = open_model(name)
    (probabilities,) = model.probabilities([image])
    assert (model.name, model.who) == (name, who)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (1, *image.shape[:2])
    assert 0 <= probabilities.min() < 0.01
    assert 0.99 < probabilities.max() <= 1
    assert iou(probabilities[0] >= model.threshold, person) > 0.93


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_kept_from_one_photo_to_the_next(shared_data: Path, name: str) -> None:
    images = [_photo(shared_data, key)[0] for key in ("0035", "0018", "0001")]
    model = open_model(name)
    forwards = model.probabilities(images)
    backwards = model.probabilities(images[::-1])[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("name", NAMES)
def test_a_photo_of_nobody_is_background_whatever_its_size(name: str) -> None:
    images = [np.zeros(shape, np.uint8) for shape in ((1, 1, 3), (3, 400, 3), (480, 640, 3))]
    for image, probabilities in zip(images, open_model(name).probabilities(images), strict=True):
        assert probabilities.shape == (1, *image.shape[:2])
        assert probabilities.max() < 0.5


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("name", NAMES)
def test_the_view_of_a_larger_array_is_a_photo_too(shared_data: Path, name: str) -> None:
    image, _ = _photo(shared_data, "0035")
    model = open_model(name)
    mirrored = image[:, ::-1]
    assert np.array_equal(*(model.probabilities([each])[0] for each in (mirrored, mirrored.copy())))


@pytest.mark.parametrize("name", NAMES)
def test_both_kinds_give_the_same_mask(
    shared_data: Path, task_files: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import mediapipe

    image, _ = _photo(shared_data, "0018")
    (old,) = open_model(name).probabilities([image])
    monkeypatch.delattr(mediapipe, "solutions")
    monkeypatch.setenv("SEGDATA_MODELS", str(task_files))
    (new,) = open_model(name).probabilities([image])
    assert iou(old[0] >= 0.5, new[0] >= 0.5) > 0.999


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    monkeypatch.delattr(mediapipe, "solutions", raising=False)
    monkeypatch.setenv("SEGDATA_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=f"get it by segdata models --fetch {name}"):
        open_model(name)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_spilt_on_the_error_stream(shared_data: Path, name: str) -> None:
    pytest.importorskip("mediapipe")
    code = (
        "from segdata.models.registry import open_model; from segdata.pixels import decode_image;"
        f"image = decode_image(open({str(shared_data / 'ccp/photos/0018.jpg')!r}, 'rb').read());"
        f"open_model({name!r}).probabilities([image])"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
