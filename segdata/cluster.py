"""Whether the workers of a cluster are as this machine is: versions, models, folders."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from segdata import storage
from segdata.engine.dask_cluster import connect
from segdata.errors import InputError
from segdata.models.catalogue import models

# Those that decide about the bytes of an output, and the one that workers and schedulers understand each other by.
PACKAGES = (
    "segdata",
    "numpy",
    "opencv-contrib-python",
    "pillow",
    "pycocotools",
    "scikit-image",
    "scipy",
    "onnxruntime",
    "mediapipe",
    "distributed",
)
_OF_SCHEDULER = ("python", "segdata", "distributed")


class Node(msgspec.Struct, frozen=True):
    """A process of the cluster: `facts` by name, or the `error` that it answered with.

    A package or model that is not there is None. A folder that was asked for is ``read, write``, ``read``,
    ``no access``, ``another`` (a folder of that name without the file that this machine wrote there) or ``missing``.
    """

    name: str
    facts: dict[str, str | None] = {}
    error: str = ""


class ClusterCheck(msgspec.Struct, frozen=True):
    """What this machine, the scheduler and the workers are, and where they differ: a sentence each."""

    scheduler: str
    here: Node
    at_scheduler: Node
    workers: tuple[Node, ...]
    differences: tuple[str, ...]


def check_cluster(scheduler: str, paths: Iterable[str | Path] = ()) -> ClusterCheck:
    """Ask every worker of a Dask cluster for what decides about its results, and compare it with this machine.

    Compared are the versions of Python (3.11 with 3.12, not 3.11.1 with 3.11.2), of segdata and the packages that it
    computes with, the processor's kind, the SHA-256 of models, and whether the folders `paths` are the same: a small
    file is written there, looked for by the workers, and removed. Of the scheduler only Python, segdata and distributed
    matter.

    Raises `InputError` where no scheduler answers within ten seconds, for a path that is no folder here, and where
    distributed is not installed.
    """
    folders = [str(storage.here(path).absolute()) for path in paths]
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"{folder} is no folder on this machine", "give one that the workers share")
    client = connect(scheduler)
    token = f".segdata-{uuid4().hex}"
    try:
        with _tokens(folders, token) as written:
            here = Node("this machine", _facts(written, token))
            answers = client.run(_facts, written, token, on_error="return")
            try:
                answer = client.run_on_scheduler(_facts, {}, token)
            except Exception as error:  # noqa: BLE001 - whatever it answers with is to be told
                answer = error
    finally:
        client.close()
    at_scheduler = _node("the scheduler", answer, _OF_SCHEDULER)
    workers = tuple(_node(name, answers[name], here.facts) for name in sorted(answers))
    differences = [each for node in (at_scheduler, *workers) for each in _compare(here, node)]
    if not workers:
        differences.append(f"no worker has joined the scheduler: start one with dask worker {scheduler} --nthreads 1")
    return ClusterCheck(scheduler, here, at_scheduler, workers, tuple(differences))


def _node(name: str, answer: Any, wanted: Iterable[str]) -> Node:
    if isinstance(answer, BaseException):
        return Node(name, error=f"{type(answer).__name__}: {answer}")
    return Node(name, {fact: answer.get(fact) for fact in wanted})


def _compare(here: Node, node: Node) -> Iterator[str]:
    if node.error:
        yield f"{node.name} cannot answer ({node.error}): install this version of segdata there"
    for fact, theirs in node.facts.items():
        ours = here.facts[fact]
        if _decisive(fact, ours) != _decisive(fact, theirs):
            yield f"{node.name}: {fact} is {theirs or 'missing'}, here {ours or 'missing'}"


def _decisive(fact: str, value: str | None) -> object:
    """Give what of a fact has to be the same: of Python the first two numbers."""
    return value.split(".")[:2] if fact == "python" and value else value


def _facts(folders: dict[str, bool], token: str) -> dict[str, str | None]:
    """Give what is to be compared, in any process that has segdata; `folders` says where the token was written."""
    facts: dict[str, str | None] = {"python": platform.python_version(), "processor": platform.machine()}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
    for model in models().models:
        for file in model.files:
            data = None if file.bytes is None else Path(file.path).read_bytes()
            name = f"{model.name} ({Path(file.path).name})"
            facts[name] = None if data is None else hashlib.sha256(data).hexdigest()
    return facts | {folder: _access(Path(folder), token if written else "") for folder, written in folders.items()}


def _access(folder: Path, token: str) -> str:
    try:
        os.scandir(folder).close()
        if token and not (folder / token).exists():
            return "another"
    except PermissionError:
        return "no access"
    except OSError:
        return "missing"
    own = folder / f"{token}.{uuid4().hex}.part"
    if not _write(own):
        return "read"
    own.unlink()
    return "read, write"


def _write(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except OSError:
        return False
    return True


@contextmanager
def _tokens(folders: Iterable[str], token: str) -> Iterator[dict[str, bool]]:
    """Put an empty file of an unmistakable name into folders, where they take one."""
    written: dict[str, bool] = {}
    try:
        for folder in folders:
            written[folder] = _write(Path(folder) / token)
        yield written
    finally:
        for folder, there in written.items():
            if there:
                (Path(folder) / token).unlink(missing_ok=True)
