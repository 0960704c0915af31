"""The files behind an evaluation: of each sample its photo, its true mask and the predictions that were scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdata.dataset import Row, find_images, open_rows
from segdata.errors import InputError, SampleError
from segdata.quality.evaluate import Evaluation, SampleScores
from segdata.report.html.samples import Pair
from segdata.report.picture import photo_path
from segdata.sample import path_of

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
        self.photos = {} if images is None else find_images(images)

    def pair(self, sample: SampleScores, facts: str, preds: Sequence[tuple[int, str]]) -> Pair:
        """Give what draws a sample: with the predictions of the models of these numbers, under these names."""
        files = []
        for number, name in preds:
            column = "mask_file_name" if self.evaluations[number].settings.threshold is None else _PROBABILITY
            files.append((name, self._mask(self.preds[number], sample.key, column)))
        truth = self._mask(self.truth, sample.key, "mask_file_name")
        return Pair(
            sample.key, facts, self._photo(sample.key, preds[0][0]), truth, tuple(files), sample.tolerance_pixels
        )

    @staticmethod
    def _mask(found: tuple[Path, dict[str, Row]], key: str, column: str) -> str:
        root, rows = found
        row = rows.get(key, {})
        name = row.get(column) or row.get("mask_file_name")
        return str(root / path_of(name)) if name else str(root / key)

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
    if not Path(folder).is_dir():
        raise InputError(
            f"the masks of {folder} are not there",
            "make the report in the folder where evaluate ran, or say --count 0 for one without pictures",
        )
    root, rows = open_rows(folder, "mask_file_name")
    columns = ("key", "file_name", "photo", "mask_file_name", _PROBABILITY)
    return root, {row["key"]: {name: row.get(name) for name in columns} for row in rows() if row["key"] in keys}
