"""The re-parameter compress residual (RCR) module, its stages, and how they fold (rcrnet.txt 3.2)."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from segdata.models.layers import ConvBlock


class RCRModule(nn.Module):
    """Equation (1): from (N, inputs, H, W) to (N, outputs, H, W).

    A pointwise convolution with batch normalisation and ReLU changes the number of channels; what it gives is summed
    with a 3 x 3 and a 1 x 1 convolution of each channel, each with batch normalisation. The paper's text has 3 x 3 for
    both and then pads the second's 1 x 1 kernel to 3 x 3; the latter is taken to be meant.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block1 = ConvBlock(inputs, outputs, 1)
        self.conv3 = ConvBlock(outputs, outputs, 3, groups=outputs, activation=None)
        self.conv1 = ConvBlock(outputs, outputs, 1, groups=outputs, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Give the sum of the three branches."""
        x = self.block1(x)
        total: Tensor = self.conv3(x) + self.conv1(x) + x
        return total

    def folded(self) -> nn.Sequential:
        """Give the module as two convolutions, equal to it in `eval` mode: equations (2) to (4)."""
        merged, point = _one_convolution(self.conv3), _one_convolution(self.conv1)
        with torch.no_grad():
            # A 1 x 1 kernel is a 3 x 3 one that is zero but in its centre, and the identity one that is 1 there.
            merged.weight[:, :, 1, 1] += point.weight[:, :, 0, 0] + 1
            cast("Tensor", merged.bias).add_(cast("Tensor", point.bias))
        return nn.Sequential(_folded_block(self.block1), merged)


class RCRStage(nn.Module):
    """Two RCR modules and a shortcut around them (figure 4), from `inputs` to `outputs` channels.

    `scale` None is the A-structure: sizes stay. ``down`` and ``up`` are the B-structure, which halves or doubles them
    by a convolution of each channel with stride 2 between the modules, transposed for ``up``; its shortcut is averaged
    over 2 x 2 pixels or enlarged bilinearly. Where channels change the shortcut has a pointwise convolution. With
    `dense`, the transposed convolution is not one of each channel but a full one.
    """

    def __init__(
        self, inputs: int, outputs: int, scale: Literal["down", "up"] | None = None, *, dense: bool = False
    ) -> None:
        super().__init__()
        self.first = RCRModule(inputs, outputs)
        self.between: nn.Module = nn.Identity()
        self.second = RCRModule(outputs, outputs)
        shortcut: list[nn.Module] = []
        if scale == "down":
            self.between = ConvBlock(outputs, outputs, 3, stride=2, groups=outputs, activation=None)
            shortcut.append(nn.AvgPool2d(2))
        if inputs != outputs:
            shortcut.append(ConvBlock(inputs, outputs, 1, activation=None))
        if scale == "up":
            self.between = transposed(outputs, dense=dense)
            shortcut.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, outputs, H, W), or half or twice that height and width."""
        total: Tensor = self.second(self.between(self.first(x))) + self.shortcut(x)
        return total


def transposed(channels: int, *, dense: bool) -> nn.ConvTranspose2d:
    """Give a transposed convolution that doubles height and width, of each channel or of all, at first bilinear."""
    layer = nn.ConvTranspose2d(channels, channels, 4, 2, 1, groups=1 if dense else channels, bias=False)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = line[:, None] * line
    with torch.no_grad():
        if dense:
            layer.weight.zero_()
            layer.weight[range(channels), range(channels)] = kernel
        else:
            layer.weight[:] = kernel
    return layer


def fold(module: nn.Module) -> None:
    """Replace, in place, what can be folded in a module by convolutions that equal it in `eval` mode."""
    for name, child in module.named_children():
        if isinstance(child, RCRModule):
            setattr(module, name, child.folded())
        elif isinstance(child, ConvBlock):
            setattr(module, name, _folded_block(child))
        else:
            fold(child)


def _folded_block(block: ConvBlock) -> nn.Sequential:
    return nn.Sequential(_one_convolution(block), *list(block)[2:])


def _one_convolution(block: ConvBlock) -> nn.Conv2d:
    """Give the convolution and the batch normalisation that a block begins with as one convolution: equation (4)."""
    convolution, norm = cast("nn.Conv2d", block[0]), cast("nn.BatchNorm2d", block[1])
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        cast("Tensor", norm.running_mean),
        cast("Tensor", norm.running_var),
        norm.eps,
        norm.weight,
        norm.bias,
    )
    merged = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        cast("tuple[int, int]", convolution.kernel_size),
        cast("tuple[int, int]", convolution.stride),
        cast("tuple[int, int]", convolution.padding),
        groups=convolution.groups,
        device=weight.device,
    )
    merged.weight, merged.bias = weight, bias
    return merged
