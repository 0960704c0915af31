"""The context path of BiSeNet and TriSeNet above its backbone (md_trisenet.txt IV-A, figure 3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from segdata.models.attention_refinement import AttentionRefinement
from segdata.models.layers import ConvBlock


class ContextPath(nn.Module):
    """From a backbone's features at strides 16 and 32 to (N, width, H / 8, W / 8).

    Both are refined by attention; the coarser is enlarged and added to the finer, and the sum is enlarged.
    """

    def __init__(self, inputs: tuple[int, int], width: int) -> None:
        super().__init__()
        self.refine_16 = AttentionRefinement(inputs[0], width)
        self.refine_32 = AttentionRefinement(inputs[1], width)
        self.smooth_16 = ConvBlock(width, width)
        self.smooth_8 = ConvBlock(width, width)

    def forward(self, at_16: Tensor, at_32: Tensor) -> Tensor:
        """Give the context at stride 8."""
        above = self.smooth_16(_twice(self.refine_32(at_32)))
        context: Tensor = self.smooth_8(_twice(self.refine_16(at_16) + above))
        return context


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
