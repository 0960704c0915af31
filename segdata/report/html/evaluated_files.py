"""The files behind an evaluation: of each sample its photo, its true mask and the predictions that were scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdata.dataset import Row, find_images, open_rows
from segdata.errors import InputError, SampleError
from segdata.quality.evaluate import Evaluation
from segdata.report.html.samples import Pair, Prediction
from segdata.report.picture import photo_path
from segdata.sample import path_of
from segdata.storage import as_path

_PROBABILITY = "probability_file_name"


class EvaluatedFiles:
    """Finds the files of evaluated samples, from what the evaluations say of their folders, and photos in `images`.

    Raises `InputError` where a folder is not there any more.
    """

    def __init__(self, evaluations: Sequence[Evaluation], images: Path | None) -> None:
        self.evaluations = evaluations
        self.images = images
        keys = {sample.key for evaluation in evaluations for sample in evaluation.samples}
        gt = evaluations[0].settings.gt
        self.truth = _rows_of(gt, keys)
        self.preds = [_rows_of(each.predictor, keys) for each in evaluations]
        self.scores = [{sample.key: sample for sample in each.samples} for each in evaluations]
        self.photos = {} if images is None else find_images(images)

    def pair(self, key: str, facts: str, models: Sequence[tuple[int, str]]) -> Pair:
        """Give what draws a sample: with the predictions of the models of these numbers, under these names."""
        preds = []
        truth = self._mask(self.truth, key, "mask_file_name")
        for number, name in models:
            evaluation, threshold = self.evaluations[number], self.evaluations[number].settings.threshold
            if threshold == "sweep":
                threshold = evaluation.best.threshold if evaluation.best is not None else None
            path = self._mask(self.preds[number], key, "mask_file_name" if threshold is None else _PROBABILITY)
            if path is None or truth is None:
                folder = evaluation.settings.gt if truth is None else evaluation.predictor
                return Pair(key, facts, missing=f"{folder} no longer holds a mask of {key}")
            preds.append(Prediction(name, path, threshold, self.scores[number][key]))
        return Pair(key, facts, self._photo(key, models[0][0]), truth or "", tuple(preds))

    @staticmethod
    def _mask(found: tuple[Path, dict[str, Row]], key: str, column: str) -> str | None:
        root, rows = found
        row = rows.get(key, {})
        name = row.get(column) or row.get("mask_file_name")
        return str(root / path_of(name)) if name else None

    def _photo(self, key: str, number: int) -> str | None:
        for root, rows in (self.truth, self.preds[number]):
            try:
                return str(photo_path(root, rows[key], self.images))
            except (KeyError, SampleError):
                continue
        photo = self.photos.get(key)
        return None if photo is None else str(photo)


def _rows_of(folder: str, keys: set[str]) -> tuple[Path, dict[str, Row]]:
    """Give the rows of the samples, less what is not needed to find their files."""
    if not as_path(folder).is_dir():
        raise InputError(
            f"the masks of {folder} are not there",
            "make the report in the folder where evaluate ran, or say --count 0 for one without pictures",
        )
    root, rows = open_rows(folder, "mask_file_name")
    columns = ("key", "file_name", "photo", "mask_file_name", _PROBABILITY)
    return root, {row["key"]: {name: row.get(name) for name in columns} for row in rows() if row["key"] in keys}
