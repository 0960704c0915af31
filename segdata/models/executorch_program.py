"""A network as an ExecuTorch program for telephones, its convolutions run by XNNPACK."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segdata.errors import InputError
from segdata.models.deploy import deployed
from segdata.models.probability import sigmoid
from segdata.models.runs import fourth_of
from segdata.models.shapes import enlarge, fit, network_shape

if TYPE_CHECKING:
    from segdata.models.base import Image, Probabilities
    from segdata.models.networks import AnyNetwork

_PORTRAIT = (3, 2)


def program_shape(pixels: int) -> tuple[int, int]:
    """Give the height and width of the photos that a program takes: a portrait of about `pixels`.

    >>> program_shape(576 * 384)
    (576, 384)
    """
    return network_shape(_PORTRAIT, pixels)


def executorch_program(network: AnyNetwork, pixels: int) -> bytes:
    """Give a network as a program (.pte): input uint8 (1, H, W, C) of `program_shape`, output float32 logits.

    Normalisation is inside; the shape is fixed, which is how XNNPACK plans memory. Raises `InputError` without the
    package `executorch`.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of executorch about what it is built on
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415
            from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415
        except ImportError as error:
            hint = "pip install 'segdata[executorch]'"
            raise InputError("export to ExecuTorch needs the package executorch", hint) from error
        channels = 4 if fourth_of(network) else 3
        example = (torch.zeros((1, *program_shape(pixels), channels), dtype=torch.uint8),)
        exported = torch.export.export(deployed(network), example)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        return bytes(lowered.to_executorch().buffer)


def open_program(path: Path, pixels: int) -> Callable[[Image], Probabilities]:
    """Give a function from a photo, uint8 (H, W, 3), to the probabilities of a program, float32 (K, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls itself experimental
        from executorch.runtime import Runtime  # noqa: PLC0415

        method = Runtime.get().load_program(path).load_method("forward")
    shape = program_shape(pixels)

    def predict(image: Image) -> Probabilities:
        seen = torch.from_numpy(fit(image, shape))[None]
        logits = method.execute([seen])[0][0].numpy()
        return sigmoid(enlarge(logits, image.shape[:2]))

    return predict
