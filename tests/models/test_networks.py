"""Every network trains, is kept, segments photos and goes into files by the same commands."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from people import merged_people

pytest.importorskip("lightning")

from segdata.dataset import Dataset
from segdata.domains import DOMAINS
from segdata.errors import InputError
from segdata.models.export import export_model
from segdata.models.networks import NETWORKS, build_network
from segdata.models.registry import open_model
from segdata.models.runs import TorchSegmenter, predict_logits
from segdata.models.settings import Source
from segdata.models.train import train
from segdata.ops.annotate import annotate
from segdata.ops.benchmark_model import benchmark_model
from segdata.ops.grade_domains import grade_domains
from segdata.ops.saliency import saliency
from segdata.ops.split import split
from segdata.pixels import decode_image, decode_mask

SMALL: dict[str, Any] = {
    "views": 8,
    "epoch_views": 8,
    "batch": 4,
    "side": 64,
    "pixels": 96 * 96,
    "init": "none",
    "workers": 0,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "rcrnet": {"prior": True},
    "bisenet": {"backbone": "xception39"},
    "trisenet": {"backbone": "xception39"},
    "mc-trisenet": {"backbone": "xception39"},
    "md-trisenet": {"backbone": "xception39"},
    "portrait": {"width": 32},
}


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos with what any network needs."""
    folder = merged_people(shared_data, tmp_path_factory.mktemp("networks"), 12)
    saliency(folder, keypoints="annotations", who="dominant")
    grade_domains(folder, faces="keypoints")
    split(folder, ratios=(70, 10, 20))
    return folder


@pytest.fixture(scope="module")
def few(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `data`, of three photos: some networks take two seconds for each here."""
    folder = merged_people(shared_data, tmp_path_factory.mktemp("few"), 3)
    saliency(folder, keypoints="annotations", who="dominant")
    grade_domains(folder, faces="keypoints")
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch of each network."""
    out = tmp_path_factory.mktemp("runs") / request.param
    report = train([data], out, model=request.param, network=OPTIONS.get(request.param, {}), **SMALL)
    assert report.epochs == 1
    assert 0 <= report.scores["mean"] <= 1
    return out


def test_it_annotates_photos_and_stands_in_the_table_of_models(
    run: Path, data: Path, few: Path, tmp_path: Path
) -> None:
    report = annotate(few, out=tmp_path / "preds", model=str(run), batch=2)
    assert (report.done, report.failed) == (3, 0)
    for sample in Dataset(tmp_path / "preds"):
        mask, _ = decode_mask((tmp_path / "preds" / str(sample.mask_file_name)).read_bytes())
        assert mask.shape == (sample.height, sample.width)
    (figures,) = benchmark_model([run], data, split="test", repeats=1).models
    assert figures.parameters is not None
    assert figures.parameters > 100_000
    assert figures.operations is not None
    assert figures.operations > 0
    assert figures.latency.network is not None


@pytest.mark.slow
def test_its_onnx_file_gives_the_masks_of_the_run(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "network.onnx"
    export_model(run, out, photos=data)
    exported, kept = open_model(out), TorchSegmenter(run)
    assert exported.fourth == kept.fourth
    photo = decode_image((data / str(next(iter(Dataset(data))).file_name)).read_bytes())
    if kept.fourth:
        photo = np.dstack([photo, np.tile(np.arange(photo.shape[1], dtype=np.uint8), (photo.shape[0], 1))])
    (one,), (two,) = exported.probabilities([photo]), kept.probabilities([photo])
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert benchmark_model([out], data, split="test", repeats=1).models[0].operations


def test_networks_without_pretrained_weights_start_from_nothing_unasked(data: Path, tmp_path: Path) -> None:
    train([data], tmp_path / "run", model="rcrnet-encoder", **{**SMALL, "init": None})
    assert TorchSegmenter(tmp_path / "run").settings.init == "none"
    with pytest.raises(InputError, match="no package carries ImageNet weights"):
        train([data], tmp_path / "other", model="lwpsn", **{**SMALL, "init": "imagenet"})


def test_a_photo_of_known_domain_is_seen_by_its_branch(data: Path, tmp_path: Path) -> None:
    train([data], tmp_path / "run", model="md-trisenet", network={"backbone": "xception39"}, **SMALL)
    model = TorchSegmenter(tmp_path / "run")
    assert model.uses_domains
    photo = decode_image((data / str(next(iter(Dataset(data))).file_name)).read_bytes())
    learnt = [DOMAINS[place] for place in model.network.seen.nonzero().flatten()]
    assert len(learnt) == 2, "two batches, each of one domain"
    places = [model.for_domain(each).domain for each in (*learnt, None)]
    assert places == [DOMAINS.index(learnt[0]), DOMAINS.index(learnt[1]), None]
    one, other, unknown = (predict_logits(model.network, photo, 96 * 96, domain=place) for place in places)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(unknown, (one + other) / 2, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def test_a_map_of_the_dominant_person_is_made_where_a_data_set_has_none(
    shared_data: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    plain = merged_people(shared_data, tmp_path / "plain", 3)
    train([data], tmp_path / "run", model="lwpsn", **SMALL)
    for folder, name in ((plain, "one"), (data, "two")):
        annotate(folder, out=tmp_path / name, model=str(tmp_path / "run"), probabilities=True)
    for sample in Dataset(tmp_path / "one"):
        files = (tmp_path / each / f"probabilities/{sample.key}.png" for each in ("one", "two"))
        assert len({file.read_bytes() for file in files}) == 1


def test_data_without_maps_or_domains_are_named(shared_data: Path, tmp_path: Path) -> None:
    plain = merged_people(shared_data, tmp_path, 3)
    with pytest.raises(InputError, match="segdata saliency --who dominant"):
        train([Source(str(plain))], tmp_path / "run", model="lwpsn", **SMALL)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises(InputError, match="colour"):
        build_network(name, {"colour": "red"})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rcrnet", {"prior": "banana"}, "prior of rcrnet cannot be banana: give true or false"),
        ("lwpsn", {"saliency": 0.5}, "saliency of lwpsn cannot be 0.5: give true or false"),
        ("bisenet", {"backbone": "vgg"}, "backbone of bisenet cannot be vgg: give resnet18 or xception39"),
        ("alisnet", {"width": "wide"}, "width of alisnet cannot be wide: give a whole number"),
        ("trisenet", {"edge_share": "much"}, "edge_share of trisenet cannot be much: give a number"),
        ("lwpsn", {"prior": True}, "lwpsn has no option prior: it has saliency"),
    ],
)
def test_an_option_that_cannot_be_is_told_with_what_can(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as error:
        build_network(name, options)
    assert said in str(error.value)
