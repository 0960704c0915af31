"""A recipe runs a chain of steps, is checked before the first one, and goes on where it was."""

import os
from pathlib import Path

import numpy as np
import pytest
from running import times, tree
from tiny_models import colour_data, colour_model

from segdata.errors import InputError
from segdata.files import write_file
from segdata.pixels import encode_png
from segdata.recipe import STEPS, build

RECIPE = """
[[step]]
command = "merge-parts"
labels = "parts"
background = [0, 2]
out = "data"

[[step]]
command = "edges"
data = "data"
kind = "thick"
width = 2

[[step]]
command = "split"
data = "data"
ratios = [50, 50]
lists = true

[[step]]
command = "evaluate"
preds = "data"
gt = "data"
tolerance = 2
"""


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[4:12, 5 : 9 + number] = 3
        write_file(tmp_path / "recipe" / "parts" / f"{number}.png", encode_png(labels))
    (tmp_path / "recipe" / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe"


def test_the_steps_run_in_their_order(folder):
    steps = build(folder / "recipe.toml")
    assert [command for command, _ in steps] == ["merge-parts", "edges", "split", "evaluate"]
    merged, edged, dealt, scores = (result for _, result in steps)
    assert (merged.done, edged.done, dealt.counts) == (4, 4, {"train": 2, "val": 2})
    assert (scores.count, scores.mean["iou"], scores.settings.tolerance) == (4, 1.0, 2)


def test_paths_are_relative_to_the_recipe_wherever_it_is_run_from(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    build(Path(os.pardir, "recipe", "recipe.toml"))
    assert (folder / "data" / "metadata.jsonl").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_absolute_paths_are_taken_as_they_are(folder, tmp_path):
    recipe = tmp_path / "other.toml"
    recipe.write_text(RECIPE.replace('"parts"', f'"{folder / "parts"}"').replace('"data"', f'"{tmp_path / "made"}"'))
    build(recipe)
    assert (tmp_path / "made" / "metadata.jsonl").is_file()


def test_a_second_run_changes_nothing(folder):
    build(folder / "recipe.toml")
    before = times(folder)
    steps = build(folder / "recipe.toml")
    assert (steps[0].result.reused, steps[1].result.reused) == (4, 4)
    assert times(folder) == before


def test_a_step_that_failed_is_gone_on_from(folder, tmp_path):
    build(folder / "recipe.toml")
    whole = tree(folder / "data")
    (folder / "data").rename(tmp_path / "whole")
    broken = folder / "recipe.toml"
    broken.write_text(RECIPE.replace('preds = "data"', 'preds = "nothing"'))
    with pytest.raises(InputError, match="nothing does not exist: check the path"):
        build(broken)
    broken.write_text(RECIPE)
    assert build(broken)[0].result.reused == 4
    assert tree(folder / "data") == whole


TRAIN = """
[[step]]
command = "train"
data = "photos"
out = "run1"
init = "none"
network = {width = 16}
views = 4
epoch_views = 4
batch = 4
side = 64
pixels = 4096
workers = 0

[[step]]
command = "train"
data = ["photos,who=dominant,others=lists/others.txt", "photos,who=everyone,weight=2,leave_out=lists/wrong.txt"]
out = "run2"
init = "run1"
network = {width = 16}
views = 8
epoch_views = 4
batch = 4
side = 64
pixels = 4096
workers = 0
"""


@pytest.fixture
def training(tmp_path):
    """A recipe that trains in two stages, and the files that it names."""
    data = colour_data(tmp_path / "recipe" / "photos")
    metadata = (data / "metadata.jsonl").read_text()
    (data / "metadata.jsonl").write_text(metadata.replace('"split": "test"', '"split": "train"'))
    write_file(tmp_path / "recipe" / "lists" / "others.txt", b"0000\n0001\n")
    write_file(tmp_path / "recipe" / "lists" / "wrong.txt", b"0003\n")
    write_file(tmp_path / "recipe" / "recipe.toml", TRAIN.encode())
    return tmp_path / "recipe"


def test_a_recipe_trains_in_stages_once_wherever_it_is_run_from(training, tmp_path, monkeypatch):
    pytest.importorskip("lightning")
    heard = []
    monkeypatch.chdir(training)
    first, second = (step.result for step in build("recipe.toml", epochs=heard.append))
    assert [row["epoch"] for row in heard] == [1, 1, 2]
    assert [(Path(result.out).name, result.epochs) for result in (first, second)] == [("run1", 1), ("run2", 2)]
    assert second.manifest.trained == {str(training / "photos"): 4 + 3}
    before = times(training)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [step.result.epochs for step in build(training / "recipe.toml", epochs=heard.append)] == [1, 2]
    assert len(heard) == 3
    assert times(training) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"photos"', "7", r"step 1, train: data = 7 .*Expected `array`"),
        ('"photos"', "[7]", r"step 1, train: data = \[7\] .*Expected `str`"),
        ('"photos"', '"photos,whose=all"', r"step 1, train: .*photos,whose=all .*`whose`.*: write PATH,who="),
        ("{width = 16}", '["width=16"]', r"step 1, train: network = \['width=16'\] .*Expected `object"),
        ('"none"', "1", r"step 1, train: init = 1 .*Expected `str`"),
    ],
)
def test_a_mistake_in_what_is_trained_on_is_named_before_anything_runs(training, before, after, message):
    recipe = training / "recipe.toml"
    recipe.write_text(TRAIN.replace(before, after, 1))
    with pytest.raises(InputError, match=message):
        build(recipe)
    assert not (training / "run1").exists()


