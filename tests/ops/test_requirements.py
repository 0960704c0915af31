"""What segdata asks for is read from its own metadata."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from segdata.errors import InputError
from segdata.ops.doctor import EXTRAS, USES
from segdata.ops.requirements import Requirement, fits, read_requirement, requirements

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRA_LINES = [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
LINES = [line for line in (*PROJECT["dependencies"], *EXTRA_LINES) if not line.startswith("segdata[")]


def test_it_is_known_how_each_package_is_imported_and_what_needs_it() -> None:
    assert {re.match(r"[\w-]+", line)[0] for line in LINES} == set(USES)


def test_every_extra_but_those_of_contributors_is_looked_at() -> None:
    assert {*EXTRAS, "test", "docs"} == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("line", LINES)
def test_bounds_are_of_the_kinds_that_are_understood(line: str) -> None:
    assert re.fullmatch(r"[\w-]+(>=[\d.]+)(,<[\d.]+)?( *;.*)?", line)


def test_a_line_is_read_with_its_extra_and_bounds() -> None:
    line = "mediapipe<0.10.22,>=0.10.14; (python_version < '9.9') and extra == 'detect'"
    assert read_requirement(line) == Requirement("mediapipe", "detect", "<0.10.22,>=0.10.14")
    assert read_requirement("numpy>=2.0") == Requirement("numpy", "core", ">=2.0")


def test_a_line_for_another_python_is_left_out() -> None:
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert read_requirement(f"a>=1; python_version < '{this}'") is None
    assert read_requirement(f"a>=1; python_version >= '{this}'") is not None
    assert read_requirement("a>=1; python_version >= '9.9'") is None


@pytest.mark.parametrize(
    ("version", "bounds", "will_do"),
    [
        ("2.0", ">=2.0", True),
        ("2.0.1", ">=2.0", True),
        ("1.26.4", ">=2.0", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("0.10.9", ">=0.10.14,<0.10.22", False),
        ("0.10.22", "<0.10.22,>=0.10.14", False),
        ("4.10.0.84", ">=4.10.0.84", True),
        ("3.0rc1", ">=3.0", True),
        ("1", "", True),
    ],
)
def test_a_version_is_compared_number_by_number(version: str, bounds: str, will_do: bool) -> None:
    assert fits(version, bounds) is will_do


def test_extras_within_extras_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["segdata[report]; extra == 'train'", "torch>=2; extra == 'train'"]
    )
    assert requirements() == [Requirement("torch", "train", ">=2")]


def test_a_folder_of_segdata_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", requires)
    with pytest.raises(InputError, match="pip install segdata"):
        requirements()
