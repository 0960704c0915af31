"""Imports point one way, and importing segdata is light."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import segdata

# From the lowest. A module may import from its own layer and from those below it.
LAYERS = (
    {"errors"},
    {"storage"},
    {"sample"},
    {"engine"},
    {"masks", "pixels", "dataset", "domains"},
    {"formats", "quality"},
    {"models", "detect"},
    {"report", "ops"},
    {"cli", "__main__"},
)
LAYER = {part: height for height, parts in enumerate(LAYERS) for part in parts}
EXTRAS = {
    "torch",
    "lightning",
    "mediapipe",
    "dask",
    "distributed",
    "pyarrow",
    "starlette",
    "uvicorn",
    "fsspec",
    "upath",
}  # not installed with the core

PACKAGE = Path(segdata.__file__).parent


def name_of(file: Path) -> str:
    parts = ["segdata", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports_of(source: str, package: str, modules: set[str]) -> set[str]:
    """Give the modules of segdata that a source imports, wherever in it: in functions and for type checks too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{base}.{alias.name}" for alias in node.names}
            names |= {name if name in modules else base for name in inner}
    return {name for name in names if name.split(".")[0] == "segdata"}


@cache
def imported(name: str) -> set[str]:
    file = MODULES[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return imports_of(file.read_text(encoding="utf-8"), package, set(MODULES))


def part_of(name: str) -> str:
    return "".join(name.split(".")[1:2])


def height_of(name: str, seen: frozenset[str] = frozenset()) -> int:
    """Give the layer a module stands on. One that the layers do not name stands on the highest it leans on."""
    part = part_of(name)
    if part in LAYER:
        return LAYER[part]
    inner = [other for other in MODULES if part_of(other) == part and other not in seen]
    below = {target for other in inner for target in imported(other) if part_of(target) != part}
    return max((height_of(target, seen | set(inner)) for target in below), default=0)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_layer_and_below(name: str) -> None:
    part = part_of(name)
    highest = LAYER.get(part, LAYER["cli"] - 1)
    assert [target for target in sorted(imported(name)) if height_of(target) > highest] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import segdata.cli.main", {"segdata.cli.main"}),
        ("from segdata.cli.main import main", {"segdata.cli.main"}),
        ("from segdata.cli import main", {"segdata.cli.main"}),
        ("from segdata import cli, errors", {"segdata.cli", "segdata.errors"}),
        ("from segdata import errors, __doc__", {"segdata", "segdata.errors"}),
        ("def late():\n    import segdata.cli", {"segdata.cli"}),
        ("if TYPE_CHECKING:\n    from segdata.cli import main", {"segdata.cli.main"}),
        ("from . import edges", {"segdata.ops.edges"}),
        ("from .edges import edge_label", {"segdata.ops.edges"}),
        ("from .. import errors", {"segdata.errors"}),
        ("from ..cli.main import main", {"segdata.cli.main"}),
        ("import numpy, segdatas", set()),
    ],
)
def test_an_import_is_found_wherever_it_stands(source: str, found: set[str]) -> None:
    modules = {"segdata", "segdata.errors", "segdata.cli", "segdata.cli.main", "segdata.ops", "segdata.ops.edges"}
    assert imports_of(source, "segdata.ops", modules) == found


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_segdata_loads_nothing_but_itself_and_the_standard_library() -> None:
    before = set(run_python("import sys; print(*sys.modules)").split())  # environments bring hooks of their own
    loaded = set(run_python("import sys, segdata; print(*sys.modules)").split()) - before
    assert "segdata" in loaded
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == {"segdata"}


IMPORT_ALL = """
import importlib, json, pkgutil, sys
import segdata

def fail(name):
    raise

names = [found.name for found in pkgutil.walk_packages(segdata.__path__, "segdata.", onerror=fail)]
missing = {}
for name in names:
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == "segdata"]:
        del sys.modules[loaded]
    if name.endswith(".__main__"):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = error.name
print(json.dumps([names, missing]))
"""


def test_every_module_imports_first_of_all_and_without_a_warning() -> None:
    names, missing = json.loads(run_python(IMPORT_ALL).splitlines()[-1])
    assert {"segdata", *names} == set(MODULES)
    assert {name: module for name, module in missing.items() if module.split(".")[0] not in EXTRAS} == {}
