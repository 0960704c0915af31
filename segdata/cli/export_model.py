"""segdata export-model."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import ModelFormat
from segdata.cli.options import Json, Seed
from segdata.cli.terminal import echo


def export_model(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a training run.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")],
    format: Annotated[ModelFormat, typer.Option(help="What the file is.")] = "onnx",  # noqa: A002
    photos: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Data set or folder of photos to calibrate and compare on.",
            show_default="the data of the run, or the demo's photos",
        ),
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Pooled IoU with the network's masks that the file must reach.",
            show_default="0.999, int8 0.98, safetensors 1",
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a network with branches for domains: that of one alone."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the model is called in outputs.", show_default="the file's name")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Probability from which on a pixel is a person's.")
    ] = 0.5,
    licence: Annotated[str, typer.Option(help="Of the weights, for whoever gets the file.")] = "",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the best network of a training run as one file, if it gives the network's masks.

    onnx is float32; onnx-int8 has a quarter of its size and takes half of its time; both run with
    annotate --model FILE and need ONNX Runtime alone. safetensors holds weights and settings for torch, executorch a
    program for telephones. Each file is run on photos beside the network, and not written where the masks differ by
    more than --bound. Needs: pip install 'segdata[train]'.

    \b
    Examples:
      segdata export-model run --format onnx-int8 --photos data --out model.onnx
      segdata export-model run --format safetensors --out model.safetensors
    """
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.models.export import export_model as twin

    progress = TerminalProgress()
    try:
        export = twin(
            run,
            out,
            format=format,
            photos=photos,
            bound=bound,
            name=name,
            threshold=threshold,
            domain=domain,
            licence=licence,
            seed=seed,
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(export)
        return
    found = export.disagreement
    echo(f"export-model: {export.format}, {export.bytes / 1e6:.2f} MB -> {export.out}")
    echo(
        f"masks against the network's on {found.photos:,} photos: pooled IoU {100 * found.pooled_iou:.2f} % "
        f"(at least {100 * export.bound:g} %), mean {100 * found.iou:.2f} %, "
        f"{100 * found.pixels:.3f} % of the pixels differ, probabilities by up to {found.probability:.2g}"
    )
