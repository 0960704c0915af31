"""What the browser is told and shown of one sample."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
import numpy as np

from segdata.dataset import Row
from segdata.errors import SampleError
from segdata.files import fingerprint, read_file
from segdata.masks import Mask, check_rle, mask_to_rle, rle_to_mask
from segdata.pixels import decode_image
from segdata.report.review import images, superpixels
from segdata.report.review.cache import ByteCache
from segdata.report.review.places import Place, find_photo
from segdata.report.review.queue import Queue
from segdata.report.review.runs import mask_to_runs, runs_to_mask
from segdata.report.review.scores import Predictions
from segdata.report.review.store import LONGEST_COMMENT, Decision, Verdict
from segdata.sample import Rle

Kind = Literal["stored", "mine", "other", "pred", "void"]
LARGEST_EDITED = 50_000_000  # pixels that a browser can hold to draw on
_MOST_PERSONS = 200
_MOST_FACTS = 60
_LONGEST_FACT = 300
_CACHED = 96 << 20
_JOINTS = 17  # COCO's
_FARTHEST = 1e6  # pixels
_Box = tuple[float, float, float, float]
_Point = tuple[float, float, float]
_FIRST_FACTS = ("domain", "split", "contradiction", "disagreement", "agreement", "uncertainty", "confidence")
_FILE_COLUMNS = {"edges": "edge_file_name", "saliency": "saliency_file_name"}


class Said(msgspec.Struct, frozen=True):
    """A decision as the browser is told it; `corrected`: there is a mask to it."""

    reviewer: str
    verdict: str | None
    comment: str
    corrected: bool
    version: int
    time: str
    drawn_on: str | None = None


class SampleView(msgspec.Struct, frozen=True):
    """All that the browser needs of a sample beside its pixels.

    `width` and `height` are those of the mask, which drawing is on. `keypoints` are persons of 17 x, y, visibility;
    `drawn_on` is the fingerprint of the mask file, `stale` tells that it is another than the correction was drawn on.
    `others` is None until this reviewer has decided, so that a second look is one's own.
    """

    key: str
    width: int
    height: int
    editable: bool
    photo: bool
    layers: list[str]
    predicted: bool
    keypoints: list[list[_Point]]
    faces: list[_Box]
    facts: dict[str, str | float | bool]
    problems: list[str]
    drawn_on: str | None
    stale: bool
    mine: Said | None
    others: list[Said] | None


class Saving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision as the browser sends it; `mask` holds run lengths, None for the stored mask, or ``keep``."""

    version: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    request: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    verdict: Verdict | None
    comment: Annotated[str, msgspec.Meta(max_length=LONGEST_COMMENT)]
    mask: list[Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]] | Literal["keep"] | None = "keep"
    drawn_on: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class _Stored(NamedTuple):
    mask: images.StoredMask | None
    fingerprint: str | None
    size: tuple[int, int]
    problems: list[str]


