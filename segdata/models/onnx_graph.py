"""A network as an ONNX graph."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch

from segdata.errors import InputError
from segdata.models.deploy import deployed
from segdata.models.runs import fourth_of

if TYPE_CHECKING:
    from segdata.models.networks import AnyNetwork

_OPSET = 20
_EXAMPLE = (2, 384, 320)  # two different sides and a batch, lest one be taken for another


def onnx_graph(network: AnyNetwork) -> bytes:
    """Give a network as an ONNX model: input `image` uint8 (N, H, W, C), output `logits` float32 (N, K, h, w).

    N is free, H and W are any multiples of 32, C is 4 where the network takes a fourth channel, else 3. Normalisation
    is inside. Raises `InputError` without the package `onnx`.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 - what torch turns graphs into ONNX with
    except ImportError as error:
        raise InputError("export to ONNX needs more packages", "pip install 'segdata[train]'") from error
    # Told that 32 divides the sides, torch keeps every size a plain multiple; otherwise it proves equal, for minutes or
    # for ever, what halvings that round up and doublings make of them.
    high, wide = (32 * torch.export.Dim(side) for side in ("height", "width"))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of torch about its own exporter
            program = torch.onnx.export(
                deployed(network),
                (torch.zeros((*_EXAMPLE, 4 if fourth_of(network) else 3), dtype=torch.uint8),),
                input_names=["image"],
                output_names=["logits"],
                dynamo=True,
                opset_version=_OPSET,
                dynamic_shapes={"image": {0: torch.export.Dim.DYNAMIC, 1: high, 2: wide}},
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    model = program.model_proto  # type: ignore[union-attr]
    # What torch says of each node's origin, with paths of this machine, is a tenth of an int8 file.
    for part in (model, model.graph, *model.graph.node, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    data: bytes = model.SerializeToString(deterministic=True)
    return data
