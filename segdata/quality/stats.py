"""What a data set holds: sizes, shapes, how much of a photo is person and where, persons, keypoints, groups."""

from __future__ import annotations

import io
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from segdata.dataset import Row, open_rows
from segdata.domains import DOMAINS
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError
from segdata.files import put_in_place, read_file
from segdata.licences import licence_of
from segdata.pixels import MOST_PIXELS, check_photo, decode_labels
from segdata.quality.evaluate import Failure
from segdata.sample import Person, path_of
from segdata.steps import Progress
from segdata.storage import as_path, join_path

STEP = "stats"
GRID = 32
"""Rows and columns of the heat map."""
NOT_STATED = "not stated"
OTHERS = "others"
KEYPOINTS = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow"),
    *("right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee"),
    *("left ankle", "right ankle"),
)
QUANTILES = ("min", "p5", "p25", "median", "p75", "p95", "max")
_BINS = 30
_EXACT = 1 << 52  # below it a float tells a whole number from the half beside it
_MOST_VALUES = 200
_MOST_FAILURES = 1000
_MADE_BY = "segdata stats"
_IGNORED = 255
_SPLITS = ("train", "val", "test")


class Histogram(msgspec.Struct, frozen=True):
    """How many values lie from each of the `edges` to the next; the last bin holds its upper edge too."""

    edges: list[float]
    counts: list[int]


class Distribution(msgspec.Struct, frozen=True):
    """How the values of `count` samples or persons are spread: quantiles are named by their percentage."""

    count: int
    mean: float
    std: float
    min: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    histogram: Histogram


class Seen(msgspec.Struct, frozen=True):
    """How often a keypoint is visible, hidden and not labelled, among the persons with any labelled keypoint."""

    visible: int
    hidden: int
    unlabelled: int


class Stats(msgspec.Struct, frozen=True):
    """What a data set holds.

    `samples`, of them `photos` and `masks` named by the rows, `empty_masks` without a person; `persons` and `crowds` in
    all. `distributions`, each absent where there is nothing of it:

    - ``width``, ``height`` in pixels, ``megapixels``, ``aspect`` (width / height): of photos;
    - ``mask_share``: the share of the photo that the mask covers, empty masks included, void pixels left out;
    - ``persons``: a photo, crowds not counted; ``person_share``: of the photo that a person's mask covers;
    - ``keypoints``, ``visible_keypoints``: labelled, and visible, of each person that has any.

    `counts` gives the number of samples by ``split``, ``domain``, ``source`` and ``licence`` (as `licence_of` knows it,
    or else as it is stated), and of persons by ``category``; the most frequent first, domains and splits in their own
    order. `domains_by_split` crosses two of them. `keypoints` tells each keypoint's visibility.

    `heat_map` holds `GRID` rows of `GRID` numbers: in what share of the masks with a person the place is person, photos
    stretched to a square. None where there are none, or they were not read.

    `failures` are the files that could not be read, no more than 1,000 of them; `failed` counts all.
    """

    data: str
    samples: int
    photos: int
    masks: int
    empty_masks: int
    persons: int
    crowds: int
    distributions: dict[str, Distribution]
    counts: dict[str, dict[str, int]]
    domains_by_split: dict[str, dict[str, int]]
    keypoints: dict[str, Seen]
    heat_map: list[list[float]] | None
    failed: int
    failures: list[Failure]


