"""segdata benchmark-model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.ops.benchmark_model import Benchmark

_SHOWN = 5


def benchmark_model(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names, ONNX files or folders of training runs.")
    ],
    data: Annotated[str, typer.Option(metavar="DATASET", help="Photos and their masks.")],
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Only the photos of this split.")] = None,
    who: Annotated[
        Literal["all", "dominant", "auto"],
        typer.Option(help="Whom the masks hold; auto: the dominant person where no sample lists more than one."),
    ] = "auto",
    crop_to_person: Annotated[
        bool, typer.Option("--crop-to-person", help="Score inside the mask's box, scaled to a height of 1024 pixels.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of a network; mediapipe decides for itself.", show_default="one a core")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each photo that times are taken on.")] = 5,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Measure models on a data set: accuracy, size, cost and time a photo, as one table.

    Each model sees the same whole photos, one at a time, and is scored at its own threshold as evaluate scores. FLOPs
    are two for each multiply-add of convolutions and matrix products, at the network's input for these photos. Times
    are medians on up to 20 of the photos, warm: of the network alone, with scaling to its size and back, and with
    decoding. They hold for a machine that does nothing else. JSON has the scores of every photo too.

    \b
    Examples:
      segdata benchmark-model bundled mediapipe-selfie --data data --split test
      segdata benchmark-model run best.onnx --data data --threads 2 --json
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.ops.benchmark_model import benchmark_model as twin

    progress = TerminalProgress()
    try:
        found = twin(
            models,
            data,
            split=split,
            who=who,
            crop_to_person=crop_to_person,
            threads=threads,
            repeats=repeats,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(found)
    else:
        _show(found)
    failures = [failure for model in found.models for failure in model.evaluation.failures]
    for failure in failures[:_SHOWN]:
        echo(f"failed: {failure.message}", err=True)
    if failures:
        echo(f"{len(failures):,} failures; what failed is not in the figures", err=True)
    raise typer.Exit(1 if failures else 0)


def _show(found: Benchmark) -> None:
    from segdata.cli.output import show_table

    rows: list[tuple[str, ...]] = []
    for model in found.models:
        mean, std = model.evaluation.mean, model.evaluation.std
        rows.append(
            (
                model.model,
                model.who,
                f"{model.bytes / 1e6:.2f}",
                _number(model.parameters, 1e6, 2),
                _number(model.operations, 1e9, 2),
                _number(model.latency.network, 1, 1),
                f"{model.latency.photo:.1f}",
                f"{model.latency.decoded:.1f}",
                f"{100 * mean['iou']:.2f} ± {100 * std['iou']:.2f}",
                f"{100 * model.lowest_iou:.1f}",
                f"{100 * mean['contour_accuracy']:.2f} ± {100 * std['contour_accuracy']:.2f}",
            )
        )
    of_split = f", split {found.split}" if found.split else ""
    protocol = found.models[0].evaluation.settings
    sized = f"cropped to the mask's box, {protocol.height} pixels high" if protocol.height else "as stored"
    echo(f"{found.data}{of_split}: {found.photos:,} photos, masks of {found.who}, scored {sized}")
    show_table(
        (
            "model",
            "who",
            "MB",
            "M parameters",
            "GFLOPs",
            "network ms",
            "photo ms",
            "with decoding ms",
            "IoU %",
            "lowest IoU %",
            "contour accuracy %",
        ),
        rows,
    )
    threads = "threads as each runtime chooses" if found.threads is None else f"{found.threads} threads"
    echo(f"{found.processor}, {found.cores} cores, {threads}")


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"
