"""segdata demo."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import Json


def demo(
    out: Annotated[str, typer.Argument(metavar="DIR", help="Folder to build the demo in.")],
    as_json: Json = False,
) -> None:
    """Build a small data set and score masks on it.

    Needs no download: the photos come with scikit-image, the masks that are scored from the bundled model. It leaves
    photos/, annotations.json, recipe.toml, data/ and preds/ in OUT, so that every step can be repeated by hand.

    \b
    Example:
      segdata demo first-steps
    """
    from segdata.cli.output import TerminalProgress
    from segdata.cli.results import end_with_steps
    from segdata.demo.demo import demo as twin

    progress = TerminalProgress()
    try:
        steps = twin(out, progress=progress)
    finally:
        progress.close()
    end_with_steps(steps, as_json=as_json)
