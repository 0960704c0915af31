"""PointRend (Kirillov et al., 2020): predict again, from fine features, the points whose coarse label is uncertain."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class PointHead(nn.Module):
    """A perceptron with shared weights over points: coarse logits and fine features to refined logits.

    The coarse logits enter each of its layers. From (N, inputs, P) and (N, outputs, P) to (N, outputs, P). What it
    computes is added to the coarse logits, and is nothing before it is trained: refined masks begin as good as coarse.
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        widths = [inputs] + [width] * depth
        self.layers = nn.ModuleList([nn.Conv1d(before + outputs, after, 1) for before, after in pairwise(widths)])
        self.predict = nn.Conv1d(width + outputs, outputs, 1)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(cast("Tensor", self.predict.bias))

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Give the refined logits."""
        x = features
        for layer in self.layers:
            x = functional.relu(layer(torch.cat([x, coarse], dim=1)))
        change: Tensor = self.predict(torch.cat([x, coarse], dim=1))
        return coarse + change


def refine(head: PointHead, logits: Tensor, features: list[Tensor], *, steps: int = 2, points: int = 4096) -> Tensor:
    """Double the resolution of (N, K, H, W) logits `steps` times, predicting `points` of each new grid anew.

    The cells whose logit is nearest to 0 are divided into four: of all cells the first time, then of those that the
    time before predicted. A cell with several channels is as uncertain as the least certain of them. `features` are
    maps of the same photos, of twice the resolution of `logits`, the same, half and so on.
    """
    tables = [_Table(each, 2 / 2**level) for level, each in enumerate(features)]
    certainty = logits.abs().amin(dim=1).flatten(1)
    cells: Tensor | None = None
    for step in range(1, steps + 1):
        chosen = certainty.topk(_at_most(points // 4, certainty.shape[1]), largest=False, sorted=False).indices
        rows, columns = _quarters(chosen if cells is None else cells.gather(1, chosen), logits.shape[3])
        logits = functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
        count, outputs, height, width = logits.shape
        cells = rows * width + columns
        index = cells.unsqueeze(1).expand(-1, outputs, -1)
        flat = logits.flatten(2)
        fine = torch.cat([table.sample(rows, columns, 2**step) for table in tables], dim=2).transpose(1, 2)
        refined = head(fine, flat.gather(2, index))
        logits = flat.scatter(2, index, refined).view(count, outputs, height, width)
        certainty = refined.abs().amin(dim=1)
    return logits


def _at_most(wanted: int, there: int) -> int:
    # An export leaves sizes free, which Python's own min would fix.
    least: int = torch.sym_min(wanted, there)  # type: ignore[no-untyped-call]
    return least


def _quarters(cells: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Give rows and columns (N, 4 P), in the grid of twice the resolution, of cells (N, P) numbered row by row."""
    rows = cells // width
    columns = cells - rows * width
    lower, right = (torch.tensor(side, device=cells.device) for side in ([0, 0, 1, 1], [0, 1, 0, 1]))
    return (2 * rows.unsqueeze(2) + lower).flatten(1), (2 * columns.unsqueeze(2) + right).flatten(1)


class _Table:
    """A map (N, C, H, W) laid out by pixel, to look points of a grid up in it: several times faster than grid_sample.

    `scale` is its resolution over that of the grid of scale 1.
    """

    def __init__(self, features: Tensor, scale: float) -> None:
        self.scale = scale
        count, channels, self.height, self.width = features.shape
        self.pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
        self.first = torch.arange(count, device=features.device).unsqueeze(1) * (self.height * self.width)

    def sample(self, rows: Tensor, columns: Tensor, scale: int) -> Tensor:
        """Give (N, P, C) at rows and columns (N, P) of the grid of `scale`: bilinear where that is the finer one."""
        if scale == self.scale:
            return self._look_up(rows, columns)
        top, bottom, lower = _neighbours(rows, scale / self.scale, self.height)
        left, right, righter = _neighbours(columns, scale / self.scale, self.width)
        above = _between(self._look_up(top, left), self._look_up(top, right), righter)
        below = _between(self._look_up(bottom, left), self._look_up(bottom, right), righter)
        return _between(above, below, lower)

    def _look_up(self, rows: Tensor, columns: Tensor) -> Tensor:
        index = self.first + rows * self.width + columns
        # Indexing with a tensor would export as GatherND with checks for negative places.
        return self.pixels.index_select(0, index.flatten()).view(*index.shape, -1)


def _between(before: Tensor, behind: Tensor, share: Tensor) -> Tensor:
    return before + (behind - before) * share


def _neighbours(places: Tensor, ratio: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give the places before and behind, in an axis `ratio` times coarser, and how near the latter is (N, P, 1)."""
    exact = ((places + 0.5) / ratio - 0.5).clamp(min=0)
    before = exact.long()
    return before, (before + 1).clamp(max=size - 1), (exact - before).unsqueeze(2)


def sample_features(features: list[Tensor], places: Tensor) -> Tensor:
    """Sample (N, C, H, W) maps at (N, P, 2) places, as x and y in [0, 1]: (N, sum of C, P)."""
    return torch.cat([sample(each, places) for each in features], dim=1)


def sample(values: Tensor, places: Tensor) -> Tensor:
    """Sample one (N, C, H, W) map bilinearly at (N, P, 2) places, as x and y in [0, 1]: (N, C, P)."""
    grid = (2 * places - 1).unsqueeze(2)
    return functional.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False).squeeze(3)


@torch.no_grad()
def choose_training_points(
    logits: Tensor, points: int, *, oversampling: int = 3, uncertain_share: float = 0.75
) -> Tensor:
    """Draw places to train the point head on, (N, points, 2): mostly uncertain ones, the rest anywhere.

    Of `oversampling` times as many, drawn evenly, the most uncertain are taken (PointRend, section 3.3).
    """
    count = logits.shape[0]
    drawn = torch.rand(count, points * oversampling, 2, device=logits.device)
    uncertain = -sample(logits, drawn).abs().amin(dim=1)
    taken = int(points * uncertain_share)
    index = uncertain.topk(taken, dim=1, sorted=False).indices.unsqueeze(2).expand(-1, -1, 2)
    anywhere = torch.rand(count, points - taken, 2, device=logits.device)
    return torch.cat([drawn.gather(1, index), anywhere], dim=1)
