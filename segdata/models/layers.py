"""The layers that the mobile networks share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def relu() -> nn.Module:
    """Give a ReLU that works in place."""
    return nn.ReLU(inplace=True)


def relu6() -> nn.Module:
    """Give a ReLU that is cut at 6 and works in place."""
    return nn.ReLU6(inplace=True)


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation and activation, from (N, inputs, H, W) to (N, outputs, ceil(H / stride), ...).

    With `same`, padding is TensorFlow's 'SAME' for inputs of even height and width: with stride 2, one pixel more at
    the bottom and on the right. Otherwise it is the same on all sides.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = relu,
        same: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        padding = kernel // 2
        layers: list[nn.Module] = []
        if same and stride == 2:
            before, after = (kernel - 2) // 2, (kernel - 1) // 2
            layers.append(nn.ZeroPad2d((before, after, before, after)))
            padding = 0
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        layers.append(nn.BatchNorm2d(outputs, eps=epsilon))
        if activation is not None:
            layers.append(activation())
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen by `expand`, filter each channel, narrow; added to its input where shapes agree."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int,
        expand: int,
        activation: Activation,
        same: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        wide = inputs * expand
        layers: list[nn.Module] = []
        if expand > 1:
            layers.append(ConvBlock(inputs, wide, 1, activation=activation, epsilon=epsilon))
        layers.append(
            ConvBlock(wide, wide, kernel, stride=stride, groups=wide, activation=activation, same=same, epsilon=epsilon)
        )
        layers.append(ConvBlock(wide, outputs, 1, activation=None, epsilon=epsilon))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.layers(x)
        return x + y if self.adds else y