def stats(
    data: str | Path,
    *,
    quick: bool = False,
    heat_map: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Stats:
    """Look through a data set once, and say what it holds.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    quick : reads metadata.jsonl alone; nothing is said of masks' shares and places then.
    heat_map : a .png file for the heat map. Of files that are there already, only such a picture is replaced.

    Memory: some tens of bytes a sample and person, for the quantiles. Raises `InputError` for what is no data set, one
    without a sample, and a `heat_map` that cannot be; `StorageError` when its place takes no more.
    """
    if heat_map is not None:
        _check_place(as_path(heat_map), quick=quick)
    root, rows = open_rows(data, "file_name")
    tally = _Tally()
    chosen: Engine = engine or Inline()
    if progress is not None:
        progress.begin(STEP, sum(1 for _ in rows()))
    work = Measure(str(root), quick)
    with closing(chosen.map(work, rows())) as results:
        for result in results:
            if isinstance(result, Lost):
                key = result.task["key"]
                result = Facts(key, failure=("worker-died", f"{key} ended its worker process (out of memory?)"))  # noqa: PLW2901
            tally.add(result)
            if progress is not None:
                progress.advance()
    if not tally.samples:
        raise InputError(f"{data} has no sample", "give a data set with rows")
    found = tally.stats(str(data))
    if heat_map is not None:
        if found.heat_map is None:
            raise InputError(f"{data} has no mask with a person for a heat map", "leave --heat-map away")
        with put_in_place(as_path(heat_map)) as part:
            part.write_bytes(_png(heat_picture(found.heat_map)))
    return found


def heat_picture(heat_map: list[list[float]], side: int = 512) -> npt.NDArray[np.uint8]:
    """Draw a heat map: uint8 (side, side, 3) RGB, from black over red to yellow, the highest place brightest.

    >>> heat_picture([[0.0, 1.0]], 8).shape
    (8, 8, 3)
    """
    grid = np.array(heat_map, np.float32)
    levels = np.rint(grid / max(float(grid.max()), 1e-9) * 255).astype(np.uint8)
    large = cv2.resize(levels, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def _check_place(path: Path, *, quick: bool) -> None:
    if quick:
        raise InputError("a quick look reads no masks for a heat map", "leave --quick or --heat-map away")
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is no name for a heat map", "give one that ends with .png")
    if path.exists():
        with (
            suppress(Exception),
            Image.open(io.BytesIO(read_file(path))) as image,
        ):  # whatever a decoder raises, it is none
            if image.info.get("Software") == _MADE_BY:
                return
        raise InputError(f"{path} is something else than a heat map", "choose another name for --heat-map")


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", _MADE_BY)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=note)
    return buffer.getvalue()


class _PersonFacts(NamedTuple):
    category: str
    share: float | None
    visibilities: tuple[int, ...]


class Facts(NamedTuple):
    """What is counted of a sample; `grid` is the share of each place of the heat map that is person."""

    key: str
    size: tuple[int, int] | None = None
    photo: bool = False
    mask: bool = False
    mask_share: float | None = None
    grid: bytes | None = None
    persons: tuple[_PersonFacts, ...] | None = None
    crowds: int = 0
    groups: dict[str, str] | None = None
    failure: tuple[str, str] | None = None


class Measure(msgspec.Struct, frozen=True):
    """The work on one sample."""

    root: str
    quick: bool

    def __call__(self, row: Row) -> Facts:
        """Give the facts of a row; what cannot be read is told, and the rest still counts."""
        facts = Facts(
            row["key"],
            photo=bool(row.get("file_name")),
            mask=bool(row.get("mask_file_name")),
            groups={
                "split": _text(row.get("split")),
                "domain": _text(row.get("domain")),
                "source": _text(row.get("source")),
                "licence": _licence(row),
            },
        )
        try:
            size = self._size(row)
            facts = facts._replace(size=size)
            facts = self._with_persons(facts, row)
            return self._with_mask(facts, row)
        except SampleError as error:
            return facts._replace(failure=(error.code, str(error)))

    def _size(self, row: Row) -> tuple[int, int] | None:
        """Give width and height as the row states them, or else the photo."""
        width, height = row.get("width"), row.get("height")
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            if width * height > MOST_PIXELS:
                raise SampleError("huge-image", f"{row['key']} has more pixels by its row than any camera takes")
            return width, height
        name = row.get("file_name")
        if self.quick or not isinstance(name, str) or not name:
            return None
        path = join_path(self.root, path_of(name))
        photo = check_photo(read_file(path), path)
        return photo.width, photo.height

    def _with_persons(self, facts: Facts, row: Row) -> Facts:
        if row.get("persons") is None:
            return facts
        try:
            persons = msgspec.convert(row["persons"], list[Person])
        except msgspec.ValidationError as error:
            raise SampleError(
                "bad-row", f"{self.root}: the persons of {row['key']} cannot be read ({error})"
            ) from error
        if any(person.area is not None and not 0 <= person.area <= MOST_PIXELS for person in persons):
            raise SampleError("bad-row", f"{self.root}: a person of {row['key']} has an area that no photo has")
        pixels = facts.size[0] * facts.size[1] if facts.size else 0
        told = tuple(
            _PersonFacts(
                person.category[:100],
                person.area / pixels if person.area is not None and pixels else None,
                tuple(int(seen) for _, _, seen in person.keypoints or ()),
            )
            for person in persons
            if not person.crowd
        )
        return facts._replace(persons=told, crowds=sum(person.crowd for person in persons))

    def _with_mask(self, facts: Facts, row: Row) -> Facts:
        name = row.get("mask_file_name")
        if self.quick or not isinstance(name, str) or not name:
            return facts
        path = join_path(self.root, path_of(name))
        labels = decode_labels(read_file(path), path)
        person = labels != 0
        counted = person.size
        if labels.dtype == np.uint8 and (labels == 1).any():  # 255 beside 1 is void
            void = labels == _IGNORED
            person &= ~void
            counted -= int(void.sum())
        share = int(person.sum()) / max(counted, 1)
        if not share:
            return facts._replace(mask_share=0.0)
        grid = cv2.resize(person.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
        return facts._replace(mask_share=share, grid=grid.astype(np.float16).tobytes())


def _text(value: Any) -> str:
    return NOT_STATED if value is None or value == "" else str(value)[:100]


def _licence(row: Row) -> str:
    found = licence_of(row)
    if found.licence is not None:
        return found.licence.code
    return _text(next((row[name] for name in ("licence_name", "licence_url", "licence") if row.get(name)), None))


class _Tally:
    """Adds up the facts of samples."""

    def __init__(self) -> None:
        self.samples = self.photos = self.masks = self.empty = self.persons = self.crowds = self.failed = 0
        self.values: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.crossed: dict[str, Counter[str]] = defaultdict(Counter)
        self.seen: list[Counter[int]] = [Counter() for _ in KEYPOINTS]
        self.grid = np.zeros((GRID, GRID), np.float64)
        self.grids = 0
        self.failures: list[Failure] = []

    def add(self, facts: Facts) -> None:
        """Count one sample."""
        self.samples += 1
        self.photos += facts.photo
        self.masks += facts.mask
        if facts.size is not None:
            width, height = facts.size
            self._value(width=width, height=height, megapixels=width * height / 1e6, aspect=width / height)
        if facts.mask_share is not None:
            self._value(mask_share=facts.mask_share)
            self.empty += facts.mask_share == 0
        if facts.grid is not None:
            self.grid += np.frombuffer(facts.grid, np.float16).reshape(GRID, GRID)
            self.grids += 1
        groups = facts.groups or {}
        for column, value in groups.items():
            self._count(self.counts[column], value)
        self._count(self.crossed[groups.get("split", NOT_STATED)], groups.get("domain", NOT_STATED))
        if facts.persons is not None:
            self._persons(facts.persons)
        self.crowds += facts.crowds
        if facts.failure is not None:
            self.failed += 1
            if len(self.failures) < _MOST_FAILURES:
                self.failures.append(Failure(facts.key, *facts.failure))

    def _persons(self, persons: tuple[_PersonFacts, ...]) -> None:
        self.persons += len(persons)
        self._value(persons=len(persons))
        for person in persons:
            self._count(self.counts["category"], person.category)
            if person.share is not None:
                self._value(person_share=person.share)
            labelled = sum(seen > 0 for seen in person.visibilities)
            if labelled:
                self._value(keypoints=labelled, visible_keypoints=sum(seen > 1 for seen in person.visibilities))
                for counter, seen in zip(self.seen, person.visibilities, strict=False):
                    counter[min(max(seen, 0), 2)] += 1

    def _value(self, **values: float) -> None:
        for name, value in values.items():
            self.values[name].append(value)

    @staticmethod
    def _count(counter: Counter[str], value: str) -> None:
        """Count a value; of a column of very many, such as one of names, the later ones together."""
        counter[value if value in counter or len(counter) < _MOST_VALUES else OTHERS] += 1

    def stats(self, data: str) -> Stats:
        """Give the result."""
        orders = {"split": _SPLITS, "domain": DOMAINS}
        return Stats(
            data=data,
            samples=self.samples,
            photos=self.photos,
            masks=self.masks,
            empty_masks=self.empty,
            persons=self.persons,
            crowds=self.crowds,
            distributions={name: distribution(values) for name, values in self.values.items()},
            counts={
                column: _ordered(counter, orders.get(column, ()))
                for column, counter in self.counts.items()
                if set(counter) != {NOT_STATED}
            },
            domains_by_split={
                split: _ordered(counter, DOMAINS)
                for split, counter in ((name, self.crossed[name]) for name in _ordered_names(self.crossed))
                if set(counter) != {NOT_STATED}
            },
            keypoints={
                name: Seen(counter[2], counter[1], counter[0])
                for name, counter in zip(KEYPOINTS, self.seen, strict=True)
                if counter
            },
            heat_map=(self.grid / self.grids).round(4).tolist() if self.grids else None,
            failed=self.failed,
            failures=self.failures,
        )


def _ordered_names(counters: dict[str, Counter[str]]) -> Iterator[str]:
    yield from (name for name in _SPLITS if name in counters)
    yield from (name for name in sorted(counters) if name not in _SPLITS)


def _ordered(counter: Counter[str], order: tuple[str, ...]) -> dict[str, int]:
    """Sort values: those of `order` as they stand there, others by how frequent they are, the rest at the end."""
    last = {NOT_STATED: 1, OTHERS: 2}

    def rank(value: str) -> tuple[int, int, int, str]:
        place = order.index(value) if value in order else len(order)
        return last.get(value, 0), place, -counter[value], value

    return {value: counter[value] for value in sorted(counter, key=rank)}


def distribution(values: array[float]) -> Distribution:
    """Give mean, standard deviation (divisor N) and quantiles (linear between neighbours) of one value or more.

    >>> distribution(array("d", [1, 2, 3, 4])).median
    2.5
    """
    numbers = np.frombuffer(values, np.float64)
    quantiles = np.quantile(numbers, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)).round(6).tolist()
    mean, spread = round(float(numbers.mean()), 6), round(float(numbers.std()), 6)
    return Distribution(
        count=len(numbers),
        mean=mean,
        std=spread,
        histogram=_histogram(numbers),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    )


def _histogram(numbers: npt.NDArray[np.float64]) -> Histogram:
    """Count values in bins: one for each of a few whole numbers, otherwise `_BINS` of equal width."""
    low, high = float(numbers.min()), float(numbers.max())
    if high - low < _BINS and abs(high) < _EXACT and not (numbers % 1).any():
        edges = np.arange(low, high + 2) - 0.5
    else:
        edges = np.linspace(low, high, _BINS + 1)
    if edges[0] == edges[-1]:
        edges = low + np.array([-0.05, 0.05]) * abs(low)
    counts, _ = np.histogram(numbers, edges)
    return Histogram(edges.round(6).tolist(), counts.tolist())
