"""The spatial path of BiSeNet and TriSeNet (md_trisenet.txt IV-A, figure 4a)."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from segdata.models.layers import ConvBlock, relu


class SpatialPath(nn.Sequential):
    """From normalised (N, 3, H, W) to (N, outputs, H / 8, W / 8): three 3 x 3 convolutions and one of 1 x 1.

    `widths` are those of the three. `activation` makes what follows the last two of them, given their width.
    """

    def __init__(
        self, widths: tuple[int, int, int], outputs: int, activation: Callable[[int], nn.Module] | None = None
    ) -> None:
        layers: list[nn.Module] = []
        for place, (inputs, width) in enumerate(zip((3, *widths[:2]), widths, strict=True)):
            own = place > 0 and activation is not None
            layers.append(ConvBlock(inputs, width, stride=2, activation=None if own else relu))
            if own and activation is not None:
                layers.append(activation(width))
        super().__init__(*layers, ConvBlock(widths[2], outputs, 1))
