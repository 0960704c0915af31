"""segdata annotate."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer

from segdata.choices import Who
from segdata.cli.options import EngineOption, Json, Out, Scheduler, Shards, Workers


def annotate(
    out: Out,
    data: Annotated[
        str | None, typer.Argument(metavar="IMAGES|DATASET", help="A folder of photos, or a data set.")
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(metavar="FILE|FRAMES", help="Instead: a video, or a folder of its frames in order of name."),
    ] = None,
    prior: Annotated[
        bool,
        typer.Option(
            "--prior/--no-prior", help="Show a model that takes it the mask of the frame before; for --video."
        ),
    ] = True,
    model: Annotated[
        str,
        typer.Option(metavar="NAME|FILE|RUN", help="bundled, mediapipe-selfie, mediapipe-pose, a FILE.onnx or a RUN."),
    ] = "bundled",
    who: Annotated[
        Who | None,
        typer.Option(help="Everyone in a photo, or its dominant person alone.", show_default="the model's"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="T", help="Probability from which on a pixel is a person's.", show_default="the model's"),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write 16-bit probability maps, to probabilities/.")
    ] = False,
    copy_photos: Annotated[
        bool, typer.Option("--copy-photos", help="Also copy the photos, to images/, for a data set to train on.")
    ] = False,
    refine: Annotated[
        bool, typer.Option("--refine", help="Look at persons who are small a second time, closer.")
    ] = False,
    flips: Annotated[bool, typer.Option("--flips", help="Average over each photo and its mirror image.")] = False,
    tiles: Annotated[
        bool, typer.Option("--tiles/--no-tiles", help="Look at contours in very large photos again, closer.")
    ] = True,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Photos given to the model together; for GPUs.")] = 1,
    shards: Shards = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Give photos a first mask of their persons.

    Writes a data set: masks/ and metadata.jsonl, where confidence and uncertainty tell which masks a person should look
    at first. Of a video it also measures how much the masks flicker. Works offline with the model that comes with
    segdata. Run it again to go on after an interruption, or to do what has changed; a video begins anew.

    \b
    Examples:
      segdata annotate photos --out preds
      segdata annotate photos --out preds --who dominant --refine --flips
      segdata annotate --video clip.mp4 --out preds --model rcrnet-run
      segdata annotate data --out preds --model finetuned.onnx --probabilities
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.errors import InputError
    from segdata.ops.annotate import annotate as twin

    if (data is None) == (video is None):
        raise InputError("annotate takes photos or a video", "give IMAGES, a DATASET, or --video FILE")
    if video is not None:
        if engine == "dask":
            raise InputError("a video is one run of frames, which no cluster can share", "leave --engine away")
        _annotate_video(
            video,
            out=out,
            model=model,
            who=who,
            threshold=threshold,
            prior=prior,
            probabilities=probabilities,
            copy_photos=copy_photos,
            flips=flips,
            refine=refine,
            as_json=as_json,
        )
    run_command(
        twin,
        data,
        out=out,
        model=model,
        who=who,
        threshold=threshold,
        probabilities=probabilities,
        copy_photos=copy_photos,
        flips=flips,
        refine=refine,
        tiles=tiles,
        batch=batch,
        shards=shards,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )


def _annotate_video(video: str, *, as_json: bool, **settings: Any) -> NoReturn:
    from segdata.cli.output import TerminalProgress
    from segdata.cli.results import end_with
    from segdata.ops.annotate_video import annotate_video

    progress = TerminalProgress()
    try:
        result = annotate_video(video, **settings, progress=progress)
    finally:
        progress.close()
    end_with(result, as_json=as_json)
