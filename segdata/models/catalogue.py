"""Which models there are, what of them is on this machine, and how to get the rest."""

from __future__ import annotations

import hashlib
import urllib.request
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError

import msgspec

from segdata.detect.model_files import FILES, user_folder, wheel_folder
from segdata.errors import InputError, SegdataError
from segdata.files import write_file
from segdata.models.model_file import read_facts
from segdata.models.registry import BUNDLED

_GIVES = {
    "mediapipe-selfie": "masks (all)",
    "mediapipe-pose": "masks (dominant), poses",
    "blazeface-full": "faces",
    "blazeface-short": "faces",
}
_LICENCE = "Apache-2.0"
_DETECT = "pip install 'segdata[detect]'"
_SECONDS = 60
_LARGEST = 1 << 26


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a model: where it is or belongs, its size in bytes (None where it is missing), and what it should be.

    `sha256` is the sum its bytes should have; that of the bundled file is the one it states of itself, empty where it
    cannot be read. `state` is ``missing``,
    ``there``, or, where sums were checked, ``right`` or ``damaged``.
    """

    path: str
    bytes: int | None
    sha256: str
    state: Literal["missing", "there", "right", "damaged"]


class Model(msgspec.Struct, frozen=True):
    """A model that commands know by name.

    `gives` says what it finds: masks of all persons or of the dominant one, faces, poses. `works` tells whether all
    that it needs is installed here, and `how` what to do where it is not.
    """

    name: str
    gives: str
    works: bool
    files: tuple[StoredFile, ...]
    licence: str
    how: str = ""


class Catalogue(msgspec.Struct, frozen=True):
    """All models, and the folder that fetched files go to."""

    models: tuple[Model, ...]
    folder: str

    @property
    def damaged(self) -> tuple[str, ...]:
        """The paths of files whose sum is not the one it should be."""
        return tuple(file.path for model in self.models for file in model.files if file.state == "damaged")


def models(*, check: bool = False) -> Catalogue:
    """List every model: the bundled one, and those of mediapipe.

    With `check` the SHA-256 of each file is compared with the known one. Loads no model and fetches nothing.

    >>> [model.name for model in models().models][:3]
    ['bundled', 'mediapipe-selfie', 'mediapipe-pose']
    """
    return Catalogue((_bundled(check), *(_mediapipe(name, check) for name in FILES)), str(user_folder()))


def fetch(name: str) -> Path:
    """Download a model's file from its publisher into the user's folder, and give its path.

    The folder is the one that ``SEGDATA_MODELS`` names, else ``~/.cache/segdata/models``. A file that is there and
    whole is left alone; what comes is kept only if its SHA-256 is the known one.

    Raises `InputError` for a model that is not to be fetched, `SegdataError` where the download fails or is not the
    file it should be, and `StorageError` where it cannot be written.
    """
    if name not in FILES:
        raise InputError(f"there is no model {name!r} to fetch", f"choose {', '.join(FILES)}")
    file = FILES[name].download
    path = user_folder() / file.name
    if path.is_file() and _sha256(path.read_bytes()) == file.sha256:
        return path
    try:
        with urllib.request.urlopen(file.url, timeout=_SECONDS) as response:  # noqa: S310 - an address of our table
            data = response.read(_LARGEST)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the answer as well
        reason = getattr(error, "reason", None) or error
        raise SegdataError(
            f"{file.url} cannot be fetched ({reason})", f"get it otherwise and put it at {path}"
        ) from error
    if _sha256(data) != file.sha256:
        raise SegdataError(f"{file.url} gives another file than the known one (SHA-256)", "nothing was kept; try later")
    write_file(path, data)
    return path


def files_of(name: str) -> tuple[Path, ...]:
    """Give the files that one of mediapipe's models is read from on this machine, whether they are there or not."""
    wheel = wheel_folder()
    if wheel is not None:
        return tuple(wheel / file.name for file in FILES[name].in_wheel)
    return (user_folder() / FILES[name].download.name,)


def _bundled(check: bool) -> Model:
    gives, licence, sha256, state = "masks", "", "", "missing"
    size = None
    if BUNDLED.is_file():
        data = BUNDLED.read_bytes()
        size, state = len(data), "there"
        try:
            facts = read_facts(data, BUNDLED.name)
        except InputError:
            state = "damaged"
        else:
            gives, licence, sha256 = f"masks ({', '.join(facts.who)})", facts.licence, facts.sha256
            state = "right" if check else "there"
    how = "" if find_spec("onnxruntime") else "pip install onnxruntime"
    if state in {"missing", "damaged"}:
        how = "install segdata again: its wheel holds the file"
    file = msgspec.convert({"path": str(BUNDLED), "bytes": size, "sha256": sha256, "state": state}, StoredFile)
    return Model("bundled", gives, not how, (file,), licence, how)


def _mediapipe(name: str, check: bool) -> Model:
    in_wheel = wheel_folder() is not None
    known = FILES[name].in_wheel if in_wheel else (FILES[name].download,)
    files = tuple(_stored(path, file.sha256, check) for path, file in zip(files_of(name), known, strict=True))
    how = ""
    if any(file.state in {"missing", "damaged"} for file in files):
        how = "install mediapipe again: its wheel holds the files" if in_wheel else f"segdata models --fetch {name}"
    if find_spec("mediapipe") is None:
        how = _DETECT if not how else f"{_DETECT}; should its version hold no models, {how}"
    return Model(name, _GIVES[name], not how, files, _LICENCE, how)


def _stored(path: Path, sha256: str, check: bool) -> StoredFile:
    if not path.is_file():
        return StoredFile(str(path), None, sha256, "missing")
    size = path.stat().st_size
    if not check:
        return StoredFile(str(path), size, sha256, "there")
    return StoredFile(str(path), size, sha256, "right" if _sha256(path.read_bytes()) == sha256 else "damaged")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
