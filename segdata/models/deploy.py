"""A trained network as it goes into a file: photos in, logits out, and less to compute for the same result."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, nn

from segdata.models.alisnet import ALiSNet
from segdata.models.backbones import Backbone
from segdata.models.portrait import PortraitNetwork
from segdata.models.rcrnet import RCRNet

if TYPE_CHECKING:
    from segdata.models.networks import AnyNetwork

_BLOCK = 2
_KERNEL = 3

_Net = TypeVar("_Net", bound=nn.Module)


def deployed(network: AnyNetwork) -> nn.Module:
    """Give what a network is in a file: from uint8 (N, H, W, C) photos to its logits; 32 must divide H and W.

    Differs from the network, which is left as it is, by rounding alone. Each batch normalisation is in the weights of
    the convolution before it, and modules of RCRNet are single convolutions. C is 4 for a network that takes a fourth
    channel, else 3.
    """
    if isinstance(network, ALiSNet | PortraitNetwork):
        return _OnBlocks(network)
    return _OnPixels(network.fold() if isinstance(network, RCRNet) else _without_batch_norms(network))


class _OnPixels(nn.Module):
    """A network that takes photos as they are decoded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Give float32 logits (N, K, h, w)."""
        logits: Tensor = self.network(image.permute(0, 3, 1, 2).float())
        return logits


class _OnBlocks(nn.Module):
    """A network on one of our backbones, whose first convolution works on blocks of 2 x 2 pixels.

    12 channels with a 2 x 2 kernel, instead of pixels with a 3 x 3 one and stride 2: runtimes handle 12 channels twice
    as fast as 3. The deviation of the pixels is in its weights; the mean stays a subtraction, since convolutions pad
    with zeros after it.
    """

    def __init__(self, network: ALiSNet | PortraitNetwork) -> None:
        super().__init__()
        self.network = _without_batch_norms(network).eval()
        backbone = self.network.backbone
        self.mean = backbone.mean.repeat(1, _BLOCK * _BLOCK, 1, 1)
        if (self.mean == self.mean[:, :1]).all():
            self.mean = self.mean[:, :1]
        first = cast("nn.Sequential", cast("nn.Sequential", backbone.stages[0])[0])
        for place, layer in enumerate(first):
            if isinstance(layer, nn.Conv2d):
                first[place] = _on_blocks(layer, backbone.deviation)
            elif isinstance(layer, nn.ZeroPad2d):
                first[place] = nn.Identity()
        self.network.backbone = cast("Backbone", _Stages(backbone))

    def forward(self, image: Tensor) -> Tensor:
        """Give float32 logits (N, K, h, w)."""
        count, height, width, _ = image.shape
        rows = image.view(count, height // _BLOCK, _BLOCK, width // _BLOCK, 3 * _BLOCK)
        # Two rows put together are copied in long runs, which a permutation of axes would not be.
        blocks = torch.cat([rows[:, :, row] for row in range(_BLOCK)], dim=3).permute(0, 3, 1, 2)
        logits: Tensor = self.network(blocks.float() - self.mean)
        return logits


class _Stages(nn.Module):
    """A backbone that takes what is normalised already."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.stages = backbone.stages

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _without_batch_norms(network: _Net) -> _Net:
    """Copy a network with each batch normalisation behind a convolution folded into that."""
    from copy import deepcopy  # noqa: PLC0415

    from torch.nn.utils.fusion import fuse_conv_bn_eval  # noqa: PLC0415

    copy = deepcopy(network).eval()
    for block in list(copy.modules()):
        if isinstance(block, nn.Sequential):
            for place, layer in enumerate(block):
                before = block[place - 1]
                if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                    block[place - 1] = fuse_conv_bn_eval(before, layer)
                    block[place] = nn.Identity()
    return copy


def _on_blocks(convolution: nn.Conv2d, deviation: Tensor) -> nn.Sequential:
    """Give the same 3 x 3 convolution with stride 2 as a 2 x 2 one on blocks, with its padding, over the deviation.

    Pixel (y, x) of a kernel whose window begins `before` pixels ahead of a block lies in the block
    (y + before) // 2 of the two, at the place (y + before) % 2 in it.
    """
    before = int(cast("tuple[int, int]", convolution.padding)[0])
    weight = convolution.weight.detach() / deviation
    spread = weight.new_zeros(weight.shape[0], _BLOCK, _BLOCK, 3, _BLOCK, _BLOCK)
    for y in range(_KERNEL):
        for x in range(_KERNEL):
            (row, within_row), (column, within_column) = divmod(y + before, _BLOCK), divmod(x + before, _BLOCK)
            spread[:, within_row, within_column, :, row, column] = weight[:, :, y, x]
    result = nn.Conv2d(spread.shape[1] * spread.shape[2] * 3, spread.shape[0], _BLOCK)
    with torch.no_grad():
        result.weight.copy_(spread.flatten(1, 3))
        result.bias.copy_(convolution.bias)  # type: ignore[union-attr, arg-type]
    return nn.Sequential(nn.ZeroPad2d((before, 1 - before, before, 1 - before)), result)
