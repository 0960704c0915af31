"""Give every photo of a folder or a data set a mask of its persons, by a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, ParamSpec, TypeVar

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import Who
from segdata.dataset import METADATA, Row, open_rows
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.models.base import Segmenter
from segdata.models.inference import segment
from segdata.models.registry import open_model
from segdata.models.shapes import fit
from segdata.ops.knowledge import Knowledge, require_knowledge
from segdata.pixels import decode_image, encode_png
from segdata.quality.certainty import confidence, uncertainty
from segdata.sample import encode, path_of
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path, lies_in

STEP = "annotate"

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

_FILES = ("file_name", "mask_file_name", "probability_file_name")
_FULL = np.float32(65535)
_DIGITS = 4
_MOST_SEEN = 1 << 24
"""Pixels of a photo that are worked on: more than any model here sees of it, even in tiles."""


def annotate(
    data: str | Path,
    *,
    out: str | Path,
    model: str = "bundled",
    who: Who | None = None,
    threshold: float | None = None,
    probabilities: bool = False,
    copy_photos: bool = False,
    flips: bool = False,
    refine: bool = False,
    tiles: bool = True,
    batch: int = 1,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Segment the persons of photos, and write a data set of masks that says how sure the model was of each.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    out : folder of the new data set: masks/, metadata.jsonl and what is asked for below.
    model : ``bundled``, ``mediapipe-selfie``, ``mediapipe-pose``, the path of an ONNX file or of a training run's
        folder.
    who : ``all`` persons of a photo or its ``dominant`` one; the model's own default where not given.
    threshold : the probability in [0, 1] from which on a pixel is a person's; the model's own where not given.
    probabilities : also write what the model says of each pixel, as 16-bit PNG in probabilities/. A mask is exactly
        its map from the threshold on.
    copy_photos : also copy the photos to images/, so that the result can be trained on.
    flips : average over the photo and its mirror image.
    refine : look at persons who are small in the photo a second time, closer.
    tiles : look at the contour again, closer, where a photo is much larger than what the model sees of it.
    batch : how many photos are given to the model together, which a GPU likes.

    Columns of a row: `photo` (the photo's path in `data`), `mask_file_name`, `width` and `height` of the upright photo,
    `model`, `model_sha256`, `who`, `threshold`, `person_share` (of the photo's pixels), `confidence` and
    `uncertainty` (`segdata.quality.certainty`). A photo without a person has an empty mask and is counted in the
    report's `notes`. A photo that is unchanged is not done again with the same model and settings.

    With `shards` the files go into so many tar archives instead of lying one by one, as `segdata.shards` says.

    Raises `InputError` for a folder without photos, a model that cannot be opened or does not tell `who`, a threshold
    outside [0, 1], a batch below 1 and an `out` that holds something else or lies among the photos; `StorageError`
    when the place takes no more.
    """
    root, rows = open_rows(data, "file_name")
    if not (root / METADATA).is_file() and lies_in(as_path(out), root):
        raise InputError(f"{out} lies among the photos of {root}", "choose a folder outside it")
    if batch < 1:
        raise InputError(f"a batch of {batch} photos is none", "give 1 or more")
    opened = open_model(model)
    chosen = choose_channel(opened, who, threshold)
    settings = Settings(opened.name, opened.sha256, *chosen, probabilities, copy_photos, flips, refine, tiles)
    knowledge = Knowledge(opened.fourth == "saliency", opened.uses_domains)
    require_knowledge(knowledge, rows())
    _models.kept = (model, settings.sha256, opened)
    work = Annotate(model, str(root), str(out), settings, knowledge)

    def samples() -> Iterator[tuple[str, Row]]:
        for row in rows():
            yield row["key"], knowledge.of(row)

    total = sum(1 for _ in rows())
    return run_step(
        STEP, as_path(out), work, samples(), batch=batch, engine=engine, progress=progress, shards=shards, total=total
    )


class Settings(msgspec.Struct, frozen=True):
    """What a mask comes from beside its photo."""

    name: str
    sha256: str | None
    who: Who
    threshold: float
    probabilities: bool
    copy_photos: bool
    flips: bool
    refine: bool
    tiles: bool


def choose_channel(model: Segmenter, who: Who | None, threshold: float | None) -> tuple[Who, float]:
    """Give whom a model is to find and from which probability on; raises `InputError` where it cannot."""
    if who is not None and who not in model.who:
        raise InputError(f"{model.name} cannot tell {who}", f"leave it away, or say {' or '.join(model.who)}")
    chosen = model.threshold if threshold is None else threshold
    if not 0 <= chosen <= 1:
        raise InputError(f"the threshold {chosen:g} is not a probability", "give one from 0 to 1")
    return who or model.who[0], float(chosen)


class _Models(threading.local):
    """The model that this thread works with: its name and hash, and the model."""

    kept: tuple[str, str | None, Segmenter] | None = None


_models = _Models()


def _kept_model(name: str, settings: Settings) -> Segmenter:
    """Give the model of a run, opened on first use; raises `InputError` where its file has been replaced meanwhile."""
    if _models.kept is None or _models.kept[:2] != (name, settings.sha256):
        opened = open_model(name)
        if opened.sha256 != settings.sha256:
            raise InputError(f"the model {name} was changed while it was used", "run the same command again")
        _models.kept = (name, settings.sha256, opened)
    return _models.kept[2]


