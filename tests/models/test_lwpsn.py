"""LWPSN with and without the saliency map, and the sizes of its image pyramid."""

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import nn

from segdata.errors import InputError
from segdata.models.image_pyramid import pyramid_shapes
from segdata.models.lwpsn import lwpsn
from segdata.models.network import Batch, LossWeights
from segdata.models.runs import predict_logits
from segdata.ops.saliency_map import saliency_map

MB = 1e6
SHAPES = [(384, 256), (320, 320), (256, 384)]


def test_it_is_as_large_as_the_paper_says() -> None:
    network = lwpsn()
    assert sum(each.numel() for each in network.parameters()) == 14_013_154
    stored = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    assert stored == pytest.approx(55.5 * MB, rel=0.1)


def test_features_have_29_layers_with_the_classifier_that_is_left_out() -> None:
    backbone = lwpsn().backbone
    convolutions = [
        each
        for name, each in backbone.named_modules()
        if isinstance(each, nn.Conv2d) and "shortcut" not in name.split(".")
    ]
    assert len(convolutions) + 1 == 29
    assert [each.groups for each in convolutions if each.kernel_size == (3, 3)] == [32] * 9


def test_dilation_rates_are_4_8_and_12() -> None:
    rates = [each.dilation for each in lwpsn().modules() if isinstance(each, nn.Conv2d) and each.dilation != (1, 1)]
    assert rates == [(4, 4), (8, 8), (12, 12)]


@pytest.mark.parametrize("shape", [(64, 96), (32, 32), (32, 160), (96, 32)])
def test_logits_of_the_dominant_person_and_of_everyone_are_a_quarter_as_high_and_wide(shape: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = lwpsn().eval()(torch.rand(2, 4, *shape) * 255)
    assert logits.shape == (2, 2, shape[0] // 4, shape[1] // 4)


@pytest.mark.parametrize("saliency", [True, False])
def test_a_photo_of_any_shape_gets_logits_of_its_shape(saliency: bool) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (37, 91, 4 if saliency else 3), np.uint8)
    logits = predict_logits(lwpsn(saliency=saliency).eval(), photo, 64 * 64)
    assert logits.shape == (2, 37, 91)
    assert np.isfinite(logits).all()


def test_only_the_network_with_a_map_asks_for_one() -> None:
    assert lwpsn().needs == {"saliency"}
    without = lwpsn(saliency=False)
    assert without.needs == frozenset()
    with torch.no_grad():
        assert without.eval()(torch.rand(1, 3, 32, 64) * 255).shape == (1, 2, 8, 16)


def test_an_empty_map_adds_nothing_to_what_the_photo_shows() -> None:
    torch.manual_seed(0)
    one, other = lwpsn().eval(), lwpsn(saliency=False).eval()
    weights = one.state_dict()
    first = "backbone.stem.0.0.weight"
    other.load_state_dict({**weights, first: weights[first][:, :3]})
    photo = torch.rand(1, 3, 64, 64) * 255
    empty = torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(one(torch.cat([photo, empty], dim=1)), other(photo))
        assert (one(torch.cat([photo, empty + 255], dim=1)) - other(photo)).abs().max() > 1e-3


def test_a_batch_of_one_photo_teaches_every_weight() -> None:
    torch.manual_seed(0)
    network = lwpsn().train()
    target = torch.zeros(1, 2, 64, 64)
    target[:, :, 16:48, 16:48] = 1
    network.loss(Batch(torch.rand(1, 4, 64, 64) * 255, target, torch.ones_like(target)), LossWeights()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_where_nothing_is_known_nothing_is_learnt() -> None:
    target = torch.ones(1, 2, 64, 64)
    batch = Batch(torch.rand(1, 4, 64, 64) * 255, target, torch.zeros_like(target))
    assert lwpsn().loss(batch, LossWeights()).item() == 0


def test_one_batch_is_learnt_and_the_map_tells_whom_a_photo_is_about() -> None:
    """Twice the same photo, in which the person is once on the left and once on the right: only the maps differ."""
    torch.manual_seed(0)
    keypoints = np.zeros((17, 3))
    keypoints[[5, 6, 11, 12, 13, 14]] = [[10, 14, 2], [22, 14, 2], [12, 36, 2], [20, 36, 2], [12, 54, 2], [20, 54, 2]]
    left = torch.from_numpy(saliency_map([keypoints], (64, 64)))
    maps = torch.stack([left, left.flip(1)])[:, None]
    photo = (torch.rand(1, 3, 64, 64) * 255).expand(2, -1, -1, -1)
    target = (maps > 0.5).float().expand(-1, 2, -1, -1)
    batch = Batch(torch.cat([photo, maps * 255], dim=1), target, torch.ones_like(target))

    network = lwpsn().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(9):
        loss = network.loss(batch, LossWeights())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2

    with torch.no_grad():
        found = nn.functional.interpolate(network(batch.pixels), size=(64, 64), mode="bilinear") > 0
    shared, union = (found & target.bool()).sum((2, 3)), (found | target.bool()).sum((2, 3))
    assert (shared / union > 0.9).all()


def test_a_pyramid_halves_the_sides_of_every_view() -> None:
    assert pyramid_shapes(SHAPES, 1) == SHAPES
    assert pyramid_shapes(SHAPES, 3) == [
        *SHAPES,
        *((192, 128), (160, 160), (128, 192)),
        *((96, 64), (64, 64), (64, 96)),
    ]


@pytest.mark.parametrize("levels", [0, 5])
def test_a_pyramid_without_a_level_or_below_one_step_is_refused(levels: int) -> None:
    with pytest.raises(InputError, match=str(levels)):
        pyramid_shapes(SHAPES, levels)
