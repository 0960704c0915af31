"""What strangers wrote stays text on the terminal."""

import json
from pathlib import Path

import numpy as np
import pytest
from running import segdata

from segdata.cli import main, terminal
from segdata.cli.output import show_table
from segdata.pixels import encode_png

# Sets the title; sets the clipboard; hides a line; the same introducer in one character; turns a name round.
ATTACKS = [
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "gone\x1b[2K\rdone",
    "\x9b31mred",
    "gpj.\u202eexe",
    "\x00",
    "\x7f",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_that_a_terminal_obeys_is_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo(text)
    terminal.echo(text, err=True)
    show_table((text, "b"), [(text, text)])
    for shown in capsys.readouterr():
        assert all(line.isprintable() for line in shown.splitlines())
        assert text.strip("\x1b\x07\x9b\x00\x7f\u202e")[:4] in shown


@pytest.mark.parametrize("text", ["日本 é 🙂", "a\tb\nc", "نام\u200cها", "👩\u200d👧", "\\x1b"])
def test_what_is_text_stays_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_findings_and_errors_show_names_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(np.ones((4, 4), bool)))
    name = "\x1b]0;title\x07\x1b[2K"
    (tmp_path / "metadata.jsonl").write_text(
        json.dumps({"key": name, "file_name": f"{name}.png", "width": 1, "height": 1})
    )
    for arguments in (["validate", tmp_path], ["stats", tmp_path / name]):
        done = segdata(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert r"\x1b]0;title\x07" in done.stdout + done.stderr


def test_every_command_prints_through_it() -> None:
    for file in Path(main.__file__).parent.glob("*.py"):
        calls = [
            line.strip() for line in file.read_text().splitlines() if "typer.echo(" in line or "click.echo(" in line
        ]
        assert all("json" in line or file.name == "terminal.py" for line in calls), file.name
