"""Image pyramid resizing (ssm_lwpsn.txt): a network is trained at several resolutions, to be run at a low one."""

from __future__ import annotations

from collections.abc import Sequence

from segdata.errors import InputError
from segdata.models.shapes import STRIDE, network_shape


def pyramid_shapes(shapes: Sequence[tuple[int, int]], levels: int) -> list[tuple[int, int]]:
    """Give the (height, width) of network inputs on `levels` levels of an image pyramid, the largest first.

    Each level has half the sides of the one before, and the aspects of `shapes`, to which photos are fitted; sides
    are rounded to multiples of 32. A quarter of the pixels costs a quarter of the operations.

    Raises `InputError` where there is no level, or the smallest has sides below 32.

    >>> pyramid_shapes([(384, 256), (320, 320)], 2)
    [(384, 256), (320, 320), (192, 128), (160, 160)]
    """
    if levels < 1:
        raise InputError(f"a pyramid of {levels} levels is nothing", "give 1 or more")
    least = STRIDE << (levels - 1)
    if any(min(shape) < least for shape in shapes):
        raise InputError(f"{levels} levels of a pyramid need sides of {least} pixels", "give fewer, or larger sides")
    return [network_shape(shape, (shape[0] * shape[1]) >> 2 * level) for level in range(levels) for shape in shapes]
