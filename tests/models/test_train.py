"""A training run leaves what it says, goes on where it was, and refuses what it cannot do."""

import csv
import math
import pickle
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("lightning")

from safetensors.numpy import load_file

from segdata.dataset import Dataset
from segdata.errors import InputError, SegdataError, StorageError
from segdata.models.networks import build_network
from segdata.models.registry import open_model
from segdata.models.runs import BEST, LAST, TorchSegmenter, load_run, save_weights
from segdata.models.settings import Source, TrainSettings
from segdata.models.train import CHECKPOINT, initial_network, train
from segdata.ops.merge_coco import merge_coco
from segdata.ops.split import split
from segdata.pixels import decode_image, encode_png

SMALL = {"views": 16, "epoch_views": 8, "batch": 4, "side": 64, "pixels": 96 * 96, "init": "none", "workers": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Real photos of COCO, a fifth of them to validate on."""
    folder = tmp_path_factory.mktemp("data") / "coco"
    merge_coco(shared_data / "coco_train/instances.json", images=shared_data / "coco_train/images", out=folder)
    split(folder, ratios=(70, 10, 20))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    epochs: list[dict[str, float]] = []
    report = train([data], out, **SMALL, progress=epochs.append)
    assert report.epochs == len(epochs) == 2
    assert report.manifest.trained == {str(data): 27}
    assert report.manifest.validated == {"coco": 4}
    assert set(report.scores) == {"coco", "mean"}
    assert 0 <= report.scores["coco"] <= 1
    return out


def _table(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_curves_as_a_table_and_a_picture(run: Path) -> None:
    rows = _table(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == ["epoch", "loss", "val/coco", "val/mean"]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert decode_image((run / "curves.png").read_bytes()).shape[1] > 600


def test_a_run_leaves_a_network_that_segments_photos(run: Path, data: Path) -> None:
    network, settings = load_run(run)
    assert not network.training
    assert settings.side == 64
    photo = decode_image((data / next(iter(Dataset(data))).file_name).read_bytes())
    (probabilities,) = TorchSegmenter(run).probabilities([photo])
    assert probabilities.shape == (2, *photo.shape[:2])
    assert 0 <= probabilities.min() < probabilities.max() <= 1


class _Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


def test_an_interrupted_run_goes_on_where_it_was_and_runs_nothing_out_of_its_checkpoint(
    run: Path, data: Path, tmp_path: Path
) -> None:
    def fail(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise OSError("the power went")

    out = tmp_path / "broken"
    with pytest.raises(OSError, match="power"):
        train([data], out, **SMALL, progress=fail)
    checkpoint = (out / CHECKPOINT).read_bytes()
    for damaged in (pickle.dumps(_Evil(tmp_path / "ran")), checkpoint[: len(checkpoint) // 2], b""):
        (out / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(InputError, match=r"last\.ckpt cannot be read \(.*\): remove it, and the run begins anew"):
            train([data], out, **SMALL)
    assert not (tmp_path / "ran").exists()
    (out / CHECKPOINT).write_bytes(checkpoint)
    train([data], out, **SMALL)
    assert len(_table(out)) == 2
    for name in (LAST, BEST):
        resumed, whole = (load_file(each / name) for each in (out, run))
        for tensor in whole:  # what is read back lies otherwise in memory, and sums are rounded otherwise
            np.testing.assert_allclose(resumed[tensor], whole[tensor], atol=1e-5, err_msg=tensor)


def test_a_later_stage_starts_from_an_earlier_run(run: Path, data: Path, tmp_path: Path) -> None:
    still = {**SMALL, "init": str(run), "rate": 1e-12, "views": 8}
    train([data], tmp_path / "second", **still)
    before, after = (dict(load_run(each)[0].named_parameters()) for each in (run, tmp_path / "second"))
    assert all(before[name].allclose(after[name], atol=1e-5) for name in before)


def test_a_network_with_a_fourth_channel_starts_as_the_one_without_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    photo, prior = torch.full((1, 3, 64, 64), 90.0), torch.full((1, 1, 64, 64), 255.0)
    plain = build_network("rcrnet", {}).eval()
    save_weights(plain, tmp_path / "plain.safetensors", {})
    start = TrainSettings("rcrnet", (), {"prior": True}, init=str(tmp_path / "plain.safetensors"))
    wider = initial_network(start).eval()
    with torch.no_grad():
        assert torch.equal(wider(torch.cat([photo, prior], 1)), plain(photo))
    with pytest.raises(InputError, match="do not fit"):
        initial_network(msgspec.structs.replace(start, model="rcrnet-encoder"))


def test_the_bundled_model_is_tuned_without_saying_how_its_network_is_built(data: Path, tmp_path: Path) -> None:
    train([data], tmp_path / "tuned", **{**SMALL, "init": "bundled", "views": 8, "rate": 1e-12})
    settings = TorchSegmenter(tmp_path / "tuned").settings
    assert settings.freeze_norms
    photo = decode_image((data / str(next(iter(Dataset(data))).file_name)).read_bytes())
    bundled, tuned = (
        predict_masks(photo) >= 0.5
        for predict_masks in (
            lambda image: open_model("bundled").probabilities([image])[0],
            lambda image: _at_bundled_size(tmp_path / "tuned").probabilities([image])[0],
        )
    )
    assert (bundled & tuned).sum() > 0.9 * (bundled | tuned).sum()


def _at_bundled_size(run: Path) -> TorchSegmenter:
    model = TorchSegmenter(run)
    model.settings = msgspec.structs.replace(model.settings, pixels=576 * 384)
    return model


def test_a_run_goes_on_after_its_data_have_moved_but_not_with_others(run: Path, data: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(data, tmp_path / "elsewhere"))
    kept = shutil.copytree(run, tmp_path / "run")
    assert train([moved], kept, **SMALL).epochs == 2
    trained_on = next(sample for sample in Dataset(moved) if sample.split == "train")
    mask = np.zeros((trained_on.height, trained_on.width), np.uint8)
    (moved / str(trained_on.mask_file_name)).write_bytes(encode_png(mask))
    with pytest.raises(InputError, match="other settings or data"):
        train([moved], kept, **SMALL)


def test_a_run_that_is_refused_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        train([data], tmp_path / "run", **{**SMALL, "init": "nowhere"})
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegdataError, match=r"file.run cannot be"):
        train([data], tmp_path / "file" / "run", **SMALL)


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = pytest.importorskip("segdata.models.keeping")
    path = tmp_path / CHECKPOINT
    keeping.WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match=r"last\.ckpt cannot be written"):
        keeping.WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_folder_with_another_run_is_refused(run: Path, data: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        train([data], run, **{**SMALL, "side": 96})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"side": 100}, "100"),
        ({"views": 0}, "views"),
        ({"batch": 64}, "batch"),
        ({"model": "unheard-of"}, "unheard-of"),
        ({"init": "nowhere"}, "nowhere"),
        ({"data": [Source("photos", weight=math.nan)]}, "the weight of photos is nan: give a number above 0"),
        ({"data": [Source("photos", weight=-5)]}, "the weight of photos is -5"),
    ],
)
def test_settings_that_cannot_work_are_named(wrong: dict[str, object], said: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        train(**{"data": [data], "out": tmp_path / "run", **SMALL, **wrong})


def test_weights_that_are_cut_off_are_told_in_a_sentence(run: Path, tmp_path: Path) -> None:
    cut = Path(shutil.copytree(run, tmp_path / "run"))
    (cut / BEST).write_bytes((cut / BEST).read_bytes()[:1000])
    with pytest.raises(InputError, match=r"best\.safetensors is no whole safetensors file \(.*\): copy it again"):
        load_run(cut)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_run(tmp_path)
