"""Cards of samples: what a row holds drawn in, and predictions beside the truth. They are work for an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import msgspec
import numpy as np

from segdata.dataset import Row
from segdata.engine import Engine, Lost
from segdata.errors import SampleError, SegdataError
from segdata.files import read_file
from segdata.masks import Mask
from segdata.pixels import decode_image, decode_mask, decode_probability
from segdata.quality.evaluate import Settings
from segdata.quality.resize import Map, mask_box, to_size
from segdata.report import overlays
from segdata.report.html.page import Card, Picture
from segdata.report.overlays import Image, shrink_mask
from segdata.report.picture import Show, draw_sample, fit_within
from segdata.steps import Progress

STEP = "report"
BOX = (512, 512)
_QUALITY = 80
_GROUND = 128

T = TypeVar("T")


class DrawSample(msgspec.Struct, frozen=True):
    """The work on one row of a data set: its photo, and everything that the row names, drawn into it."""

    root: str
    images: str | None = None

    def __call__(self, task: tuple[Row, str]) -> Card:
        """Give the card of a row, with what is to be said of it."""
        row, facts = task
        shown: list[tuple[str, tuple[Show, ...]]] = [("photo", ())]
        if row.get("mask_file_name"):
            shown.append(("mask", ("mask", "outline")))
        if row.get("persons") or row.get("poses") or row.get("face_box"):
            shown.append(("keypoints and boxes", ("keypoints", "boxes")))
        if row.get("edge_file_name"):
            shown.append(("edges", ("edges",)))
        if row.get("saliency_file_name"):
            shown.append(("saliency", ("saliency",)))
        pictures, problems = [], []
        for name, what in shown:
            try:
                images = None if self.images is None else Path(self.images)
                drawn = draw_sample(Path(self.root), row, what, box=BOX, images=images)
            except SegdataError as error:
                problems.append(str(error))
                continue
            problems += drawn.problems
            pictures.append(_picture(name, drawn.image))
        return Card(row["key"], facts, tuple(pictures), tuple(dict.fromkeys(problems)))


class Pair(NamedTuple):
    """A sample to draw: its photo, where there is one, its true mask, and the predictions of one model or of two."""

    key: str
    facts: str
    photo: str | None
    truth: str
    preds: tuple[tuple[str, str], ...]
    tolerance_pixels: int


class DrawPair(msgspec.Struct, frozen=True):
    """The work on one evaluated sample: predictions are read as they were scored."""

    settings: Settings
    threshold: float | None

    def __call__(self, task: Pair) -> Card:
        """Give the card of a sample."""
        try:
            return self._card(task)
        except SegdataError as error:
            return Card(task.key, task.facts, (), (str(error),))

    def _card(self, task: Pair) -> Card:
        truth, void = decode_mask(read_file(task.truth), task.truth, self.settings.void)
        size = fit_within((truth.shape[1], truth.shape[0]), BOX)
        photo, problems = _photo(task.photo, truth.shape, size)
        own = _small(truth, size)
        ignored = None if void is None else _small(void, size)
        shown = overlays.show_mask(photo, own, ignored)
        pictures = [_picture("truth", overlays.show_outline(shown, own))]
        for name, path in task.preds:
            pred = self._pred(path, (truth.shape[0], truth.shape[1]))
            pred = _small(pred if void is None else pred & ~void, size)
            if len(task.preds) > 1:
                pictures.append(_picture(f"difference of {name}", overlays.show_difference(photo, own, pred)))
                continue
            outlined = overlays.show_outline(overlays.show_mask(photo, pred, ignored), pred)
            tolerance = self._tolerance(task.tolerance_pixels, truth, size)
            pictures += [
                _picture("prediction", outlined),
                _picture("difference", overlays.show_difference(photo, own, pred)),
                _picture("contour errors", overlays.show_contour_errors(photo, own, pred, tolerance)),
            ]
        return Card(task.key, task.facts, tuple(pictures), problems)

    def _pred(self, path: str, shape: tuple[int, int]) -> Mask:
        data = read_file(path)
        if self.threshold is None:
            return self._same_size(decode_mask(data, path)[0], shape, path)
        probability = self._same_size(decode_probability(data, path), shape, path)
        return np.asarray(probability >= np.float32(self.threshold))

    def _same_size(self, pred: Map, shape: tuple[int, int], path: str) -> Map:
        if pred.shape == shape:
            return pred
        if not self.settings.resize:
            raise SampleError("size-mismatch", f"{path} no longer has the size of the true mask")
        return to_size(pred, *shape)

    def _tolerance(self, pixels: int, truth: Mask, size: tuple[int, int]) -> int:
        """Bring the tolerance from the size at which masks were scored to that of the picture."""
        height = int(truth.shape[0])
        if self.settings.height is not None:
            scored = mask_box(truth)[3] if self.settings.crop_to_gt else height
            return max(1, round(pixels * scored / self.settings.height * size[1] / height))
        return max(1, round(pixels * size[1] / height))


class Drawing(NamedTuple):
    """How samples are drawn: how many of each kind, where photos are, and what runs the work."""

    most: int
    images: Path | None
    engine: Engine
    progress: Progress | None


def draw_cards(
    work: Callable[[T], Card], tasks: Sequence[T], key_of: Callable[[T], str], drawing: Drawing
) -> list[Card]:
    """Draw the cards of samples, in their order."""
    progress = drawing.progress
    if progress is not None:
        progress.begin(STEP, len(tasks))
    cards = []
    with closing(drawing.engine.map(work, tasks)) as results:
        for task, result in zip(tasks, results, strict=True):
            lost = Card(key_of(task), "", (), ("its worker process ended each time (out of memory?)",))
            cards.append(lost if isinstance(result, Lost) else result)
            if progress is not None:
                progress.advance()
    return cards


def _photo(path: str | None, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[Image, tuple[str, ...]]:
    """Give a photo at the size of the picture, or grey ground where there is none that fits."""
    grey = np.full((size[1], size[0], 3), _GROUND, np.uint8)
    if path is None:
        return grey, ()
    try:
        photo = decode_image(read_file(path), path)
    except SampleError as error:
        return grey, (error.message,)
    if photo.shape[:2] != shape:
        return grey, (f"{path} is {photo.shape[1]} x {photo.shape[0]}, its mask {shape[1]} x {shape[0]}",)
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8), ()


def _small(mask: Mask, size: tuple[int, int]) -> Mask:
    small: Mask = shrink_mask(mask, *size) >= np.float32(0.5)
    return small


def _picture(name: str, image: Image) -> Picture:
    options: list[Any] = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    _, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), options)
    return Picture(name, data.tobytes(), image.shape[1], image.shape[0])
