"""The command line: help with examples, a light start, and every error one sentence on stderr with its status."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import numpy as np
import pytest
from running import ENV, SEGDATA, segdata

from segdata.cli import main as cli
from segdata.pixels import encode_png
from segdata.recipe import STEPS

NAMES = [command.__name__.rstrip("_").replace("_", "-") for command in cli.COMMANDS]


def run_main(monkeypatch, capsys, *arguments):
    """Run the command line in this process: its status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["segdata", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, *capsys.readouterr()


# Help


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_every_command_has_an_example(monkeypatch, capsys, name):
    status, out, error = run_main(monkeypatch, capsys, name, "--help")
    assert (status, error) == (0, "")
    assert re.search(rf"Examples?:\n(.*\n)*\s+segdata {name} ", out)
    assert "--json" in out


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_name_options_that_exist(monkeypatch, capsys, name):
    _, out, _ = run_main(monkeypatch, capsys, name, "--help")
    examples, options = "\n".join(re.findall(rf"  segdata {name} .*", out)), out.split("Options:")[1]
    for option in re.findall(r"(?<= )--?[a-z][a-z-]*", examples):
        assert f"{option} " in options or f"{option}," in options or f"{option}\n" in options, option


def test_help_lists_every_command_and_shell_completion(monkeypatch, capsys):
    status, out, _ = run_main(monkeypatch, capsys, "--help")
    assert status == 0
    assert all(f"\n  {name} " in out for name in NAMES)
    assert "--install-completion" in out
    assert "--show-completion" in out


def test_without_arguments_it_shows_the_help(monkeypatch, capsys):
    status, out, error = run_main(monkeypatch, capsys)
    assert status == 2
    assert "Usage:" in out + error


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    assert run_main(monkeypatch, capsys, "--version") == (0, f"segdata {version('segdata')}\n", "")


STARTED = """
import sys
sys.argv = ["segdata", *{arguments!r}]
from segdata.cli.main import main
try:
    main()
except SystemExit:
    pass
print([name for name in {heavy!r} if name in sys.modules])
"""
HEAVY = (
    "numpy",
    "cv2",
    "rich",
    "PIL",
    "skimage",
    "scipy",
    "pycocotools",
    "onnxruntime",
    "torch",
    "mediapipe",
    "matplotlib",
)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in ("evaluate", "merge-coco", "train", "annotate")), ["--version"]],
)
def test_help_comes_up_without_the_heavy_libraries(arguments):
    script = STARTED.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENV, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_in_any_script_are_written_where_the_system_has_an_older_code_page(tmp_path, options):
    folder = tmp_path / "日本🙂"
    folder.mkdir()
    (folder / "絵.png").write_bytes(encode_png(np.ones((4, 4), bool)))
    environment = {**ENV, "PYTHONIOENCODING": "cp1252:strict"}
    command = [SEGDATA, "stats", str(folder), "--quick", *options]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "日本🙂" in done.stdout.decode("utf-8")


# Commands and their library twins

FOR_THE_LIBRARY = {"train": {"average", "backbone_rate", "decay", "edge_weight", "overlap_weight", "pasted"}}


@pytest.mark.parametrize("command", [each for each in cli.COMMANDS if each.__name__.replace("_", "-") in STEPS])
def test_options_have_the_defaults_of_the_library_twin(command):
    module, name = STEPS[command.__name__.replace("_", "-")]
    twin = inspect.signature(getattr(import_module(module), name)).parameters
    options = inspect.signature(command).parameters.values()
    shared = [each for each in options if each.name in twin and each.name != "engine"]  # which is named, not given
    assert shared
    for option in shared:
        default = twin[option.name].default
        if option.default is None and default is inspect.Parameter.empty:
            continue  # the command itself asks for it where nothing else stands in for it
        shown = "/".join(map(str, default)) if isinstance(default, tuple) else str(default)
        if option.default is None and default is not None:  # a list, whose default typer would add to
            assert f"show_default={shown!r}" in option.annotation, option.name
        else:
            assert str(option.default) == (str(default) if option.default == default else shown), option.name


@pytest.mark.parametrize("command", [each for each in cli.COMMANDS if each.__name__.replace("_", "-") in STEPS])
def test_every_setting_of_the_library_twin_is_an_option(command):
    module, name = STEPS[command.__name__.replace("_", "-")]
    twin = set(inspect.signature(getattr(import_module(module), name)).parameters) - FOR_THE_LIBRARY.get(name, set())
    options = set(inspect.signature(command).parameters)
    options |= {"preds", "gt"} if "folders" in options else set()
    renamed = {"categories": "category", "columns": "column"}
    missing = {each for each in twin - {"progress"} if renamed.get(each, each) not in options}
    assert not missing


# Errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["sort"],
        ["merge-coco"],
        ["merge-coco", "a.json"],
        ["merge-coco", "a.json", "--out", "out", "--crowd", "maybe"],
        ["merge-coco", "a.json", "--out", "out", "--colour", "red"],
        ["edges", "data", "--width", "0"],
        ["edges", "data", "--width", "wide"],
        ["edges", "data", "--workers", "0"],
        ["split", "nothing"],
        ["split", "nothing", "--ratios", "a/b"],
        ["edges", "nothing"],
        ["edges", "nothing", "--kind", "sobel", "--width", "2"],
        ["merge-coco", "nothing.json", "--out", "out"],
        ["merge-parts", "nothing", "--out", "out"],
        ["evaluate", "preds"],
        ["evaluate", "preds", "gt", "--threshold", "half"],
        ["evaluate", "preds", "gt", "--threshold", "nan"],
        ["evaluate", "preds", "gt", "--tolerance", "nan"],
        ["evaluate", "nothing", "nothing"],
        ["build", "nothing.toml"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("debug", [False, True])
def test_wrong_use_is_status_2_and_a_sentence(monkeypatch, capsys, tmp_path, arguments, debug):
    monkeypatch.chdir(tmp_path)
    if debug:
        monkeypatch.setattr(sys, "argv", ["segdata", *arguments, "--debug"])
        with pytest.raises((SystemExit, cli.SegdataError)):
            cli.main()
        return
    status, out, error = run_main(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in error
    assert error.startswith(("segdata: ", "Usage: "))
    if error.startswith("segdata: "):
        assert error.count("\n") == 1
        assert len(arguments) > 2 or arguments[1] in error
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_is_shown_with_debug_alone(tmp_path):
    for arguments in (["split", "nothing"], ["--debug", "split", "nothing"], ["split", "nothing", "--debug"]):
        done = segdata(*arguments, cwd=tmp_path)
        assert ("Traceback" in done.stderr) == ("--debug" in arguments)
        assert "nothing does not exist: check the path" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero: this is a mistake in segdata"),
        (PermissionError(13, "Permission denied", "secret.json"), "secret.json cannot be used (Permission denied)"),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_sentence_too(monkeypatch, capsys, error, sentence):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("segdata.ops.split.split", broken)
    status, out, told = run_main(monkeypatch, capsys, "split", "data")
    assert (status, out) == (1, "")
    assert told.startswith(f"segdata: {sentence}")
    assert told.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["segdata", "--debug", "split", "data"])
    with pytest.raises(type(error)):
        cli.main()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("a person's")
    (tmp_path / "coco.json").write_text(
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}'
    )
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        done = segdata("merge-coco", tmp_path / "coco.json", "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"segdata: {out} cannot be made, for a file has that name: choose another folder\n"