def test_a_model_to_annotate_with_is_a_name_or_a_path_beside_the_recipe(folder, tmp_path):
    recipe = folder / "recipe.toml"
    step = '[[step]]\ncommand = "annotate"\ndata = "parts"\nout = "preds"\nmodel = '
    model = colour_model(folder / "colours.onnx")
    recipe.write_text(f'{step}"colours.onnx"')
    assert build(recipe)[0].result.done == 4
    recipe.write_text(f'{step}"{model}"')
    assert build(recipe)[0].result.reused == 4
    recipe.write_text(f'{step}"nowhere.onnx"')
    with pytest.raises(InputError, match=f"{folder}/nowhere.onnx does not exist"):
        build(recipe)


STEP = '[[step]]\ncommand = "merge-parts"\nlabels = "parts"\nout = "data"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[step]", r"recipe\.toml is not valid TOML"),
        ("\udcff", r"recipe\.toml is not valid TOML"),
        ("\r" + STEP, r"recipe\.toml is not valid TOML"),
        ("step = " + 5_000 * "[" + 5_000 * "]", r"recipe\.toml is nested too deeply"),
        (40_000 * "a." + "b = 1", r"recipe\.toml has a line with more than 500 dots"),
        ("", r"recipe\.toml is not a recipe: a recipe is a list of \[\[step\]\] tables$"),
        ("step = []", r"recipe\.toml is not a recipe"),
        ("[step]\ncommand = 'split'", r"recipe\.toml is not a recipe"),
        ("step = [1]", r"recipe\.toml is not a recipe"),
        ("workers = 2\n" + STEP, r"recipe\.toml is not a recipe: .*knows no 'workers'"),
        ("[[step]]\ndata = 'data'", r"recipe\.toml, step 2: there is no command None .*: use one of merge-coco, "),
        ("[[step]]\ncommand = 'sort'", r"recipe\.toml, step 2: there is no command 'sort'"),
        ("[[step]]\ncommand = ['split']", r"recipe\.toml, step 2: there is no command \['split'\]"),
        (
            "[[step]]\ncommand = 'split'",
            r"step 2, split: missing a required argument: 'data': see segdata split --help",
        ),
        ("[[step]]\ncommand = 'split'\ndata = 'data'\ncolour = 1", r"step 2, split: .*'colour'"),
        ("[[step]]\ncommand = 'edges'\ndata = 'data'\nengine = 1", r"step 2, edges: .*'engine'"),
        ("[[step]]\ncommand = 'edges'\ndata = 'data'\nprogress = 1", r"step 2, edges: .*'progress'"),
        ("[[step]]\ncommand = 'edges'\ndata = 'data'\nwidth = '4'", r"step 2, edges: width = '4' .*Expected `int`"),
        ("[[step]]\ncommand = 'edges'\ndata = 'data'\nkind = 'round'", r"step 2, edges: kind = 'round' .*'round'"),
        ("[[step]]\ncommand = 'edges'\ndata = 7", r"step 2, edges: data = 7 .*Expected `str`"),
        ("[[step]]\ncommand = 'split'\ndata = 'data'\nratios = '60/20/20'", r"step 2, split: ratios = '60/20/20' "),
        ("[[step]]\ncommand = 'split'\ndata = 'data'\nkeep = 1", r"step 2, split: keep = 1 .*Expected `bool`"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_step_before_anything_runs(folder, text, message):
    recipe = folder / "recipe.toml"
    first = STEP if text.startswith("[[step]]\n") else ""
    recipe.write_text(first + text, errors="surrogateescape")
    with pytest.raises(InputError, match=message):
        build(recipe)
    assert not (folder / "data").exists()


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(InputError, match=f"{path} cannot be read"):
            build(path)


def test_every_step_says_of_every_argument_what_it_takes():
    import inspect
    import typing
    from importlib import import_module

    import msgspec

    from segdata.recipe import _NOT_FROM_FILE, _PATHS

    for module, name in STEPS.values():
        twin = getattr(import_module(module), name)
        types = typing.get_type_hints(twin)
        for parameter in inspect.signature(twin).parameters.values():
            if parameter.name in _PATHS | _NOT_FROM_FILE:
                continue
            if parameter.default is not inspect.Parameter.empty and parameter.default is not None:
                default = parameter.default
                given = list(default) if isinstance(default, tuple) else default
                assert msgspec.convert(given, types[parameter.name]) == given, (name, parameter.name)
            assert "Path" not in str(types[parameter.name]), (name, parameter.name, "is a path, and not listed as one")
