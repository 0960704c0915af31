"""Rank the samples of a data set by how far a model contradicts their masks: where to look for label errors first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec

from segdata.dataset import METADATA, Dataset, Row, RowIndex, find_images
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.journal import Report
from segdata.pixels import decode_mask, decode_probability
from segdata.quality.label_errors import disagreement
from segdata.sample import path_of
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "rank-labels"
COLUMNS = ("disagreement", "disagreement_lacking", "disagreement_surplus", "disagreement_contour")


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """A sample whose mask a model contradicts: see `segdata.quality.label_errors.Disagreement`."""

    key: str
    disagreement: float
    lacking: float
    surplus: float
    contour: float


class Ranking(msgspec.Struct, frozen=True):
    """What the step did, and the samples with the highest disagreement, the worst first."""

    report: Report
    worst: list[Suspect]


def rank_labels(
    data: str | Path,
    preds: str | Path,
    *,
    count: int = 20,
    void: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Measure for every sample how far a model contradicts its mask.

    Parameters
    ----------
    data : the data set, which gets the columns `disagreement`, the higher the likelier the mask is wrong, and
        `disagreement_lacking`, `disagreement_surplus`, `disagreement_contour`, what it is made of, in place.
    preds : the model's probability maps, matched by key: what ``annotate --probabilities`` wrote for `data`, or a
        folder of 8- or 16-bit images. The model should not have been trained on these masks.
    count : how many of the worst samples to give.
    void : value of mask pixels that count nowhere.

    Raises
    ------
    InputError
        For what is no data set, predictions without probabilities, and a count below 1.
    StorageError
        When the place takes no more.
    """
    dataset = Dataset(data)
    if count < 1:
        raise InputError(f"the worst {count} samples are none", "give 1 or more")
    work = RankLabel(str(dataset.root), str(preds), RankSettings(void))
    with ExitStack() as stack:
        maps = _Maps(as_path(preds), stack)
        if not any(maps.path_of(row["key"]) for row in dataset.rows()):
            raise InputError(f"{preds} has no probability map of any sample of {data}", "annotate this data set")

        def samples() -> Iterator[tuple[str, tuple[Row, str | None]]]:
            for row in dataset.rows():
                yield row["key"], (row, maps.path_of(row["key"]))

        report = run_step(
            STEP,
            dataset.root,
            work,
            samples(),
            engine=engine,
            progress=progress,
            total=len(dataset),
            in_place=True,
        )
    found = (_suspect(row) for row in dataset.rows() if isinstance(row.get(COLUMNS[0]), int | float))
    worst = heapq.nsmallest(count, found, key=lambda each: (-each.disagreement, each.key))
    return Ranking(report, worst)


def _suspect(row: Row) -> Suspect:
    return Suspect(row["key"], *(row[column] for column in COLUMNS))


class _Maps:
    """Finds the probability map of a key."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self.index: RowIndex | None = None
        self.files: dict[str, Path] = {}
        if (root / METADATA).is_file():
            first = next(iter(Dataset(root).rows()), {})
            if not first.get("probability_file_name"):
                raise InputError(f"{root} has no probability maps", "make them with annotate --probabilities")
            self.index = stack.enter_context(closing(RowIndex(root / METADATA)))
        else:
            self.files = find_images(root)
            if not self.files:
                raise InputError(f"{root} holds no probability maps", "make them with annotate --probabilities")

    def path_of(self, key: str) -> str | None:
        """Give the path of a key's map, or None."""
        if self.index is None:
            path = self.files.get(key)
            return None if path is None else str(path)
        line = self.index.find(key)
        name = None if line is None else msgspec.json.decode(line[1]).get("probability_file_name")
        with suppress(SampleError):  # a name that leads out of the folder
            return join_path(self.root, path_of(name)) if isinstance(name, str) and name else None
        return None


class RankSettings(msgspec.Struct, frozen=True):
    """What counts nowhere."""

    void: int | None


class RankLabel(msgspec.Struct, frozen=True):
    """The work on one sample."""

    root: str
    preds: str
    settings: RankSettings

    def __call__(self, key: str, payload: tuple[Row, str | None], previous: Row | None) -> Result:
        """Compare the mask with the map, and give the row with how far they disagree."""
        row, path = payload
        if path is None:
            raise SampleError("no-prediction", f"{self.preds} has no probability map of {key}", "annotate it too")
        name = row.get("mask_file_name")
        if not isinstance(name, str) or not name:
            raise SampleError("no-mask", f"{key} of {self.root} has no mask")
        mask_path = join_path(self.root, path_of(name))
        mask_bytes, map_bytes = read_file(mask_path), read_file(path)
        mark = mark_of(self.settings, mask_bytes, map_bytes)
        if previous is not None and unchanged(previous, STEP, mark, self.root, ()):
            kept = {column: previous.get(column) for column in COLUMNS}
            return Result(updated(row, STEP, mark, kept), fresh=False)
        mask, void = decode_mask(mask_bytes, mask_path, self.settings.void)
        probability = decode_probability(map_bytes, path)
        if probability.shape != mask.shape:
            raise SampleError(
                "size-mismatch",
                f"{path} has {probability.shape[1]} x {probability.shape[0]} pixels, {mask_path} {mask.shape[1]} x "
                f"{mask.shape[0]}",
                "annotate the photos of this data set",
            )
        found = disagreement(mask, probability, void=void)
        values = (found.score, found.lacking, found.surplus, found.contour)
        columns = {column: round(value, 4) for column, value in zip(COLUMNS, values, strict=True)}
        return Result(updated(row, STEP, mark, columns), fresh=True)
