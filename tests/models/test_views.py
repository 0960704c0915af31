"""Views are what a network sees in training: the same each time, with all that it needs, framed as it needs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from people import merged_people

pytest.importorskip("torch")

import torch

from segdata.domains import DOMAINS
from segdata.errors import InputError
from segdata.models.augmentation import whole_matrix
from segdata.models.settings import Source, TrainSettings
from segdata.models.training_data import Sample, read_samples
from segdata.models.views import Views, domain_of_view, view_shapes
from segdata.ops.grade_domains import grade_domains
from segdata.ops.saliency import saliency


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photos of COCO with keypoints, faces and maps of the dominant person."""
    data = merged_people(shared_data, tmp_path_factory.mktemp("views"), 24)
    saliency(data, keypoints="annotations", who="dominant")
    grade_domains(data, faces="keypoints")
    return data


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    return read_samples(Source(str(folder)), "train", frozenset({"saliency", "domain"}))


def _views(
    samples: list[Sample], *needs: Any, count: int = 12, batch: int = 4, first: int = 0, **settings: Any
) -> Views:
    given = {"side": 96, "pasted": 0.0, "texture": 0.0} | settings
    return Views(
        samples, TrainSettings("any", (), **given), first=first, count=count, batch=batch, needs=frozenset(needs)
    )


def test_views_are_the_same_whatever_the_order_and_fill_a_batch_with_one_shape(samples: list[Sample]) -> None:
    views = _views(samples, pasted=0.5, texture=0.5, seed=1)
    shapes = [tuple(views[index]["pixels"].shape[1:]) for index in range(12)]
    assert shapes == [shape for shape in view_shapes(96) for _ in range(4)]
    later = _views(samples, pasted=0.5, texture=0.5, seed=1, first=8, count=4)
    assert all(views[9][name].equal(later[1][name]) for name in ("pixels", "target", "known"))
    other = _views(samples, pasted=0.5, texture=0.5, seed=2)
    assert not other[0]["pixels"].equal(views[0]["pixels"])


def test_a_batch_has_one_shape_in_epochs_that_begin_within_one(samples: list[Sample]) -> None:
    views = _views(samples, "domain", first=250, count=16, batch=8)
    for start in (0, 8):
        members = [views[index] for index in range(start, start + 8)]
        assert len({(tuple(each["pixels"].shape), int(each["domain"])) for each in members}) == 1


def test_batches_go_round_the_levels_of_an_image_pyramid(samples: list[Sample]) -> None:
    views = _views(samples, side=128, pyramid=2, count=12, batch=2)
    shapes = [tuple(views[index]["pixels"].shape[1:]) for index in range(0, 12, 2)]
    assert shapes == [(160, 96), (128, 128), (96, 160), (64, 64), (64, 64), (64, 64)]


def test_whole_framing_shows_nearly_all_of_each_photo(samples: list[Sample]) -> None:
    free, whole = (_views(samples, count=24, framing=framing) for framing in ("free", "whole"))
    seen = [np.mean([float(view["known"][1].float().mean()) for view in views]) for views in (free, whole)]
    rng = np.random.default_rng(0)
    for shape in ((480, 640), (900, 600)):
        for _ in range(50):
            matrix = whole_matrix(rng, shape, (128, 128))
            corners = np.array([[0, 0, 1], [shape[1], 0, 1], [0, shape[0], 1], [shape[1], shape[0], 1]]) @ matrix.T
            extent = np.ptp(corners, axis=0)
            assert 105 < extent.max() < 170, "a tenth larger or smaller, and turned by 5 degrees"
    assert seen[1] > 0.5
    assert not whole[0]["pixels"].equal(free[0]["pixels"])


def test_a_network_that_needs_nothing_more_gets_photos_and_labels_alone(samples: list[Sample]) -> None:
    view = _views(samples)[0]
    assert {name: (tuple(value.shape[:1]), value.dtype) for name, value in view.items()} == {
        "pixels": ((3,), torch.uint8),
        "target": ((2,), torch.uint8),
        "known": ((2,), torch.uint8),
    }
    assert set(view["known"].unique().tolist()) <= {0, 1}


