"""What says how good a mask is beside the data set's own columns: a file of scores, and predictions to compare with."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segdata.dataset import Dataset, Row, open_rows
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.report.review.images import read_mask
from segdata.report.review.places import Place
from segdata.report.review.store import Agreement, Store
from segdata.steps import Progress
from segdata.storage import as_path

AGREEMENT = "agreement"
CONTRADICTION = "contradiction"
_FROM_PREDS = ("uncertainty", "confidence")
Columns = dict[str, dict[str, float]]


def read_scores(path: str | Path) -> Columns:
    """Read the columns of numbers of a file of scores: CSV with a column `key`, or the JSON of evaluate.

    Gives by name the values by key; of several predictors those of the first. Raises `InputError` that names the file.
    """
    file = as_path(path)
    try:
        data = read_file(file)
        rows = _json_rows(data) if data.lstrip()[:1] == b"{" else csv.DictReader(io.StringIO(data.decode()))
        columns = _columns(rows)
    except SampleError as error:
        raise InputError(error.message, "check the path") from error
    except (msgspec.DecodeError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error})", "give what evaluate --csv or --json writes") from error
    if not columns:
        raise InputError(f"{file} holds no scores of keys", "give what evaluate --csv or --json writes")
    return columns


class _Scored(msgspec.Struct):
    samples: list[dict[str, Any]] | None = None
    predictors: list[_Scored] | None = None


def _json_rows(data: bytes) -> list[dict[str, Any]]:
    found = msgspec.json.decode(data, type=_Scored)
    first = found.predictors[0] if found.predictors else found
    return first.samples or []


def _columns(rows: Iterable[dict[str, Any]]) -> Columns:
    columns: Columns = {}
    for row in rows:
        key = row.get("key")
        if not isinstance(key, str):
            continue
        for name, value in row.items():
            number = _number(value)
            if name is not None and name != "key" and number is not None:
                columns.setdefault(name, {}).setdefault(key, number)
    return columns


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class Predictions:
    """The masks of a data set or plain folder of predictions, by key. Raises `InputError` where it has none."""

    def __init__(self, folder: str | Path) -> None:
        root, rows = open_rows(folder, "mask_file_name")
        self.place = Place(root)
        self.names: dict[str, str] = {}
        self.columns: Columns = {}
        for row in rows():
            name = row.get("mask_file_name")
            if isinstance(name, str):
                self.names[row["key"]] = name
            for column in _FROM_PREDS:
                number = _number(row.get(column))
                if number is not None:
                    self.columns.setdefault(column, {})[row["key"]] = number
        if not self.names:
            raise InputError(f"{folder} names no masks", "give a data set with masks, or a folder of mask images")


class _Pair(msgspec.Struct, frozen=True):
    key: str
    mask: str
    pred: str
    mark: str


def measure_agreement(
    dataset: Dataset,
    preds: Predictions,
    store: Store,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Columns:
    """Compare each stored mask with its prediction; what cannot be compared is left out.

    Gives the columns `agreement`, the IoU, and `contradiction`, which ranks masks: the geometric mean of 1 - IoU, which
    alone would put the smallest persons first, and of the share of the photo that differs, which alone would put the
    largest first, times the fourth power of the prediction's confidence where it states one, for most of what
    differs is where the model was not sure. What was measured of the same files before is taken from the store.
    """
    kept = store.agreements()
    found: dict[str, Agreement] = {}
    new: list[_Pair] = []
    place = Place(dataset.root)
    for row in dataset.rows():
        pair = _pair(row, place, preds)
        if pair is not None and pair.key in kept and kept[pair.key].mark == pair.mark:
            found[pair.key] = kept[pair.key]
        elif pair is not None:
            new.append(pair)
    if new:
        measured = dict(_measured(new, engine or Inline(), progress))
        store.keep_agreements(measured)
        found |= measured
    return {
        AGREEMENT: {key: each.iou for key, each in found.items() if each.iou is not None},
        CONTRADICTION: {
            key: math.sqrt((1 - each.iou) * each.differing) * _trust(preds, key)
            for key, each in found.items()
            if each.iou is not None and each.differing is not None
        },
    }


def _trust(preds: Predictions, key: str) -> float:
    return min(1.0, max(0.0, preds.columns.get("confidence", {}).get(key, 1.0))) ** 4


def _measured(pairs: list[_Pair], engine: Engine, progress: Progress | None) -> Iterator[tuple[str, Agreement]]:
    if progress is not None:
        progress.begin("compare", len(pairs))
    with closing(engine.map(_compare, pairs)) as results:
        for pair, result in zip(pairs, results, strict=True):
            yield pair.key, Agreement(pair.mark, None, None) if isinstance(result, Lost) else result
            if progress is not None:
                progress.advance()


def _pair(row: Row, place: Place, preds: Predictions) -> _Pair | None:
    name = preds.names.get(row["key"])
    if name is None or not row.get("mask_file_name"):
        return None
    try:
        mask, pred = place.find(row["mask_file_name"]), preds.place.find(name)
    except SampleError:
        return None
    states = [os.stat(path) for path in (mask, pred)]  # noqa: PTH116
    mark = " ".join(f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}" for state in states)
    return _Pair(row["key"], str(mask), str(pred), mark)


def _compare(pair: _Pair) -> Agreement:
    try:
        mask, pred = read_mask(read_file(pair.mask), pair.mask), read_mask(read_file(pair.pred), pair.pred).person
    except SampleError:
        return Agreement(pair.mark, None, None)
    if mask.person.shape != pred.shape or not pred.size:
        return Agreement(pair.mark, None, None)
    if mask.void is not None:
        pred = pred & ~mask.void
    union = np.count_nonzero(mask.person | pred)
    differing = np.count_nonzero(mask.person != pred)
    return Agreement(pair.mark, (union - differing) / union if union else 1.0, differing / pred.size)