class Samples:
    """The samples of a queue as the browser sees them; threads may share it."""

    def __init__(self, queue: Queue, *, photos: str | Path | None = None, preds: Predictions | None = None) -> None:
        self.queue, self.preds = queue, preds
        self.root = Place(queue.index.root)
        self.photos = None if photos is None else Place(photos)
        self._cache = ByteCache(_CACHED)

    def row(self, key: str) -> Row:
        """Give the row of a sample. Raises `SampleError` (``unknown-key``)."""
        self.queue.refresh()
        row = self.queue.index.row(key)
        if row is None:
            raise SampleError("unknown-key", f"there is no sample {key!r} in {self.root.folder}")
        return row

    def view(self, key: str) -> SampleView:
        """Tell what there is of a sample."""
        row = self.row(key)
        problems: list[str] = []
        photo_size = None
        try:
            path = self._photo(row)
            photo_size = images.photo_size(read_file(path), str(path))
        except SampleError as error:
            problems.append(str(error))
        stored = self._stored(row, photo_size)
        problems += stored.problems
        height, width = stored.size
        if photo_size and stored.mask and photo_size != stored.size:
            problems.append(f"the photo is {photo_size[1]} x {photo_size[0]}, its mask {width} x {height} pixels")
        decisions = self.queue.store.of(key)
        mine = next((each for each in decisions if each.reviewer == self.queue.reviewer), None)
        stale = False
        if mine is not None and mine.mask is not None:
            if mine.mask.size != stored.size:
                problems.append("the corrected mask has another size than the stored one and is not shown")
            changed = mine.drawn_on != stored.fingerprint
            stale = changed and (stored.mask is None or mask_to_rle(stored.mask.person) != mine.mask)
        told = mine is not None and mine.verdict is not None
        others = [_said(each) for each in decisions if each is not mine and (each.verdict or each.mask)]
        return SampleView(
            key=key,
            width=width,
            height=height,
            editable=0 < height * width <= LARGEST_EDITED and not (stored.problems and stored.mask is None),
            photo=photo_size is not None,
            layers=[name for name, column in _FILE_COLUMNS.items() if row.get(column)],
            predicted=self.preds is not None and key in self.preds.names,
            keypoints=_keypoints(row),
            faces=_faces(row),
            facts=_facts(row, self.queue, key),
            problems=problems,
            drawn_on=stored.fingerprint,
            stale=stale,
            mine=None if mine is None else _said(mine),
            others=others if told else None,
        )

    def _photo(self, row: Row) -> Path:
        return find_photo(row, self.root, self.photos)

    def _stored(self, row: Row, photo_size: tuple[int, int] | None) -> _Stored:
        """Read the mask file; without one the mask is empty, of the photo's size."""
        size = photo_size or _row_size(row)
        if not row.get("mask_file_name"):
            return _Stored(None, None, size, [])
        try:
            data = self.root.read(row["mask_file_name"])
            mask = images.read_mask(data, str(row["mask_file_name"]))
        except SampleError as error:
            return _Stored(None, None, size, [str(error)])
        height, width = mask.person.shape
        return _Stored(mask, fingerprint(data), (height, width), [])

    def tag(self, key: str, *more: object) -> str:
        """Give a mark of the files that a picture of a sample is made from, for the browser's cache."""
        row = self.row(key)
        names = (row.get("file_name") or row.get("photo"), row.get("mask_file_name"))
        parts = [repr(more), *map(self._state, names), *(self._state(row.get(each)) for each in _FILE_COLUMNS.values())]
        mine = self.queue.store.find(key, self.queue.reviewer)
        parts.append("" if mine is None else str(mine.digest))
        return fingerprint(*(part.encode() for part in parts))

    def _state(self, name: object) -> str:
        if not isinstance(name, str):
            return ""
        folders = [self.root.folder, *([self.photos.folder] if self.photos else [])]
        for folder in folders:
            try:
                state = os.stat(folder / name)  # noqa: PTH116
            except (OSError, ValueError):
                continue
            return f"{name} {state.st_mtime_ns} {state.st_size}"
        return name

    def photo(self, key: str) -> images.Picture:
        """Give the photo. Raises `SampleError` that says why there is none."""
        path = self._photo(self.row(key))
        return images.browser_photo(read_file(path), str(path))

    def thumbnail(self, key: str, *, masked: bool) -> bytes:
        """Give a small JPEG, with the mask as this reviewer left it where asked for."""

        def make() -> bytes:
            row = self.row(key)
            path = self._photo(row)
            mask = self._current(row) if masked else None
            return images.thumbnail(read_file(path), str(path), mask)

        return self._cache.get((key, masked, self.tag(key)), make)

    def _current(self, row: Row) -> Mask | None:
        mine = self.queue.store.find(row["key"], self.queue.reviewer)
        if mine is not None and mine.mask is not None:
            return _mask_of(mine)
        if not row.get("mask_file_name"):
            return None
        try:
            return images.read_mask(self.root.read(row["mask_file_name"]), str(row["mask_file_name"])).person
        except SampleError:
            return None

    def layer(self, key: str, layer: images.Layer) -> bytes:
        """Give the edge label or the saliency map, in colour."""
        row = self.row(key)
        name = row.get(_FILE_COLUMNS[layer])
        return images.coloured_layer(self.root.read(name), str(name), layer)

    def mask(self, key: str, kind: Kind, reviewer: str = "") -> bytes:
        """Give run lengths of a mask: the stored one, mine, another's, a predicted one, or what counts nowhere."""
        row = self.row(key)
        if kind in ("mine", "other"):
            found = self.queue.store.find(key, self.queue.reviewer if kind == "mine" else reviewer)
            if found is None or found.mask is None or (kind == "other" and not self._has_decided(key)):
                raise SampleError("missing-file", f"there is no corrected mask of {key} by {reviewer or 'you'}")
            return mask_to_runs(_mask_of(found))
        if kind == "pred":
            if self.preds is None or key not in self.preds.names:
                raise SampleError("missing-file", f"there is no prediction for {key}")
            name = self.preds.names[key]
            return mask_to_runs(images.read_mask(self.preds.place.read(name), name).person)
        stored = self._stored(row, self._photo_size(row))
        if stored.mask is None:
            return mask_to_runs(np.zeros(stored.size, np.bool_))
        if kind == "stored":
            return mask_to_runs(stored.mask.person)
        return mask_to_runs(np.zeros(stored.size, np.bool_) if stored.mask.void is None else stored.mask.void)

    def _has_decided(self, key: str) -> bool:
        mine = self.queue.store.find(key, self.queue.reviewer)
        return mine is not None and mine.verdict is not None

    def _photo_size(self, row: Row) -> tuple[int, int] | None:
        try:
            path = self._photo(row)
            return images.photo_size(read_file(path), str(path))
        except SampleError:
            return None

    def superpixels(self, key: str, size: int) -> bytes:
        """Give the superpixels of the photo, about `size` pixels wide, as `superpixels.to_bytes` does."""

        def make() -> bytes:
            path = self._photo(self.row(key))
            return superpixels.to_bytes(superpixels.superpixels(decode_image(read_file(path), str(path)), size))

        return self._cache.get((key, size, self.tag(key)), make)

    def save(self, key: str, saving: Saving) -> Said:
        """Save a decision. Raises `SampleError` for a mask that is none, and `ConflictError` as the store does."""
        row = self.row(key)
        mask: Rle | Literal["keep"] | None
        if isinstance(saving.mask, list):
            height, width = self._stored(row, self._photo_size(row)).size
            if height * width > LARGEST_EDITED:
                raise SampleError("huge-image", f"the mask of {key} has too many pixels to be corrected here")
            mask = mask_to_rle(runs_to_mask(saving.mask, height, width))
        else:
            mask = saving.mask
        saved = self.queue.store.save(
            key,
            self.queue.reviewer,
            version=saving.version,
            request=saving.request,
            verdict=saving.verdict,
            comment=saving.comment,
            mask=mask,
            drawn_on=saving.drawn_on,
        )
        return _said(saved)