def test_a_guest_that_is_pasted_in_is_in_the_target(samples: list[Sample]) -> None:
    plain, pasted = (_views(samples, count=40, batch=40, seed=1, pasted=share) for share in (0.0, 1.0))
    more = [
        float((b["target"][1] > 127).sum() - (a["target"][1] > 127).sum()) for a, b in zip(plain, pasted, strict=True)
    ]
    assert sum(each > 0 for each in more) > 10
    assert min(more) >= 0


def test_real_photos_give_views_that_hold_persons(samples: list[Sample]) -> None:
    views = _views(samples, count=60, batch=20, side=128, pasted=0.25)
    shares = [float((view["target"][1] > 127).float().mean()) for view in views]
    assert np.mean(np.array(shares) > 0.02) > 0.7
    assert 0.05 < np.mean(shares) < 0.6


def test_the_second_texture_is_the_view_as_the_photo_has_it(samples: list[Sample]) -> None:
    changed = _views(samples, "second-texture", texture=1.0)[0]
    plain = _views(samples, "second-texture", texture=0.0)[0]
    assert changed["second"].equal(plain["pixels"])
    assert not changed["pixels"].equal(changed["second"])


def test_the_prior_is_the_same_in_both_textures_and_near_the_dominant_person(samples: list[Sample]) -> None:
    views = list(_views(samples, "prior", "second-texture", count=40, texture=1.0))
    assert all(view["pixels"].shape[0] == 4 and view["pixels"][3].equal(view["second"][3]) for view in views)
    given = [view for view in views if view["pixels"][3].any()]
    assert 10 <= len(given) <= 30, "half of the views are as first frames"
    overlap = []
    for view in given:
        prior, person = view["pixels"][3] > 127, view["target"][0] > 127
        overlap.append(float((prior & person).sum() / person.sum().clamp(min=1)))
    assert np.mean(overlap) > 0.6


def test_the_saliency_map_lies_where_the_dominant_person_is(samples: list[Sample]) -> None:
    inside, outside = [], []
    for view in _views(samples, "saliency", count=40):
        person = (view["target"][0] > 127) & (view["known"][0] > 0)
        if person.any() and view["pixels"][3].any():
            inside.append(float(view["pixels"][3][person].float().mean()))
            outside.append(float(view["pixels"][3][~person].float().mean()))
    assert len(inside) > 15
    assert np.mean(inside) > 3 * np.mean(outside)


def test_batches_go_round_the_domains_that_photos_have(samples: list[Sample]) -> None:
    views = _views(samples, "domain", count=48, batch=4)
    assert len(views.domains) >= 4
    places = [int(view["domain"]) for view in views]
    rounds = [views.domains[batch % len(views.domains)] for batch in range(12)]
    assert places == [place for place in rounds for _ in range(4)]


def test_a_head_cut_out_of_a_body_is_a_head_shot() -> None:
    row = {"key": "a", "face_box": [100.0, 50.0, 40.0, 50.0], "width": 400, "height": 600}
    sample = Sample(Path("data"), row, Source("data"))
    whole, head = np.array([[0.5, 0, 0], [0, 0.5, 0]]), np.array([[3.0, 0, -260], [0, 3.0, -150]])
    feet = np.array([[1.0, 0, 0], [0, 1.0, -400]])
    found = [DOMAINS[domain_of_view(sample, matrix, (200, 200))] for matrix in (whole, head, feet)]
    assert found == ["whole body", "head shot", "no face"]
    nobody = Sample(Path("data"), {**row, "face_box": None}, Source("data"))
    assert DOMAINS[domain_of_view(nobody, whole, (200, 200))] == "no face"


@pytest.mark.parametrize(("need", "command"), [("saliency", "segdata saliency"), ("domain", "segdata grade-domains")])
def test_data_that_lack_what_a_network_needs_are_named_with_the_command(
    need: Any, command: str, shared_data: Path, tmp_path: Path
) -> None:
    data = merged_people(shared_data, tmp_path, 2)
    with pytest.raises(InputError, match=str(data)) as caught:
        read_samples(Source(str(data)), "train", frozenset({need}))
    assert command in str(caught.value)
