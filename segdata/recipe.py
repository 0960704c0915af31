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
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from segdata.engine import Engine
from segdata.errors import InputError
from segdata.steps import Progress

# Each command's library twin, and which of its parameters are paths.
STEPS: dict[str, tuple[str, str]] = {
    "merge-coco": ("segdata.ops.merge_coco", "merge_coco"),
    "merge-parts": ("segdata.ops.merge_parts", "merge_parts"),
    "crop": ("segdata.ops.crop", "crop"),
    "uncrop": ("segdata.ops.uncrop", "uncrop"),
    "edges": ("segdata.ops.edges", "edges"),
    "saliency": ("segdata.ops.saliency", "saliency"),
    "grade-domains": ("segdata.ops.grade_domains", "grade_domains"),
    "split": ("segdata.ops.split", "split"),
    "annotate": ("segdata.ops.annotate", "annotate"),
    "evaluate": ("segdata.quality.evaluate", "evaluate"),
}
_PATHS = frozenset({"annotations", "labels", "images", "names", "data", "out", "preds", "gt", "crops"})
_NOT_FROM_FILE = frozenset({"engine", "progress"})


class StepResult(NamedTuple):
    """The command of a step and what its library twin returned."""

    command: str
    result: Any


class _Step(NamedTuple):
    command: str
    twin: Callable[..., Any]
    arguments: dict[str, Any]


def build(recipe: str | Path, *, engine: Engine | None = None, progress: Progress | None = None) -> list[StepResult]:
    """Run the steps of a recipe in their order, each where an earlier run left it.

    The whole recipe is checked before the first step runs. Raises `InputError` that names the file and the step for
    what is not a recipe: bad TOML, an unknown command, an argument that the command does not have or lacks, or a value
    of another type than it takes.
    """
    results = []
    for step in _read(Path(recipe)):
        extras = {"engine": engine, "progress": progress}
        known = inspect.signature(step.twin).parameters
        arguments = {**step.arguments, **{name: value for name, value in extras.items() if name in known}}
        results.append(StepResult(step.command, step.twin(**arguments)))
    return results


def _read(path: Path) -> list[_Step]:
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML ({error})") from error
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
            arguments[name] = msgspec.convert(value, str if name in _PATHS else types[name])
        except msgspec.ValidationError as error:
            raise InputError(f"{where}, {command}: {name} = {value!r} is not as it should be ({error})") from error
        if name in _PATHS:
            arguments[name] = str(path.parent / value)
    return _Step(command, twin, arguments)
