"""segdata evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segdata.choices import Missing
from segdata.cli.options import EngineOption, Json, Scheduler, Void, Workers
from segdata.errors import InputError

if TYPE_CHECKING:
    from segdata.quality.evaluate import Comparison


def evaluate(
    preds: Annotated[list[str], typer.Argument(metavar="PREDS", help="Predictions: data sets or folders of masks.")],
    gt: Annotated[str, typer.Argument(metavar="GT", help="The ground truth, likewise.")],
    threshold: Annotated[
        str | None, typer.Option(metavar="T|sweep", help="Read probability maps; sweep finds the best threshold.")
    ] = None,
    void: Void = None,
    height: Annotated[int | None, typer.Option(min=1, metavar="PIXELS", help="Scale masks to this height.")] = None,
    crop_to_gt: Annotated[bool, typer.Option("--crop-to-gt", help="Crop to the ground truth's box first.")] = False,
    tolerance: Annotated[
        float, typer.Option(help="Of contour accuracy: a share of the diagonal, or pixels from 1 on.")
    ] = 0.008,
    dilation: Annotated[float, typer.Option(help="Of boundary IoU: a share of the diagonal.")] = 0.02,
    missing: Annotated[Missing, typer.Option(help="Files without a partner: an error, or skipped.")] = "error",
    resize: Annotated[bool, typer.Option("--resize", help="Scale predictions of another size.")] = False,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the scores of every sample here.")] = None,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Score masks against ground truth.

    IoU, contour accuracy, boundary IoU, precision and recall. PREDS and GT are data sets or plain folders of masks;
    files match by name without suffix. With several PREDS each is compared with the first, with 95 % intervals of a
    paired bootstrap. JSON and CSV hold fractions from 0 to 1, the table percent.

    \b
    Examples:
      segdata evaluate preds gt
      segdata evaluate preds gt --height 1024 --crop-to-gt --csv scores.csv
      segdata evaluate probabilities gt --threshold sweep
      segdata evaluate mine theirs gt --json
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress
    from segdata.cli.results import end_with
    from segdata.quality.evaluate import compare

    progress = TerminalProgress()
    try:
        comparison = compare(
            preds,
            gt,
            threshold=_parse_threshold(threshold),
            void=void,
            height=height,
            crop_to_gt=crop_to_gt,
            tolerance=tolerance,
            dilation=dilation,
            missing=missing,
            resize=resize,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if csv is not None:
        _write_csv(comparison, csv)
    end_with(comparison if len(preds) > 1 else comparison.predictors[0], as_json=as_json)


def _parse_threshold(text: str | None) -> float | Literal["sweep"] | None:
    if text is None:
        return None
    if text == "sweep":
        return "sweep"
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"the threshold {text!r} is neither a probability nor 'sweep'", "give one from 0 to 1"
        ) from error


def _write_csv(comparison: Comparison, path: str) -> None:
    import csv
    import io

    import msgspec

    from segdata.files import write_file

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, evaluation in enumerate(comparison.predictors):
        for sample in evaluation.samples:
            row = {"predictor": evaluation.predictor, **msgspec.structs.asdict(sample)}
            if number == 0 and sample is evaluation.samples[0]:
                writer.writerow(row)
            writer.writerow(row.values())
    write_file(path, text.getvalue().encode())
