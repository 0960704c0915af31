"""What a network is trained on: views of photos out of several data sets, and whom they show.

A view's target has two channels: the dominant person alone, and everyone. Data sets know more or less of that, which
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
import torch
from torch.utils.data import Dataset as TorchDataset

from segdata.dataset import Dataset, Row
from segdata.errors import InputError
from segdata.files import read_file
from segdata.masks import Mask, rle_to_mask
from segdata.models.augmentation import change_texture, frame_matrix, paste, warp
from segdata.models.settings import Source
from segdata.pixels import decode_image, decode_mask
from segdata.sample import Person, encode

_AMBIGUOUS = 0.6
"""A second person of this share of the largest one's area may be the dominant one as well."""
_TRIES = 3


class Sample(NamedTuple):
    """One photo to train on: its row, the data set that it belongs to, and whether its mask may leave persons out."""

    root: Path
    row: Row
    source: Source
    lacks_others: bool = False


class Labelled(NamedTuple):
    """A photo (H, W, 3) with `target`, uint8 (H, W, 2) of 0 and 255, and `known`, the same with 255 where it holds."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    known: npt.NDArray[np.uint8]


def read_samples(source: Source, split: Literal["train", "val"]) -> list[Sample]:
    """List the samples of a data set that have photo and mask and belong to a split; see `Source`.

    Raises `InputError` where none is left to train on.
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
    return found


def _keys_in(path: str) -> frozenset[str]:
    try:
        return frozenset(Path(path).read_text(encoding="utf-8").split("\n"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check the path") from error


def manifest_hash(samples: list[Sample]) -> str:
    """Give one SHA-256 of all that is trained on: the key, photo and mask of each sample, and how it is used."""
    whole = hashlib.sha256()
    for sample in samples:
        for column in ("file_name", "mask_file_name"):
            whole.update(hashlib.sha256(read_file(f"{sample.root}/{sample.row[column]}")).digest())
        whole.update(encode([sample.row["key"], sample.source.who, sample.source.weight]))
    return whole.hexdigest()


def read_labelled(sample: Sample) -> Labelled:
    """Read a photo and its target."""
    photo, mask_file = (f"{sample.root}/{sample.row[column]}" for column in ("file_name", "mask_file_name"))
    image = decode_image(read_file(photo), photo)
    mask, void = decode_mask(read_file(mask_file), mask_file, sample.source.void)
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
    return Labelled(image, target, known)


def _largest_part(mask: Mask, target: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8]) -> None:
    """Take the largest connected part for the dominant person if it is alone in its size; other parts are void."""
    _, parts, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return
    first, second = np.sort(np.append(areas, 0))[::-1][:2]
    largest = parts == 1 + int(areas.argmax())
    void = mask if second > _AMBIGUOUS * first else mask & ~largest
    target[:, :, 0] = np.where(largest, np.uint8(255), np.uint8(0))
    known[void, 0] = 0


def _dominant(row: Row, target: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8]) -> None:
    """Leave the largest person alone in the first channel; those who are nearly as large are void."""
    persons = [msgspec.convert(each, Person) for each in row.get("persons") or []]
    masks = sorted(
        (rle_to_mask(each.rle) for each in persons if each.rle is not None and not each.crowd),
        key=lambda mask: -int(mask.sum()),
    )
    if not masks:
        known[target[:, :, 1] > 0, 0] = 0
        return
    target[~masks[0], 0] = 0
    for other in masks[1:]:
        if other.sum() > _AMBIGUOUS * masks[0].sum():
            known[other, 0] = 0


