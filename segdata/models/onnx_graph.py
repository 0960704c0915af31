"""A network as an ONNX graph."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch

from segdata.errors import InputError
from segdata.models.deploy import Deployed

if TYPE_CHECKING:
    from segdata.models.alisnet import ALiSNet

_OPSET = 20
_EXAMPLE = (2, 384, 320, 3)  # two different sides and a batch, lest one be taken for another


def onnx_graph(network: ALiSNet) -> bytes:
    """Give a network as an ONNX model: input `image` uint8 (N, H, W, 3), output `logits` float32 (N, K, h, w).

    N is free, H and W are any multiples of 32. Normalisation is inside. Raises `InputError` without the package `onnx`.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 - what torch turns graphs into ONNX with
    except ImportError as error:
        raise InputError("export to ONNX needs more packages", "pip install 'segdata[train]'") from error
    free = torch.export.Dim.DYNAMIC
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of torch about its own exporter
            program = torch.onnx.export(
                Deployed(network),
                (torch.zeros(_EXAMPLE, dtype=torch.uint8),),
                input_names=["image"],
                output_names=["logits"],
                dynamo=True,
                opset_version=_OPSET,
                dynamic_shapes={"image": {0: free, 1: free, 2: free}},
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
