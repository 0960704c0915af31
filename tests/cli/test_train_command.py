"""`segdata train` does what its library twin does, and says so."""

import json
import os
import signal
from pathlib import Path

import pytest
from running import coco_subset, segdata, start

pytest.importorskip("lightning")

SMALL = ("--views", 8, "--epoch-views", 4, "--batch", 4, "--side", 64, "--pixels", 4096, "--init", "none", "-w", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("data")
    annotations = coco_subset(shared_data, folder / "some.json", 6)
    done = segdata("merge-coco", annotations, "--images", shared_data / "coco/images", "--out", folder / "coco")
    assert done.returncode == 0
    return folder / "coco"


def test_a_run_says_how_each_epoch_went_and_what_came_of_it(data: Path, tmp_path: Path) -> None:
    command = ("train", "--data", f"{data},weight=2", "--out", tmp_path / "run", *SMALL, "--network", "width=16")
    done = segdata(*command)
    assert done.returncode == 0
    assert done.stdout == f"train: 2 epochs, best 2 -> {tmp_path / 'run'}\n"
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["epoch 1", "epoch 2"]
    settings = json.loads((tmp_path / "run/settings.json").read_bytes())
    assert settings["network"] == {"width": 16}
    assert settings["data"][0]["weight"] == 2
    done = segdata(*command, "--json")  # finished already
    assert json.loads(done.stdout)["epochs"] == 2
    assert done.stderr == ""


def test_an_interrupted_run_ends_in_one_sentence_and_goes_on(data: Path, tmp_path: Path) -> None:
    command = ("train", "--data", data, "--out", tmp_path / "run", *SMALL, "--network", "width=16", "-w", 1)
    process = start(*command, "--views", 4000)
    line = ""
    while not line.startswith("epoch 2"):
        line = process.stderr.readline()
        assert line, "it ended by itself"
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "segdata: interrupted; run the same command again to go on"
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--data", "nowhere,whose=all"), "whose"),
        (("--data", "nowhere", "--network", "width"), "OPTION=VALUE"),
    ],
)
def test_wrong_use_is_one_sentence(wrong: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = segdata("train", *wrong, "--out", tmp_path / "run", *SMALL)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
