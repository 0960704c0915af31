"""What a network is trained on: photos out of several data sets, and whom they show.

A target has two channels: the dominant person alone, and everyone. Data sets know more or less of that, which
`Source.who` tells; what a data set does not know is void and is not learnt from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Dataset, Row
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.masks import Mask, check_rle, rle_to_mask
from segdata.models.base import Need
from segdata.models.settings import Source
from segdata.models.shapes import bytes_of_map
from segdata.pixels import decode_image, decode_mask, decode_probability
from segdata.sample import Person, encode

AMBIGUOUS = 0.6
"""A second person of this share of the largest one's area may be the dominant one as well."""
_STEPS: dict[Need, tuple[str, str]] = {
    "saliency": ("saliency_file_name", "segdata saliency --who dominant"),
    "domain": ("domain", "segdata grade-domains"),
}
"""The column in which a network finds what it needs of a photo, and the command that makes it."""


class Sample(NamedTuple):
    """One photo to train on: its row, the data set that it belongs to, and whether its mask may leave persons out."""

    root: Path
    row: Row
    source: Source
    lacks_others: bool = False


class Labelled(NamedTuple):
    """A photo (H, W, 3) with `target`, uint8 (H, W, 2) of 0 and 255, and `known`, the same with 255 where it holds.

    `saliency` is uint8 (H, W), the map times 255, where that was asked for.
    """

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    known: npt.NDArray[np.uint8]
    saliency: npt.NDArray[np.uint8] | None = None


def read_samples(source: Source, split: Literal["train", "val"], needs: frozenset[Need] = frozenset()) -> list[Sample]:
    """List the samples of a data set that have photo and mask and belong to a split; see `Source`.

    Raises `InputError` where none is left to train on, or one lacks what a network `needs` and a command gives.
    """
    data = Dataset(source.path)
    left_out = _keys_in(source.leave_out) if source.leave_out and split == "train" else frozenset()
    others = _keys_in(source.others) if source.others else frozenset()
    found = [
        Sample(data.root, row, source, row["key"] in others)
        for row in data.rows()
        if row.get("file_name")
        and row.get("mask_file_name")
        and row["key"] not in left_out
        and (row.get("split") or "train") == split
    ]
    if not found and split == "train":
        raise InputError(f"{source.path} holds no photos with masks to train on", "check its column split")
    for need in sorted(needs & _STEPS.keys()):
        column, command = _STEPS[need]
        if any(sample.row.get(column) is None for sample in found):
            raise InputError(f"{source.path} has no {column} for each of its photos", f"{command} {source.path}")
    return found


def _keys_in(path: str) -> frozenset[str]:
    try:
        return frozenset(Path(path).read_text(encoding="utf-8").split("\n"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check the path") from error


def manifest_hash(samples: list[Sample], needs: frozenset[Need] = frozenset()) -> str:
    """Give one SHA-256 of all that is trained on: the key, photo and mask of each sample, and how it is used.

    Its saliency map and face box belong to it where the network `needs` them.
    """
    files = ["file_name", "mask_file_name", *(["saliency_file_name"] if "saliency" in needs else [])]
    whole = hashlib.sha256()
    for sample in samples:
        for column in files:
            whole.update(hashlib.sha256(read_file(f"{sample.root}/{sample.row[column]}")).digest())
        if "domain" in needs:
            whole.update(encode(sample.row.get("face_box")))
        whole.update(encode([sample.row["key"], sample.source.who, sample.source.weight]))
    return whole.hexdigest()


def read_labelled(sample: Sample, *, saliency: bool = False) -> Labelled:
    """Read a photo and its target, and its saliency map if asked for."""
    photo, mask_file = (f"{sample.root}/{sample.row[column]}" for column in ("file_name", "mask_file_name"))
    image = decode_image(read_file(photo), photo)
    mask, void = decode_mask(read_file(mask_file), mask_file, sample.source.void)
    _require_size(mask.shape, image.shape, mask_file)
    known = np.full((*mask.shape, 2), 255, np.uint8)
    if void is not None:
        known[void] = 0
    target = np.repeat((mask * np.uint8(255))[:, :, None], 2, axis=2)
    if sample.source.who == "dominant":
        if sample.lacks_others:
            known[~mask, 1] = 0
    elif sample.source.who == "everyone":
        _largest_part(mask, target, known)
    elif sample.source.who == "persons":
        _dominant(sample.row, target, known)
    return Labelled(image, target, known, _read_map(sample, image.shape) if saliency else None)


def _read_map(sample: Sample, photo: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    path = f"{sample.root}/{sample.row['saliency_file_name']}"
    found = bytes_of_map(decode_probability(read_file(path), path))
    _require_size(found.shape, photo, path)
    return found


def _require_size(found: tuple[int, ...], photo: tuple[int, ...], what: str) -> None:
    if found[:2] != photo[:2]:
        sizes = f"{found[1]} x {found[0]} pixels, its photo {photo[1]} x {photo[0]}"
        raise SampleError("size-mismatch", f"{what} has {sizes}", "segdata validate finds all such samples")


def persons_of(row: Row) -> list[Person]:
    """Give the persons of a row. Raises `SampleError` where they are none."""
    try:
        return msgspec.convert(row.get("persons") or [], list[Person])
    except msgspec.ValidationError as error:
        hint = "segdata validate finds all such samples"
        raise SampleError("bad-annotation", f"the persons of {row['key']} cannot be read ({error})", hint) from error


def _largest_part(mask: Mask, target: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8]) -> None:
    """Take the largest connected part for the dominant person if it is alone in its size; other parts are void."""
    _, parts, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return
    first, second = np.sort(np.append(areas, 0))[::-1][:2]
    largest = parts == 1 + int(areas.argmax())
    void = mask if second > AMBIGUOUS * first else mask & ~largest
    target[:, :, 0] = np.where(largest, np.uint8(255), np.uint8(0))
    known[void, 0] = 0


def _dominant(row: Row, target: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8]) -> None:
    """Leave the largest person alone in the first channel; those who are nearly as large are void."""
    rles = [each.rle for each in persons_of(row) if each.rle is not None and not each.crowd]
    for rle in rles:
        _require_size(rle.size, target.shape, f"a person of {row['key']}")
        check_rle(rle)
    masks = sorted(map(rle_to_mask, rles), key=lambda mask: -int(mask.sum()))
    if not masks:
        known[target[:, :, 1] > 0, 0] = 0
        return
    target[~masks[0], 0] = 0
    for other in masks[1:]:
        if other.sum() > AMBIGUOUS * masks[0].sum():
            known[other, 0] = 0
