"""The demo runs the whole chain without a download, and goes on where it was interrupted."""

import os
import re
import signal
import sys

import pytest
from running import segdata, start, times, tree, wait_for

from segdata.cli.demo import demo as command
from segdata.dataset import Dataset
from segdata.demo.demo import demo
from segdata.errors import InputError
from segdata.quality.evaluate import evaluate


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "whole"
    return folder, demo(folder)


def test_it_leaves_photos_data_predictions_and_scores(whole):
    folder, steps = whole
    assert [step.command for step in steps] == ["merge-coco", "edges", "split", "annotate", "evaluate"]
    merged, edged, dealt, annotated, scores = (step.result for step in steps)
    assert (merged.done, merged.failed, edged.done, sum(dealt.counts.values())) == (7, 0, 7, 7)
    assert (annotated.done, annotated.failed, scores.count) == (7, 0, 7)
    names = {name.partition("/")[0] for name in tree(folder)}
    assert names == {"annotations.json", "data", "photos", "preds", "recipe.toml"}
    assert all((folder / "data" / sample.edge_file_name).is_file() for sample in Dataset(folder / "data"))


def test_the_help_of_the_command_names_what_is_left(whole):
    named = set(re.findall(r"[\w.]+/|\w+\.(?:json|toml)", command.__doc__))
    assert named == {path.name + "/" * path.is_dir() for path in whole[0].iterdir()}


def test_the_scores_are_those_of_the_predictions(whole):
    folder, steps = whole
    assert steps[-1].result.samples == evaluate(folder / "preds", folder / "data").samples
    scores = {sample.key: sample.iou for sample in steps[-1].result.samples}
    assert scores.pop("cat") < 1  # the one photo without a person shows what a model makes of a cat
    assert min(scores.values()) > 0.7
    assert steps[-1].result.splits.keys() <= {"train", "val", "test"}


def test_views_of_one_photo_share_a_split(whole):
    groups = {}
    for row in Dataset(whole[0] / "data").rows():
        groups.setdefault(row["source"], set()).add(row["split"])
    assert len(groups) == 3
    assert all(len(splits) == 1 for splits in groups.values())


def test_a_second_run_touches_nothing(whole):
    before = times(whole[0])
    demo(whole[0])
    assert times(whole[0]) == before


def test_another_folder_gets_the_same_bytes(whole, tmp_path):
    demo(tmp_path)
    assert tree(tmp_path) == tree(whole[0])


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_it_goes_on_where_it_was_killed(whole, tmp_path):
    out = tmp_path / "out"
    for moment in ("recipe.toml", "photos/cat.png", "data/metadata.jsonl", "preds/masks/astronaut.png"):
        with start("demo", out) as process:
            wait_for((out / moment).exists)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode in (-signal.SIGKILL, os.EX_OK)
    done = segdata("demo", out)
    assert done.returncode == 0, done.stderr
    assert tree(out) == tree(whole[0])


@pytest.mark.parametrize("name", ["holiday.jpg", "recipe.toml"])
def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("a person's")
    with pytest.raises(InputError, match=f"holds other files, such as {name}"):
        demo(tmp_path)
    assert list(tree(tmp_path)) == [name]
    with pytest.raises(InputError, match="is a file"):
        demo(tmp_path / name)


def test_hidden_files_do_not_matter(tmp_path):
    (tmp_path / ".DS_Store").touch()
    assert demo(tmp_path)[-1].result.count == 7
