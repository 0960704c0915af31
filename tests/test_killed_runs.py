"""A run that is killed at any moment and started again ends as one that never was: byte for byte, nothing left over."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import ENV, coco_subset, kill_after, segdata, tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL and forks")


def test_a_run_can_be_killed_at_every_operation_on_its_files(shared_data, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(
        shared_data / "coco" / "images",
        photos,
        ignore=lambda _, names: sorted(names)[8:],
    )
    whole = json.loads((shared_data / "coco" / "instances.json").read_bytes())
    names = sorted(path.name for path in photos.iterdir())
    whole["images"] = [image for image in whole["images"] if image["file_name"] in names[:4]]
    ids = [image["id"] for image in whole["images"]]
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    whole["images"].append({"id": 1, "file_name": "not-there.jpg", "width": 10, "height": 10})  # fails, each time
    (tmp_path / "first.json").write_text(json.dumps(whole))
    # Then one image is removed, one annotation goes, one photo gets another suffix.
    changed = json.loads((tmp_path / "first.json").read_bytes())
    del changed["images"][0]
    gone = next(each for each in changed["annotations"] if each["image_id"] == ids[1])
    changed["annotations"] = [
        each for each in changed["annotations"] if each["image_id"] != ids[0] and each["id"] != gone["id"]
    ]
    renamed = changed["images"][1]
    (photos / renamed["file_name"]).with_suffix(".jpeg").write_bytes((photos / renamed["file_name"]).read_bytes())
    renamed["file_name"] = str(Path(renamed["file_name"]).with_suffix(".jpeg"))
    (tmp_path / "second.json").write_text(json.dumps(changed))
    arguments = [tmp_path / "first.json", tmp_path / "second.json", photos, tmp_path]
    script = Path(__file__).with_name("kill_points.py")

    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, env=ENV, check=False
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert all(points >= 8 for points, _ in results.values()), results
    assert results["merge"][0] > 20
    assert not any(wrong for _, wrong in results.values()), results


@pytest.fixture(scope="module")
def merged(shared_data, tmp_path_factory):
    """A COCO file of 60 photos, and the data set that comes of it when nothing goes wrong, before and after edges."""
    folder = tmp_path_factory.mktemp("whole")
    annotations = coco_subset(shared_data, folder / "annotations.json", 60)
    arguments = ("merge-coco", annotations, "--images", shared_data / "coco" / "images")
    assert segdata(*arguments, "--out", folder / "merged", "--workers", 1).returncode == 0
    shutil.copytree(folder / "merged", folder / "edged")
    assert segdata("edges", folder / "edged", "--workers", 1).returncode == 0
    return arguments, folder


def check_merge(merged, out, workers, delays):
    arguments, folder = merged
    command = (*arguments, "--out", out, "--workers", workers)
    killed = [kill_after(delay, *command) for delay in delays]
    done = segdata(*command)
    assert done.returncode == 0, done.stderr
    assert tree(out) == tree(folder / "merged"), delays
    return sum(killed)


def check_edges(merged, out, workers, delays):
    _, folder = merged
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "merged", out)
    command = ("edges", out, "--workers", workers)
    killed = [kill_after(delay, *command) for delay in delays]
    done = segdata(*command)
    assert done.returncode == 0, done.stderr
    assert tree(out) == tree(folder / "edged"), delays
    return sum(killed)


def test_a_run_in_processes_can_be_killed_several_times_in_a_row(merged, tmp_path):
    assert check_merge(merged, tmp_path / "out", 2, [0.5, 0.9, 1.0, 1.1, 1.2])
    assert check_edges(merged, tmp_path / "out", 2, [0.8, 0.9, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("check", [check_merge, check_edges])
def test_a_run_can_be_killed_at_24_moments_spread_over_it(merged, tmp_path, check, workers):
    killed = sum(
        check(merged, tmp_path / str(step), workers, [0.2 + step * (0.04 + 0.02 * workers)]) for step in range(24)
    )
    assert killed >= 10


def killed_at_moments(moments, *commands):
    script = Path(__file__).with_name("kill_moments.py")
    arguments = [sys.executable, str(script), "--moments", str(moments), *commands]
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENV, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {found["command"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_commands_can_be_killed_at_random_moments():
    commands = ("merge-coco", "edges", "split", "filter", "rank-labels", "export coco", "import coco", "review --apply")
    found = killed_at_moments(3, *commands)
    assert [each["killed"] for each in found.values()] == [3] * len(commands)


@pytest.mark.slow
def test_every_command_that_writes_can_be_killed_at_100_random_moments():
    found = killed_at_moments(100)
    assert len(found) > 40
    assert {each["killed"] for each in found.values()} == {100}
