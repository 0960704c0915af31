"""The demo: a small data set from photos that need no download, through the whole chain to scores."""

from __future__ import annotations

from pathlib import Path

import msgspec

from segdata.demo import photos
from segdata.engine import Engine
from segdata.errors import InputError
from segdata.files import write_file
from segdata.recipe import StepResult, build
from segdata.steps import Progress
from segdata.storage import here

RECIPE = """\
[[step]]
command = "merge-coco"
annotations = "annotations.json"
images = "photos"
columns = ["source"]
out = "data"

[[step]]
command = "edges"
data = "data"
kind = "thick"
width = 4

[[step]]
command = "split"
data = "data"
group_by = "source"

[[step]]
command = "annotate"
data = "data"
out = "preds"

[[step]]
command = "evaluate"
preds = "preds"
gt = "data"
"""


def demo(out: str | Path, *, engine: Engine | None = None, progress: Progress | None = None) -> list[StepResult]:
    """Build the demo data set in `out`, segment its photos with the bundled model, and score the masks.

    Writes photos/ and annotations.json (six views of two persons and a cat, drawn by hand), recipe.toml (the chain of
    steps), data/ (the data set) and preds/ (the model's masks).
    A second run does nothing that is done. Raises `InputError` when `out` holds something else.

    >>> import tempfile
    >>> *_, scores = demo(tempfile.mkdtemp())
    >>> scores.command, scores.result.count
    ('evaluate', 7)
    """
    folder = here(out)
    _refuse_others(folder)
    write_file(folder / "recipe.toml", RECIPE.encode())  # first, as it tells a demo that was interrupted
    photos.write_photos(folder / "photos")
    write_file(folder / "annotations.json", msgspec.json.encode(photos.annotations()))
    return build(folder / "recipe.toml", engine=engine, progress=progress)


def _refuse_others(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file", "choose a folder that is empty or does not exist")
    recipe = folder / "recipe.toml"
    others = [path.name for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if others and not (recipe.is_file() and recipe.read_bytes() == RECIPE.encode()):
        raise InputError(f"{folder} holds other files, such as {others[0]}", "choose one that is empty or new")
