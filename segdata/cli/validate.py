"""segdata validate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers
from segdata.cli.terminal import echo

if TYPE_CHECKING:
    from segdata.quality.validate import Validation


def validate(
    data: Annotated[str, typer.Argument(metavar="DATASET|ANNOTATIONS", help="A data set, or a COCO file.")],
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="The photos of a COCO file, to be checked too.")
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column whose values must not be in two splits; may be repeated."),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(metavar="FILE.py", help="Rules of your own. The file is run as a program."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write every finding here, a line of JSON each."),
    ] = None,
    fix: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Write a new data set, or COCO file, with what needs no judgement mended."),
    ] = None,
    show: Annotated[int, typer.Option(min=0, metavar="N", help="Findings to show of each kind.")] = 5,
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a data set or COCO file.

    Finds files that are missing or broken, sizes and rotations that do not fit, masks, polygons and run lengths that
    are wrong, boxes, areas and keypoints that disagree with them, and what is there twice or in two splits. Ends with
    status 1 if there are errors or warnings (with --fix: if any are left), and 0 if there are none, or notes alone.

    \b
    Examples:
      segdata validate data
      segdata validate instances.json --images photos --out findings.jsonl
      segdata validate data --fix mended
      segdata validate data --rules my_rules.py --json
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress, print_json
    from segdata.quality.validate import validate as twin

    progress = TerminalProgress()
    try:
        result = twin(
            data,
            images=images,
            groups=group_by or (),
            rules=rules,
            out=out,
            fix=fix,
            shown=show,
            engine=engine_of(engine, workers, scheduler),
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        print_json(result)
    else:
        show_validation(result)
    raise typer.Exit(1 if result.left else 0)


def show_validation(result: Validation) -> None:
    """Print the kinds of findings, the gravest first, and the first findings of each."""
    from segdata.cli.output import show_table
    from segdata.wording import amount

    if result.kinds:
        show_table(
            ("finding", "severity", "count", "samples", "what is wrong"),
            [(kind.code, kind.severity, f"{kind.count:,}", f"{kind.samples:,}", kind.what) for kind in result.kinds],
        )
    for kind in result.kinds:
        if not kind.first:
            continue
        echo(f"{kind.severity} {kind.code}: {kind.remedy}")
        for finding in kind.first:
            echo(f"  {finding.message}" + (f": {finding.remedy}" if finding.remedy != kind.remedy else ""))
        if kind.count > len(kind.first):
            echo(f"  ... and {kind.count - len(kind.first):,} more")
    if result.kinds:
        echo("")
    counts = (amount(result.errors, "error"), amount(result.warnings, "warning"), amount(result.notes, "note"))
    echo(f"validate: {result.data}, a {result.of} of {amount(result.samples, 'sample')}: {', '.join(counts)}")
    if result.findings is not None:
        echo(f"all findings -> {result.findings}")
    if result.fixed is not None:
        mended = ", ".join(f"{code} {count:,}" for code, count in result.mended.items()) or "nothing"
        echo(f"mended: {mended} -> {result.fixed}")
    elif any(kind.mendable for kind in result.kinds):
        count = sum(kind.mendable for kind in result.kinds)
        echo(f"--fix OUT mends {count:,} of them")