class _Photo(NamedTuple):
    """A photo that is to be segmented: `seen` is its upright pixels, fewer than it has where those are very many."""

    key: str
    previous: Row | None
    columns: Row
    mark: str
    data: bytes
    seen: npt.NDArray[np.uint8]
    shape: tuple[int, int]
    domain: str | None


class Annotate(msgspec.Struct, frozen=True):
    """The work on a batch of photos."""

    model: str
    root: str
    out: str
    settings: Settings
    knowledge: Knowledge

    def __call__(self, samples: list[tuple[str, Row, Row | None]]) -> list[Result | Exception]:
        """Read the photos that are not up to date, segment them together, write the masks and give the rows."""
        begun = [_attempt(self._begin, *sample) for sample in samples]
        photos = [each for each in begun if isinstance(each, _Photo)]
        found = _attempt(self._segment, photos) if photos else []
        if isinstance(found, Exception):
            return [found if isinstance(each, _Photo) else each for each in begun]
        maps = iter(found)
        return [_attempt(self._finish, each, next(maps)) if isinstance(each, _Photo) else each for each in begun]

    def _begin(self, key: str, payload: Row, previous: Row | None) -> Result | _Photo:
        name = payload.get("file_name")
        if not name:
            raise SampleError("no-photo", f"{key} of {self.root} has no photo", "give the photos to the data set")
        path = join_path(self.root, path_of(name))
        data = read_file(path)
        columns: Row = {
            "key": key,
            "photo": name,
            "file_name": f"images/{key}{PurePosixPath(name).suffix}" if self.settings.copy_photos else None,
            "mask_file_name": f"masks/{key}.png",
            "probability_file_name": f"probabilities/{key}.png" if self.settings.probabilities else None,
        }
        known = {column: value for column, value in payload.items() if column not in ("key", "file_name")}
        mark = mark_of(self.settings, data, encode(known)) if known else mark_of(self.settings, data)
        if unchanged(previous, STEP, mark, self.out, _FILES) and previous is not None:
            return Result(updated(previous, STEP, mark, columns), fresh=False, note=_note(previous))
        image = decode_image(data, path)
        height, width = image.shape[:2]
        seen = _seen(self.knowledge.joined(image, data, payload))
        return _Photo(key, previous, columns, mark, data, seen, (height, width), payload.get("domain"))

    def _segment(self, photos: list[_Photo]) -> list[npt.NDArray[np.float32]]:
        settings = self.settings
        model = _kept_model(self.model, settings)
        found: dict[str, npt.NDArray[np.float32]] = {}
        for domain in dict.fromkeys(photo.domain for photo in photos):
            members = [photo for photo in photos if photo.domain == domain]
            maps = segment(
                model.for_domain(domain),
                [photo.seen for photo in members],
                settings.who,
                threshold=settings.threshold,
                flips=settings.flips,
                refine=settings.refine,
                tiles=settings.tiles,
            )
            found.update((photo.key, each) for photo, each in zip(members, maps, strict=True))
        return [found[photo.key] for photo in photos]

    def _finish(self, photo: _Photo, found: npt.NDArray[np.float32]) -> Result:
        height, width = photo.shape
        stored = np.rint(found * _FULL).astype(np.uint16)
        if stored.shape != photo.shape:
            stored = cv2.resize(stored, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint16)
        mask = stored >= lowest_level(self.settings.threshold)
        columns = photo.columns
        if columns["file_name"]:
            write_file(join_path(self.out, columns["file_name"]), photo.data)
        if columns["probability_file_name"]:
            write_file(join_path(self.out, columns["probability_file_name"]), encode_png(stored))
        write_file(join_path(self.out, columns["mask_file_name"]), encode_png(mask.view(np.uint8) * np.uint8(255)))
        columns |= {
            "width": width,
            "height": height,
            "model": self.settings.name,
            "model_sha256": self.settings.sha256,
            "who": self.settings.who,
            "threshold": self.settings.threshold,
            "person_share": float(mask.mean()),
            "confidence": round(confidence(found, self.settings.threshold), _DIGITS),
            "uncertainty": round(uncertainty(found, self.settings.threshold), _DIGITS),
        }
        return Result(updated(photo.previous, STEP, photo.mark, columns), fresh=True, note=_note(columns))


def lowest_level(threshold: float) -> int:
    """Give the lowest value of a 16-bit map that reads as a probability of `threshold` or more.

    >>> lowest_level(0.5), lowest_level(0), lowest_level(1)
    (32768, 0, 65535)
    """
    levels = np.arange(65536, dtype=np.float32) / _FULL
    return int(np.searchsorted(levels, np.float32(threshold)))


def _seen(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = (_MOST_SEEN / (height * width)) ** 0.5
    if scale >= 1:
        return image
    return fit(image, (max(round(height * scale), 1), max(round(width * scale), 1)))


def _attempt(
    function: Callable[Parameters, Value], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Value | Exception:
    try:
        return function(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - the step tells them apart
        return error


def _note(row: Row) -> str:
    return "" if row["person_share"] else "without a person"
