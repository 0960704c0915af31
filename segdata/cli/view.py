"""segdata view."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo


def view(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    sheet: Annotated[str, typer.Option("--sheet", "-o", metavar="FILE", help="Picture to write, .png or .jpg.")],
    show: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="What to draw in, joined by commas: mask, outline, edges, saliency, keypoints, boxes, "
            "and with --preds difference, errors; photo for nothing.",
        ),
    ] = "mask,outline",
    where: Annotated[str | None, typer.Option(metavar="EXPR", help="Which samples, see segdata filter --help.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Lowest first; with - before it, highest first.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draw samples at random, by this seed.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many photos.")] = 24,
    columns: Annotated[int, typer.Option(min=1, help="How many beside each other.")] = 6,
    width: Annotated[int, typer.Option(min=1, help="Width of the sheet in pixels.")] = 1800,
    preds: Annotated[
        str | None, typer.Option(metavar="DIR", help="Masks of a model, to compare the data set's with.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="The photos, for what annotate wrote without them.")
    ] = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Draw a contact sheet with overlays.

    Shows photos with their masks, edges, keypoints and so on.

    \b
    Examples:
      segdata view data --sheet sheet.png
      segdata view data --sheet sheet.jpg --show keypoints,boxes --where 'persons >= 3'
      segdata view preds --images photos --sheet unsure.png --show outline --sort confidence
      segdata view data --sheet differences.png --preds preds --show difference
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.report.picture import parse_show
    from segdata.report.sheet import view as twin

    progress = TerminalProgress()
    try:
        found = twin(
            data,
            sheet=sheet,
            show=parse_show(show),
            where=where,
            sort=sort,
            seed=seed,
            count=count,
            columns=columns,
            width=width,
            preds=preds,
            images=images,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(found)
    else:
        echo(f"view: {len(found.keys):,} of {found.fitting:,} samples -> {found.sheet}")
    for key, problem in found.problems.items():
        echo(f"failed: {key}: {problem}", err=True)
    raise typer.Exit(1 if found.problems else 0)
