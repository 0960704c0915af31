"""Training on data, settings and folders at fault ends in one sentence, and never in a run that only looks whole."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from people import change_rows, merged_people

pytest.importorskip("lightning")

from segdata.dataset import Dataset
from segdata.errors import InputError, SampleError
from segdata.models.runs import BEST, LAST
from segdata.models.settings import MANIFEST, SETTINGS
from segdata.models.train import CHECKPOINT, train
from segdata.pixels import encode_png

SMALL: dict[str, Any] = {"views": 8, "epoch_views": 8, "batch": 4, "side": 64, "pixels": 64 * 64, "init": "none"}
SMALL |= {"model": "rcrnet", "workers": 0}


@pytest.fixture(scope="module")
def whole(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real photos, the last to validate on."""
    data = merged_people(shared_data, tmp_path_factory.mktemp("faults"), 4)
    dataset = Dataset(data)
    rows = list(dataset.rows())
    dataset.rewrite({**row, "split": "val" if row is rows[-1] else "train"} for row in rows)
    return data


@pytest.fixture(scope="module")
def run(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train([whole], out, **SMALL)
    return out


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "data"))


@pytest.fixture
def kept(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_read_is_named_by_whatever_process_reads_it(
    data: Path, tmp_path: Path, workers: int
) -> None:
    for photo in (data / "images").iterdir():
        photo.write_bytes(photo.read_bytes()[:5000])
    with pytest.raises(SampleError, match=r"^\S+\.jpg cannot be decoded"):
        train([data], tmp_path / "run", **{**SMALL, "workers": workers})


def test_a_mask_of_another_size_than_its_photo_is_named(data: Path, tmp_path: Path) -> None:
    for mask in (data / "masks").iterdir():
        mask.write_bytes(encode_png(np.ones((7, 9), np.bool_)))
    with pytest.raises(SampleError, match=r"\.png has 9 x 7 pixels, its photo \d+ x \d+: segdata validate finds"):
        train([data], tmp_path / "run", **SMALL)


@pytest.mark.parametrize(
    ("persons", "said"),
    [
        ([1, 2], r"the persons of \d+ cannot be read"),
        ([{"rle": {"size": [10**9, 10**9], "counts": "1"}}], r"a person of \d+ has 1000000000 x 1000000000 pixels"),
    ],
)
def test_persons_that_are_none_are_named(data: Path, tmp_path: Path, persons: list[Any], said: str) -> None:
    change_rows(data, persons=persons)
    with pytest.raises(SampleError, match=said):
        train([data], tmp_path / "run", **SMALL)


@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_finished_run_whose_weights_are_gone_or_cut_off_is_not_called_done(
    whole: Path, kept: Path, name: str
) -> None:
    (kept / name).write_bytes((kept / name).read_bytes()[:1000])
    with pytest.raises(InputError, match=rf"{name} is no whole safetensors file .*: remove \S+last\.ckpt, and"):
        train([whole], kept, **SMALL)
    (kept / name).unlink()
    with pytest.raises(InputError, match=rf"{name} is gone: remove \S+last\.ckpt, and the run begins anew"):
        train([whole], kept, **SMALL)
    (kept / CHECKPOINT).unlink()
    train([whole], kept, **SMALL)
    assert (kept / name).stat().st_size > 1000


def test_a_run_does_not_go_on_with_other_photos_to_validate_on(data: Path, kept: Path) -> None:
    train([data], kept, **SMALL)
    last = list(Dataset(data))[-1]
    (data / str(last.mask_file_name)).write_bytes(encode_png(np.ones((last.height, last.width), np.bool_)))
    with pytest.raises(InputError, match="holds a run with other settings or data"):
        train([data], kept, **SMALL)


@pytest.mark.parametrize("name", [SETTINGS, MANIFEST])
def test_a_run_does_not_go_on_without_what_says_which_it_is(whole: Path, kept: Path, name: str) -> None:
    (kept / name).write_bytes((kept / name).read_bytes()[:20])
    with pytest.raises(InputError, match=rf"{name} cannot be read \(.*\): train anew"):
        train([whole], kept, **SMALL)
    (kept / name).unlink()
    with pytest.raises(InputError, match=r"run holds last\.ckpt without the settings of its run"):
        train([whole], kept, **SMALL)


def test_settings_of_a_run_that_never_began_may_be_corrected(whole: Path, kept: Path) -> None:
    for name in (CHECKPOINT, BEST, LAST):
        (kept / name).unlink()
    assert train([whole], kept, **{**SMALL, "seed": 5}).epochs == 1


def test_a_data_set_is_no_folder_for_a_run(whole: Path, data: Path) -> None:
    before = sorted(path.name for path in data.iterdir())
    with pytest.raises(InputError, match="data is a data set: choose another --out"):
        train([whole], data, **SMALL)
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_run_that_diverges_keeps_nothing_and_says_so(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the loss is no number any more in epoch 1: give a lower --rate"):
        train([whole], tmp_path / "run", **{**SMALL, "views": 32, "epoch_views": 32, "rate": 1e30})
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [MANIFEST, SETTINGS]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rate": float("nan")}, "rate is nan: give a number above 0"),
        ({"rate": float("inf")}, "rate is inf"),
        ({"decay": -1.0}, "decay is -1.0: give a number, 0 or above"),
        ({"device": "abc"}, "device cannot be abc: give auto, cpu, gpu, or how many GPUs"),
        ({"device": "0"}, "device cannot be 0"),
        ({"device": "999"}, r"device is 999, and there are \d+ GPUs here: give auto or cpu"),
        ({"model": "alisnet", "network": {"width": 0}}, "width of alisnet cannot be 0: give 1 or more"),
        ({"model": "trisenet", "network": {"edge_share": -5}}, "edge_share of trisenet cannot be -5: give 0 or more"),
        ({"model": "bisenet", "network": {"outputs": 1}}, "training has two outputs"),
    ],
)
def test_numbers_that_cannot_be_are_refused(whole: Path, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        train([whole], tmp_path / "run", **{**SMALL, **wrong})
    assert not (tmp_path / "run").exists()
