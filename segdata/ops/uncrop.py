"""Paste predictions for crops back into masks of the photos' size."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Dataset, Row, open_rows
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.ops.crop_geometry import Crop
from segdata.ops.crop_geometry import uncrop as paste
from segdata.pixels import decode_labels, decode_probability, encode_png
from segdata.sample import encode, key_of
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "uncrop"
_DEPTHS = [np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.uint16)]


def uncrop(
    preds: str | Path,
    crops: str | Path,
    *,
    out: str | Path,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write predictions at the size of the photos that `crop` was given.

    Parameters
    ----------
    preds : masks or probability maps for the crops, a data set or a folder; they match by the crop's key. One of
        another size than its crop is scaled to it.
    crops : the data set that `crop` wrote.
    out : folder for the results, under the photos' keys. Where a photo has several crops, the maximum counts; outside
        them it is 0. Masks keep their values (also 0, 1 and 255 with ignored pixels), and all files their depth; where
        the crops of one photo differ in depth, the highest is taken. A photo any of whose crops has no prediction
        fails.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Raises `InputError` for folders without images, or where `crops` was not written by `crop`, and `StorageError`.
    """
    dataset = Dataset(crops)
    pred_root, pred_rows = open_rows(preds, "mask_file_name")
    files = {
        row["key"]: join_path(pred_root, row["mask_file_name"]) for row in pred_rows() if row.get("mask_file_name")
    }
    photos: dict[str, list[_Crop]] = {}
    for row in dataset.rows():
        try:
            crop = msgspec.convert(row, _Cropped)
            key_of(crop.crop_of)  # the result is named by it
        except (msgspec.ValidationError, SampleError) as error:
            raise InputError(
                f"{row['key']} of {dataset.root} is no crop", "give the data set that segdata crop wrote"
            ) from error
        width, height = crop.crop_of_size
        photos.setdefault(crop.crop_of, []).append(_Crop(crop.key, files.get(crop.key), crop.crop, (height, width)))

    def samples() -> Iterator[tuple[str, list[_Crop]]]:
        yield from photos.items()

    work, total = Uncrop(str(out)), len(photos)
    return run_step(STEP, as_path(out), work, samples(), engine=engine, progress=progress, shards=shards, total=total)


class _Cropped(msgspec.Struct):
    """What a row of `crop` says of the way back."""

    key: str
    crop: Crop
    crop_of: str
    crop_of_size: tuple[int, int]


class _Crop(NamedTuple):
    key: str
    pred: str | None
    box: Crop
    shape: tuple[int, int]


class _Nothing(msgspec.Struct, frozen=True):
    pass


class Uncrop(msgspec.Struct, frozen=True):
    """The work on one photo."""

    out: str

    def __call__(self, key: str, payload: list[_Crop], previous: Row | None) -> Result:
        """Paste all crops of a photo, write the result, and give the row."""
        parts = []
        for crop in payload:
            if crop.pred is None:
                raise SampleError("missing-file", f"there is no prediction for {crop.key}, a crop of {key}")
            parts.append(read_file(crop.pred))
        mark = mark_of(_Nothing(), encode([(crop.box, crop.shape) for crop in payload]), *parts)
        name = f"{key}.png"
        columns: Row = {"key": key, "mask_file_name": name}
        if unchanged(previous, STEP, mark, self.out, ("mask_file_name",)):
            return Result(updated(previous, STEP, mark, columns), fresh=False)
        pasted = [_pasted(crop, data) for crop, data in zip(payload, parts, strict=True)]
        write_file(join_path(self.out, name), encode_png(functools.reduce(np.maximum, _of_one_depth(pasted))))
        return Result(updated(previous, STEP, mark, columns), fresh=True)


def _pasted(crop: _Crop, data: bytes) -> npt.NDArray[Any]:
    """Paste one prediction in the type that it is stored in: bool, uint8 or uint16."""
    name = str(crop.pred)
    labels = decode_labels(data, name)
    if labels.dtype == np.bool_:
        pasted: npt.NDArray[Any] = paste(labels, crop.box, crop.shape)
        return pasted
    full, kind = (255, np.uint8) if labels.dtype == np.uint8 else (65535, np.uint16)
    highest = labels.max(initial=0)
    if ((labels == 0) | (labels == 1) | (labels == highest)).all():  # a mask, perhaps with ignored pixels
        person, ones = paste(labels == highest, crop.box, crop.shape), paste(labels == 1, crop.box, crop.shape)
        pasted = np.where(person, highest, ones).astype(kind)
    else:
        pasted = np.rint(paste(decode_probability(data, name), crop.box, crop.shape) * full).astype(kind)
    return pasted


def _of_one_depth(arrays: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Scale arrays to the highest depth among them: a set bit is 255, and that is 65535."""
    deepest = max((array.dtype for array in arrays), key=_DEPTHS.index)
    if deepest != np.bool_:
        arrays = [array * np.uint8(255) if array.dtype == np.bool_ else array for array in arrays]
    if deepest == np.uint16:
        arrays = [array * np.uint16(257) if array.dtype == np.uint8 else array for array in arrays]
    return arrays
