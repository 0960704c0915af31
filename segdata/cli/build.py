"""segdata build."""

from __future__ import annotations

from typing import Annotated

import typer

from segdata.cli.options import EngineOption, Json, Scheduler, Workers


def build(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="TOML file with a list of [[step]] tables.")],
    workers: Workers = None,
    engine: EngineOption = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Run a chain of commands from one file.

    Each [[step]] names a command and its arguments, as the library function of that name takes them; paths are relative
    to the file. Steps that are up to date do nothing, so a chain that was interrupted goes on where it was.

    \b
    A recipe:
      [[step]]
      command = "merge-coco"
      annotations = "instances.json"
      images = "photos"
      out = "data"
      \b
      [[step]]
      command = "crop"
      data = "data"
      sources = ["keypoints", "mask"]
      out = "crops"

    \b
    Example:
      segdata build recipe.toml
    """
    from segdata.cli.engines import engine_of
    from segdata.cli.output import TerminalProgress
    from segdata.cli.results import end_with_steps
    from segdata.cli.train import show_epoch
    from segdata.recipe import build as twin

    progress = TerminalProgress()
    try:
        results = twin(recipe, engine=engine_of(engine, workers, scheduler), progress=progress, epochs=show_epoch)
    finally:
        progress.close()
    end_with_steps(results, as_json=as_json)
