"""What there is of each model, and how its file is fetched: only on request, and only if it is the known one."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from segdata.detect import model_files
from segdata.detect.model_files import FILES, ModelFile, ModelFiles
from segdata.errors import InputError, SegdataError
from segdata.models import catalogue
from segdata.models.catalogue import Model, fetch, models

NAME, CONTENT = "mediapipe-selfie", b"a model"


class _Publisher(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    content = CONTENT

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.path == "/model.tflite" else 404)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[_Publisher]]:
    """Publish a model on this machine, and keep the user's folder in a temporary place."""
    monkeypatch.setenv("SEGDATA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(_Publisher, "asked", [])
    server = HTTPServer(("127.0.0.1", 0), _Publisher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _publish(monkeypatch, f"http://127.0.0.1:{server.server_port}/model.tflite")
    yield _Publisher
    server.shutdown()
    server.server_close()


def _publish(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    file = ModelFile("model.tflite", hashlib.sha256(CONTENT).hexdigest(), url)
    monkeypatch.setitem(FILES, NAME, ModelFiles((), file))


def _contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_is_fetched_once_into_the_users_folder(publisher: type[_Publisher], tmp_path: Path) -> None:
    assert fetch(NAME) == tmp_path / "models" / "model.tflite"
    assert fetch(NAME).read_bytes() == CONTENT
    assert publisher.asked == ["/model.tflite"]
    assert _contents(tmp_path / "models") == ["model.tflite"]


def test_a_damaged_file_is_fetched_again(publisher: type[_Publisher], tmp_path: Path) -> None:
    fetch(NAME).write_bytes(b"half a mod")
    assert fetch(NAME).read_bytes() == CONTENT
    assert len(publisher.asked) == 2


def test_another_file_than_the_known_one_is_not_kept(
    publisher: type[_Publisher], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(publisher, "content", b"something else")
    with pytest.raises(SegdataError, match="another file than the known one"):
        fetch(NAME)
    assert _contents(tmp_path / "models") == []


@pytest.mark.usefixtures("publisher")
def test_a_failed_download_says_why_and_where_the_file_belongs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _publish(monkeypatch, FILES[NAME].download.url.replace("model.tflite", "gone.tflite"))
    with pytest.raises(SegdataError, match=r"gone\.tflite cannot be fetched \(Not Found\)") as raised:
        fetch(NAME)
    assert str(tmp_path / "models" / "model.tflite") in raised.value.hint
    _publish(monkeypatch, "http://127.0.0.1:1/model.tflite")
    with pytest.raises(SegdataError, match="cannot be fetched"):
        fetch(NAME)


@pytest.mark.parametrize("name", ["hog", "bundled"])
def test_only_known_models_are_fetched(name: str) -> None:
    with pytest.raises(InputError, match="choose mediapipe-selfie, mediapipe-pose"):
        fetch(name)


def test_listing_asks_no_one_and_tells_what_is_missing(
    publisher: type[_Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "wheel_folder", lambda: None)
    selfie = next(model for model in models().models if model.name == NAME)
    assert (selfie.works, selfie.files[0].state) == (False, "missing")
    assert f"segdata models --fetch {NAME}" in selfie.how
    assert publisher.asked == []


@pytest.mark.usefixtures("publisher")
def test_checking_tells_a_damaged_file_from_a_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "wheel_folder", lambda: None)
    path = fetch(NAME)

    def found(*, check: bool) -> Model:
        return next(model for model in models(check=check).models if model.name == NAME)

    assert (found(check=False).files[0].state, found(check=True).files[0].state) == ("there", "right")
    path.write_bytes(b"a medal")
    assert (found(check=False).files[0].state, found(check=True).files[0].state) == ("there", "damaged")
    assert not found(check=True).works
    assert f"segdata models --fetch {NAME}" in found(check=True).how
    assert models(check=True).damaged == (str(path),)


def test_a_file_that_is_missing_in_the_wheel_is_not_to_be_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda _: True)
    monkeypatch.setattr(catalogue, "wheel_folder", lambda: tmp_path)
    assert {model.how for model in models().models[1:]} == {"install mediapipe again: its wheel holds the files"}


def test_without_mediapipe_its_models_name_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (catalogue, model_files):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setenv("SEGDATA_MODELS", str(tmp_path))
    for model in models().models[1:]:
        assert not model.works
        assert model.how.startswith("pip install 'segdata[detect]'")


def test_the_files_in_the_wheel_are_the_known_ones() -> None:
    if model_files.wheel_folder() is None:
        pytest.skip("the installed mediapipe holds no models")
    states = {file.path: file.state for model in models(check=True).models[1:] for file in model.files}
    assert set(states.values()) == {"right"}
    assert len(states) == 5


def test_the_bundled_model_states_its_own_sum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tiny_models import colour_model

    path = tmp_path / "bundled.onnx"
    monkeypatch.setattr(catalogue, "BUNDLED", path)
    assert models().models[0].files[0].state == "missing"
    data = colour_model(path).read_bytes()
    bundled = models(check=True).models[0]
    assert (bundled.gives, bundled.licence) == ("masks (all, dominant)", "CC0-1.0")
    assert bundled.files[0].state == "right"
    path.write_bytes(data.replace(b"floats", b"flouts"))
    assert models(check=True).models[0].files[0].state == "damaged"
