"""segdata grade-domains."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.choices import FaceDetectorName, FaceSource
from segdata.cli.options import EngineOption, Json, Scheduler, Workers


def grade_domains(
    data: Annotated[str, typer.Argument(metavar="DATASET|PHOTOS", help="A data set, or a folder of photos.")],
    faces: Annotated[
        FaceSource, typer.Option(help="Find faces, take the annotated ones, or derive them from keypoints.")
    ] = "detect",
    detector: Annotated[FaceDetectorName, typer.Option(help="How faces are found.")] = "multi-pass",
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="CSV file for the grades.")] = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Sort photos into six domains by face ratio.

    The ratio is the share of the photo that the dominant person's face box fills: head shot 30 % or more, close shot
    10 %, half body 5 %, whole body 0.5 %, far shot less, no face. A data set gets the columns domain, face_box and
    face_ratio in place. Faces are found by detectors: pip install 'segdata[detect]'.

    \b
    Examples:
      segdata grade-domains data
      segdata grade-domains photos --out grades.csv
      segdata grade-domains data --faces keypoints
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.run import run_command
    from segdata.ops.grade_domains import grade_domains as twin

    run_command(
        twin,
        data,
        faces=faces,
        detector=detector,
        out=out,
        engine=engine_of(engine, workers, scheduler),
        as_json=as_json,
    )
