"""`segdata doctor`: its table, its JSON and its status."""

import json
import sys

import pytest

import segdata
from segdata.cli import main as cli
from segdata.ops.doctor import Check, Diagnosis

CHECKS = (
    Check("core", "numpy", "works", "2.4.0", "every command"),
    Check("train", "torch", "missing", "", "train", "not installed", "pip install 'segdata[train]'"),
    Check("train", "onnx", "missing", "", "export-model", "not installed", "pip install 'segdata[train]'"),
)


def run(monkeypatch, capsys, *arguments, works=True):
    """Run the command with what the doctor finds given: its status, stdout and stderr, and what it was asked."""
    asked = []
    monkeypatch.setattr(
        "segdata.ops.doctor.doctor", lambda parts: asked.append(list(parts)) or Diagnosis(works, CHECKS)
    )
    monkeypatch.setattr(sys, "argv", ["segdata", "doctor", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, *capsys.readouterr(), asked


def test_it_shows_a_row_a_check_under_its_part(monkeypatch, capsys):
    status, out, error, _ = run(monkeypatch, capsys)
    assert (status, error) == (0, "")
    assert out.splitlines()[:5] == [
        "",
        "core",
        "  numpy  2.4.0  works    every command",
        "",
        "train",
    ]
    assert "  torch  -      missing  train\n" in out


def test_what_one_command_mends_is_told_once(monkeypatch, capsys):
    _, out, _, _ = run(monkeypatch, capsys)
    assert out.endswith("\n\ntorch, onnx: not installed; pip install 'segdata[train]'\n")


def test_the_status_is_1_where_the_core_does_not_work(monkeypatch, capsys):
    assert run(monkeypatch, capsys, works=False)[0] == 1


def test_extras_are_handed_on(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "train", "review")[3] == [["train", "review"]]


def test_json_is_one_object_with_every_check(monkeypatch, capsys):
    status, out, _, _ = run(monkeypatch, capsys, "--json", works=False)
    found = json.loads(out)
    assert (status, found["works"]) == (1, False)
    assert found["checks"][1] == {
        "part": "train",
        "name": "torch",
        "state": "missing",
        "found": "",
        "use": "train",
        "problem": "not installed",
        "remedy": "pip install 'segdata[train]'",
    }


def test_an_unknown_extra_is_wrong_use(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["segdata", "doctor", "detective"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("segdata: there is no extra 'detective': choose detect, ")


def test_the_command_needs_neither_rich_nor_msgspec(monkeypatch, capsys):
    for name in ("rich", "msgspec"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("segdata.ops.doctor", "segdata.ops.requirements", "segdata.ops.package_probe"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(vars(segdata), "doctor", raising=False)
    assert run(monkeypatch, capsys, "report")[0] == 0  # one extra, for all of them take twenty seconds
