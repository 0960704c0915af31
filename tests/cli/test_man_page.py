"""The manual page says what `--help` says, and is where `man` looks."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from segdata.cli.main import COMMANDS, app
from segdata.cli.man_page import man_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "segdata.1"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == man_page(app), "python -m segdata.cli.man_page > docs/segdata.1"


def test_it_has_the_sections_of_a_manual_page_and_every_command() -> None:
    lines = man_page(app).splitlines()
    names = [command.__name__.rstrip("_").replace("_", "-") for command in COMMANDS]
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "SEE ALSO"]
    commands = [line.removeprefix(".SS ").replace("\\-", "-") for line in lines if line.startswith(".SS ")]
    assert commands == [f"segdata {name}" for name in names] + ["segdata engine check"]


def test_the_wheel_puts_it_where_man_looks() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["shared-data"] == {"docs/segdata.1": "share/man/man1/segdata.1"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_troff_has_nothing_to_say_against_it() -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", PAGE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--tolerance" in done.stdout
