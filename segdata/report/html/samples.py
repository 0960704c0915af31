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
from segdata.quality.evaluate import SampleScores, ScoredPair, ScorePair, Scoring, Settings
from segdata.quality.resize import Map, crop_to_box, mask_box, to_size
from segdata.report import overlays
from segdata.report.html.page import Card, Picture
from segdata.report.overlays import Image, shrink_mask
from segdata.report.picture import Show, draw_sample, fit_within, fitted
from segdata.steps import Progress
from segdata.storage import as_path

STEP = "report"
BOXES = "keypoints and boxes"
BOX = (512, 512)
_QUALITY = 80
_GROUND = 128
_CONTOUR = 5  # pixels, to be seen in a small picture too
_MARGIN, _LEAST_MARGIN = 0.2, 16  # round the masks: of the longer side, and in pixels
_MOST_CROPPED = 0.7  # of the photo's area
_PIXELS = ("intersection", "union", "pred_area", "gt_area")

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
            shown.append((BOXES, ("keypoints", "boxes")))
        if row.get("edge_file_name"):
            shown.append(("edges", ("edges",)))
        if row.get("saliency_file_name"):
            shown.append(("saliency", ("saliency",)))
        pictures, problems = [], []
        for name, what in shown:
            try:
                images = None if self.images is None else as_path(self.images)
                drawn = draw_sample(as_path(self.root), row, what, box=BOX, images=images)
            except SegdataError as error:
                problems.append(str(error))
                continue
            problems += drawn.problems
            pictures.append(_picture(name, drawn.image))
        return Card(row["key"], facts, tuple(pictures), tuple(dict.fromkeys(problems)))


class Prediction(NamedTuple):
    """A model's mask of a sample: under what name it is shown, its file, its threshold, and how it was scored."""

    name: str
    path: str
    threshold: float | None
    scores: SampleScores


class Pair(NamedTuple):
    """A sample to draw: its photo, where there is one, its true mask, and the predictions of one model or of two.

    `missing` says which of its files there is not, if any.
    """

    key: str
    facts: str
    photo: str | None = None
    truth: str = ""
    preds: tuple[Prediction, ...] = ()
    missing: str = ""


class DrawPair(msgspec.Struct, frozen=True):
    """The work on one evaluated sample: predictions are read as they were scored."""

    settings: Settings

    def __call__(self, task: Pair) -> Card:
        """Give the card of a sample."""
        if task.missing:
            return Card(task.key, task.facts, (), (task.missing,))
        try:
            return self._card(task)
        except SegdataError as error:
            return Card(task.key, task.facts, (), (str(error),))

    def _card(self, task: Pair) -> Card:
        truth, void = decode_mask(read_file(task.truth), task.truth, self.settings.void)
        preds = [self._pred(pred, (truth.shape[0], truth.shape[1])) for pred in task.preds]
        if void is not None:
            preds = [pred & ~void for pred in preds]
        box = _view(truth, *preds)
        size = fit_within(box[2:], BOX)

        def small(mask: Mask) -> Mask:
            return np.asarray(shrink_mask(crop_to_box(mask, box), *size) >= np.float32(0.5))

        photo, problems = _photo(task.photo, truth.shape, box, size)
        own, ignored = small(truth), None if void is None else small(void)
        shown = overlays.show_mask(photo, own, ignored)
        pictures = [_picture("truth", overlays.show_outline(shown, own))]
        for pred, told in zip(map(small, preds), task.preds, strict=True):
            problems += self._changes(task, told)
            if len(preds) > 1:
                pictures.append(_picture(f"difference of {told.name}", overlays.show_difference(photo, own, pred)))
                continue
            outlined = overlays.show_outline(overlays.show_mask(photo, pred, ignored), pred)
            tolerance = max(1, round(self._tolerance(told.scores.tolerance_pixels, truth) * size[1] / box[3]))
            errors = overlays.show_contour_errors(photo, own, pred, tolerance, _CONTOUR)
            pictures += [
                _picture("prediction", outlined),
                _picture("difference", overlays.show_difference(photo, own, pred)),
                _picture("contour errors", errors),
            ]
        return Card(task.key, task.facts, tuple(pictures), problems)

    def _pred(self, pred: Prediction, shape: tuple[int, int]) -> Mask:
        data = read_file(pred.path)
        if pred.threshold is None:
            return self._same_size(decode_mask(data, pred.path)[0], shape, pred.path)
        probability = self._same_size(decode_probability(data, pred.path), shape, pred.path)
        return np.asarray(probability >= np.float32(pred.threshold))

    def _same_size(self, pred: Map, shape: tuple[int, int], path: str) -> Map:
        if pred.shape == shape:
            return pred
        if not self.settings.resize:
            raise SampleError("size-mismatch", f"{path} no longer has the size of the true mask")
        return to_size(pred, *shape)

    def _changes(self, task: Pair, pred: Prediction) -> tuple[str, ...]:
        """Say so where the files are no longer those that were scored."""
        settings = self.settings
        scoring = Scoring(
            settings.tolerance,
            settings.dilation,
            settings.void,
            pred.threshold,
            settings.height,
            settings.crop_to_gt,
            settings.resize,
        )
        again = ScorePair(scoring)(ScoredPair(task.key, pred.path, task.truth, None, None))
        if isinstance(again, tuple) and all(getattr(again[0], name) == getattr(pred.scores, name) for name in _PIXELS):
            return ()
        return (f"{pred.path} or its true mask has changed since it was scored: evaluate again",)

    def _tolerance(self, pixels: int, truth: Mask) -> float:
        """Bring the tolerance from the size at which masks were scored to the mask's own."""
        if self.settings.height is None:
            return pixels
        scored = mask_box(truth)[3] if self.settings.crop_to_gt else truth.shape[0]
        return float(pixels * scored / self.settings.height)


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


def _view(*masks: Mask) -> tuple[int, int, int, int]:
    """Give the box of x, y, width and height round all masks with a margin, or the whole if not much more."""
    height, width = masks[0].shape
    x, y, w, h = mask_box(np.logical_or.reduce(masks))
    margin = max(_MARGIN * max(w, h), _LEAST_MARGIN)
    left, top = max(0, round(x - margin)), max(0, round(y - margin))
    right, bottom = min(width, round(x + w + margin)), min(height, round(y + h + margin))
    if (right - left) * (bottom - top) > _MOST_CROPPED * width * height:
        return 0, 0, width, height
    return left, top, right - left, bottom - top


def _photo(
    path: str | None, shape: tuple[int, ...], box: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[Image, tuple[str, ...]]:
    """Give the part of a photo in a box, at the size of the picture; grey ground where there is none that fits."""
    grey = np.full((size[1], size[0], 3), _GROUND, np.uint8)
    if path is None:
        return grey, ()
    try:
        photo = decode_image(read_file(path), path)
    except SampleError as error:
        return grey, (error.message,)
    if photo.shape[:2] != shape:
        return grey, (f"{path} is {photo.shape[1]} x {photo.shape[0]}, its mask {shape[1]} x {shape[0]}",)
    x, y, width, height = box
    return fitted(photo[y : y + height, x : x + width], size), ()


def _picture(name: str, image: Image) -> Picture:
    options: list[Any] = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    _, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), options)
    return Picture(name, data.tobytes(), image.shape[1], image.shape[0])
