"""Run a chain of steps that a TOML file describes.

A recipe is a list of steps; each names a command and gives its arguments under the names of its library twin::

    [[step]]
    command = "merge-coco"
    annotations = "instances.json"
    images = "photos"
    out = "data"

    [[step]]
    command = "split"
    data = "data"
    stratify = "domain"

Paths are relative to the recipe's folder. Every step is resumed: what is up to date is not done again.
"""

from __future__ import annotations

import inspect
import tomllib
import typing
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from segdata.engine import Engine
from segdata.errors import InputError
from segdata.models.registry import MODELS
from segdata.models.settings import Source, parse_source
from segdata.steps import Progress
from segdata.storage import as_path, is_url

# Each command's library twin.
STEPS: dict[str, tuple[str, str]] = {
    "merge-coco": ("segdata.ops.merge_coco", "merge_coco"),
    "merge-parts": ("segdata.ops.merge_parts", "merge_parts"),
    "import": ("segdata.ops.import_dataset", "import_dataset"),
    "export": ("segdata.ops.export_dataset", "export_dataset"),
    "crop": ("segdata.ops.crop", "crop"),
    "uncrop": ("segdata.ops.uncrop", "uncrop"),
    "edges": ("segdata.ops.edges", "edges"),
    "saliency": ("segdata.ops.saliency", "saliency"),
    "instances": ("segdata.ops.instances", "instances"),
    "grade-domains": ("segdata.ops.grade_domains", "grade_domains"),
    "split": ("segdata.ops.split", "split"),
    "filter": ("segdata.ops.filter", "filter"),
    "annotate": ("segdata.ops.annotate", "annotate"),
    "train": ("segdata.models.train", "train"),
    "evaluate": ("segdata.quality.evaluate", "evaluate"),
}
# Which parameters are paths, and which are unless they are one of these words.
_PATHS = frozenset({"annotations", "labels", "images", "names", "data", "out", "preds", "gt", "crops", "path"})
_PATHS_OR_WORDS: dict[tuple[str, str], Collection[str]] = {
    ("annotate", "model"): MODELS,
    ("train", "init"): ("imagenet", "none", "bundled"),
}
_MOST_DOTS = 500
_NOT_FROM_FILE = frozenset({"engine", "progress"})


class StepResult(NamedTuple):
    """The command of a step and what its library twin returned."""

    command: str
    result: Any


class _Step(NamedTuple):
    command: str
    twin: Callable[..., Any]
    arguments: dict[str, Any]


def build(
    recipe: str | Path,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    epochs: Callable[[dict[str, float]], None] | None = None,
) -> list[StepResult]:
    """Run the steps of a recipe in their order, each where an earlier run left it.

    `engine` and `progress` serve the steps that go over samples; `epochs` hears of each epoch of a training.

    The whole recipe is checked before the first step runs. Raises `InputError` that names the file and the step for
    what is not a recipe: bad TOML, an unknown command, an argument that the command does not have or lacks, or a value
    of another type than it takes.
    """
    results = []
    for step in _read(as_path(recipe)):
        if progress is not None:
            progress.begin(step.command, None)
        extras = {"engine": engine, "progress": epochs if step.command == "train" else progress}
        known = inspect.signature(step.twin).parameters
        arguments = {**step.arguments, **{name: value for name, value in extras.items() if name in known}}
        results.append(StepResult(step.command, step.twin(**arguments)))
    return results


def _read(path: Path) -> list[_Step]:
    try:
        text = path.read_bytes().decode()  # not as text, whose line ends TOML counts among what is wrong
        if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):  # in a key they take the parser for ever
            raise InputError(f"{path} has a line with more than {_MOST_DOTS} dots", "a recipe needs no such line")
        recipe = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML ({error})") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply", "a recipe is a list of [[step]] tables") from error
    steps = recipe.pop("step", None)
    if recipe or not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        other = f", and knows no {next(iter(recipe))!r}" if recipe else ""
        raise InputError(f"{path} is not a recipe", f"a recipe is a list of [[step]] tables{other}")
    return [_check(path, number, step) for number, step in enumerate(steps, start=1)]


def _check(path: Path, number: int, step: dict[str, Any]) -> _Step:
    arguments = dict(step)
    command = arguments.pop("command", None)
    where = f"{path}, step {number}"
    if not isinstance(command, str) or command not in STEPS:
        raise InputError(f"{where}: there is no command {command!r} for a recipe", f"use one of {', '.join(STEPS)}")
    module, name = STEPS[command]
    twin = getattr(import_module(module), name)
    signature = inspect.signature(twin)
    try:
        signature.replace(
            parameters=[each for each in signature.parameters.values() if each.name not in _NOT_FROM_FILE]
        ).bind(**arguments)
    except TypeError as error:
        raise InputError(f"{where}, {command}: {error}", f"see segdata {command} --help") from error
    types = typing.get_type_hints(twin)
    for name, value in arguments.items():
        try:
            arguments[name] = _argument(command, name, value, types[name], path.parent)
        except msgspec.ValidationError as error:
            raise InputError(f"{where}, {command}: {name} = {value!r} is not as it should be ({error})") from error
        except InputError as error:
            raise InputError(f"{where}, {command}: {error.message}", error.hint) from error
    return _Step(command, twin, arguments)


def _argument(command: str, name: str, value: Any, kind: Any, folder: Path) -> Any:
    """Give an argument as the library twin takes it; paths in it are relative to the recipe's folder."""
    if (command, name) == ("train", "data"):
        texts = msgspec.convert([value] if isinstance(value, str) else value, list[str])
        return [_source(text, folder) for text in texts]
    if (command, name) in _PATHS_OR_WORDS:
        text = msgspec.convert(value, str)
        return text if text in _PATHS_OR_WORDS[command, name] else _below(folder.resolve(), text)
    if name in _PATHS:
        return _below(folder, msgspec.convert(value, str))
    return msgspec.convert(value, kind)


def _source(text: str, folder: Path) -> Source:
    """Read a data set to train on, with absolute paths: the run's settings keep them, wherever it is gone on from."""
    source = parse_source(text)
    names = ("path", "leave_out", "others")
    paths = {name: _below(folder.resolve(), path) for name in names if (path := getattr(source, name)) is not None}
    return msgspec.structs.replace(source, **paths)


def _below(folder: Path, path: str) -> str:
    return path if is_url(path) else str(folder / path)