def _said(decision: Decision) -> Said:
    return Said(
        reviewer=decision.reviewer,
        verdict=decision.verdict,
        comment=decision.comment,
        corrected=decision.mask is not None,
        version=decision.version,
        time=decision.time,
        drawn_on=decision.drawn_on,
    )


def _mask_of(decision: Decision) -> Mask:
    if decision.mask is None:
        raise TypeError("the decision has no mask")
    check_rle(decision.mask)  # the file may come from anywhere
    return rle_to_mask(decision.mask)


def _row_size(row: Row) -> tuple[int, int]:
    size = row.get("height"), row.get("width")
    return size if all(type(side) is int and 0 < side < 1 << 16 for side in size) else (0, 0)  # type: ignore[return-value]


def _finite(values: object, count: int) -> tuple[float, ...] | None:
    """Give so many finite numbers, or None for anything else: rows may hold what they like."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(type(value) in {int, float} and math.isfinite(value) and abs(value) < _FARTHEST for value in values):
        return None
    return tuple(map(float, values))


def _listed(value: object) -> list[Any]:
    return value[:_MOST_PERSONS] if isinstance(value, list) else []


def _found(value: object) -> list[Any]:
    """Give what a detector found, of the columns `poses` and `faces`."""
    return _listed(value.get("found")) if isinstance(value, dict) else []


def _keypoints(row: Row) -> list[list[_Point]]:
    persons = [each for each in _listed(row.get("persons")) if isinstance(each, dict) and each.get("keypoints")]
    found = []
    for person in persons or [each for each in _found(row.get("poses")) if isinstance(each, dict)]:
        points = [_finite(point, 3) for point in _listed(person.get("keypoints"))]
        if len(points) == _JOINTS and None not in points:
            found.append(points)
    return cast("list[list[_Point]]", found)


def _faces(row: Row) -> list[_Box]:
    boxes = [row.get("face_box")]
    boxes += [each.get("face_box") for each in _listed(row.get("persons")) if isinstance(each, dict)]
    found = [_finite(box, 4) for box in boxes]
    return cast("list[_Box]", list(dict.fromkeys(box for box in found if box is not None)))


def _facts(row: Row, queue: Queue, key: str) -> dict[str, str | float | bool]:
    """Give what the row says in a word or a number, what tells most first; paths are left out."""
    facts: dict[str, str | float | bool] = {}
    place = queue.index.number(key)
    persons = row.get("persons")
    if isinstance(persons, list):
        facts["persons"] = len(persons)
    told = {name: value for name, value in row.items() if name != "key" and not name.endswith("file_name")}
    for name in (*_FIRST_FACTS, *queue.columns, *told):
        value = told.get(name)
        if value is None and name in queue.columns and place is not None:
            value = float(queue.columns[name][place])
        if name in facts or len(facts) >= _MOST_FACTS:
            continue
        if isinstance(value, str):
            facts[name] = value[:_LONGEST_FACT]
        elif isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
            facts[name] = value
    return facts