class View(NamedTuple):
    """What a network sees of a sample: uint8 (H, W, 3), and target and known as in `Labelled`."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    known: npt.NDArray[np.uint8]


def view_shapes(side: int) -> list[tuple[int, int]]:
    """Give the shapes of views: a square of `side` and, of about its area, 3:2 upright and lying; 32 divides all.

    >>> view_shapes(320)
    [(384, 256), (320, 320), (256, 384)]
    """
    long, short = round(side * 1.5**0.5 / 32) * 32, round(side / 1.5**0.5 / 32) * 32
    return [(long, short), (side, side), (short, long)]


class Views(TorchDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Views number `first` to `first` + `count`, each drawn with a seed of its own: none depends on workers.

    A batch has one shape. A view is uint8: pixels (3, H, W), target (2, H, W) in 0 to 255, known (2, H, W) of 0 and 1.
    """

    def __init__(
        self, samples: list[Sample], side: int, *, first: int, count: int, batch: int, seed: int, pasted: float
    ) -> None:
        self.samples, self.seed, self.pasted = samples, seed, pasted
        self.first, self.count, self.batch = first, count, batch
        self.shapes = view_shapes(side)
        weights = np.array([sample.source.weight for sample in samples])
        self.shares = np.cumsum(weights / weights.sum())
        self.cut = [index for index, sample in enumerate(samples) if sample.source.who != "everyone"]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        number = self.first + index
        shape = self.shapes[number // self.batch % len(self.shapes)]
        view = self.draw(np.random.default_rng([self.seed, number]), shape)
        image, target, known = (torch.from_numpy(np.ascontiguousarray(each.transpose(2, 0, 1))) for each in view)
        return image, target, known // 255

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> View:
        """Draw one view of `shape` (height, width), of a photo that lies or stands as the view does if possible."""
        for _ in range(_TRIES):
            sample = self.samples[min(int(np.searchsorted(self.shares, rng.random())), len(self.samples) - 1)]
            if (sample.row["height"] - sample.row["width"]) * (shape[0] - shape[1]) >= 0:
                break
        view = self._framed(rng, read_labelled(sample), shape)
        if self.cut and rng.random() < self.pasted:
            view = self._with_guest(rng, view)
        return view._replace(image=change_texture(rng, view.image))

    def _framed(self, rng: np.random.Generator, labelled: Labelled, size: tuple[int, int]) -> View:
        shown = labelled.target[:, :, 0] & labelled.known[:, :, 0]
        box = cv2.boundingRect(shown) if shown.any() else cv2.boundingRect(labelled.target[:, :, 1])
        matrix = frame_matrix(rng, labelled.image.shape[:2], box if box[2] else None, size)
        labels = warp(
            np.concatenate([labelled.target, labelled.known], axis=2), matrix, size, border=cv2.BORDER_CONSTANT
        )
        known = (labels[:, :, 2:] > 254).astype(np.uint8) * np.uint8(255)
        return View(warp(labelled.image, matrix, size), labels[:, :, :2], known)

    def _with_guest(self, rng: np.random.Generator, view: View) -> View:
        """Paste the main person of another sample over a view, with the labels that follow."""
        chosen = self.samples[self.cut[int(rng.integers(len(self.cut)))]]
        guest = self._framed(rng, read_labelled(chosen), view.image.shape[:2])
        alpha = guest.target[:, :, 0] & guest.known[:, :, 0]
        before = view.target[:, :, 0] & view.known[:, :, 0]
        if alpha.any() and (alpha > 127).mean() < 0.5:
            target, known = view.target.copy(), view.known.copy()
            covered = alpha > 127
            target[:, :, 1] = np.maximum(target[:, :, 1], alpha)
            known[covered] = 255
            larger = covered.sum() / max((before > 127).sum(), 1)
            target[:, :, 0] = alpha if larger > 1 else np.minimum(target[:, :, 0], 255 - alpha)
            if larger > 1:
                known[:, :, 0] |= known[:, :, 1]
            if _AMBIGUOUS < larger < 1 / _AMBIGUOUS:
                known[:, :, 0] = np.where((target[:, :, 1] > 127), np.uint8(0), known[:, :, 0])
            return View(paste(view.image, guest.image, alpha), target, known)
        return view
