"""PointRend at inference looks up exactly what it was trained on, where it is uncertain, and nowhere else."""

import pytest

pytest.importorskip("torch")

import torch

from segdata.models.pointrend import PointHead, _Table, refine, sample


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_looking_up_a_grid_is_sampling_at_its_places(scale: int) -> None:
    """Of a map at half the resolution of the grid of scale 1, borders included, in a batch of two."""
    features = torch.rand(2, 5, 6, 8, generator=torch.manual_seed(0))
    height, width = 12 * scale, 16 * scale
    cells = torch.arange(height * width).expand(2, -1)
    rows, columns = cells // width, cells % width
    found = _Table(features, 0.5).sample(rows, columns, scale)
    places = torch.stack([(columns + 0.5) / width, (rows + 0.5) / height], dim=2)
    assert torch.allclose(found.transpose(1, 2), sample(features, places), atol=1e-6)


def test_the_most_uncertain_cells_are_the_ones_predicted_anew() -> None:
    torch.manual_seed(0)
    head = PointHead(4, 1)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    head.predict.bias.data.fill_(1000)
    logits = torch.full((1, 1, 8, 8), -9.0)
    logits[0, 0, 2, 3] = 0.5
    with torch.no_grad():
        refined = refine(head, logits, [torch.rand(1, 4, 16, 16)], steps=1, points=4)
    assert refined.shape == (1, 1, 16, 16)
    assert (refined > 500).nonzero()[:, 2:].tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]


def test_a_cell_is_as_uncertain_as_the_least_certain_of_its_channels() -> None:
    head = PointHead(4, 2)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    head.predict.bias.data.fill_(1000)
    logits = torch.full((1, 2, 8, 8), -9.0)
    logits[0, 0, 0, 0], logits[0, 1, 5, 1] = 3, 1
    with torch.no_grad():
        refined = refine(head, logits, [torch.rand(1, 4, 16, 16)], steps=1, points=4)
    assert (refined[0, 0] > 500).nonzero().tolist() == [[10, 2], [10, 3], [11, 2], [11, 3]]


def test_a_grid_with_fewer_cells_than_points_is_predicted_whole() -> None:
    head = PointHead(4, 1)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    head.predict.bias.data.fill_(1000)
    with torch.no_grad():
        refined = refine(head, torch.rand(2, 1, 3, 5) - 9, [torch.rand(2, 4, 6, 10)], steps=2, points=4096)
    assert refined.shape == (2, 1, 12, 20)
    assert (refined > 500).all()
