"""Find photos of a data set that are there twice, edited or not, and write which belong together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import msgspec
import numpy as np

from segdata.dataset import METADATA, Dataset, Row, open_rows
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError
from segdata.files import held, read_file
from segdata.pixels import decode_image
from segdata.quality.candidates import Candidate, KeypointStore
from segdata.quality.duplicates import Likeness, Records, Relation, likeness, pixel_hash, records
from segdata.sample import path_of
from segdata.steps import Progress
from segdata.storage import join_path

STEP = "duplicates"
COLUMN = "duplicate_group"

T = TypeVar("T")
R = TypeVar("R")


class Pair(msgspec.Struct, frozen=True, gc=False):
    """Two photos that belong together, by their keys.

    `relation` is ``bytes`` or ``pixels`` for what is equal, ``copy`` for an edited copy, ``scene`` for the same scene
    shot again; `mirrored` tells that one is the mirror image of the other. For the latter two, `inliers` keypoints
    agree, and `correlation` in [-1, 1] is that of the grey values in what both show.
    """

    a: str
    b: str
    relation: Relation
    mirrored: bool = False
    inliers: int | None = None
    correlation: float | None = None


class Group(msgspec.Struct, frozen=True):
    """Samples that belong together, in the order of the data set; `name` is the key of the first.

    `splits` says how many are in each split; a group in more than one leaks.
    """

    name: str
    keys: tuple[str, ...]
    splits: dict[str, int]

    @property
    def leaks(self) -> bool:
        """Tell whether the group is in more than one split."""
        return len(self.splits) > 1


class Duplicates(msgspec.Struct, frozen=True):
    """What was found among `photos`: the groups, those that leak first, and the pairs they are made of.

    A group of n photos is held together by n - 1 pairs: what belongs together already is not compared again.
    `leaks` counts the groups that are in more than one split. `relations` counts the pairs of each relation.
    `failures` hold a sentence for each photo that could not be read. `column` names the column that was written.
    """

    data: str
    photos: int
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    relations: dict[str, int]
    leaks: int
    failures: tuple[str, ...] = ()
    column: str | None = None


def duplicates(
    data: str | Path,
    *,
    scenes: bool = True,
    write: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Duplicates:
    """Find photos that are there twice: byte for byte, pixel for pixel, edited, or the same scene shot again.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    scenes : whether photos of the same scene, taken seconds apart, belong together too. Without, only copies do.
    write : put the column `duplicate_group` into the data set, in place: the key of the first sample of the group, and
        a sample's own key where it is alone. ``split --group-by duplicate_group`` then keeps groups together.

    Copies are found after a crop, mirroring, another size, another compression and slight changes of colour; not
    after a rotation. Photos with hardly a corner in them, such as fog, are compared by bytes and pixels alone. The
    result is the same in every run, whichever engine ran it. Beside 26 kB a photo in temporary files, a photo takes
    some 200 bytes of memory.

    Raises `InputError` for a folder without photos, and for `write` where there is no metadata.jsonl.
    """
    root, rows = open_rows(data, "file_name")
    if write and not (root / METADATA).is_file():
        raise InputError(f"{root} is a plain folder of photos", "give a data set, or leave --write away")
    photos = [_photo(row) for row in rows()]
    if not any(photo.name for photo in photos):
        raise InputError(f"{root} names no photos", "give a data set with photos, or a folder of them")
    failures: list[str] = []
    with KeypointStore(len(photos)) as store:
        found = list(_equal(str(root), photos, store, failures, engine=engine, progress=progress))
        candidates = store.candidates()
    groups = _Groups(len(photos))
    for each in found:
        groups.join(each.a, each.b)
    while candidates:
        chosen, candidates = _next_round(candidates, groups)
        for candidate, alike in _compare(str(root), photos, chosen, engine, progress):
            if alike.relation == "copy" or (alike.relation == "scene" and scenes):
                found.append(_Found(candidate.a, candidate.b, alike.relation, candidate.mirrored, alike))
                groups.join(candidate.a, candidate.b)
    first = [groups.first(number) for number in range(len(photos))]
    if write:
        _write(Dataset(root), [photo.key for photo in photos], first)
    named = _named(photos, first)
    counts = Counter(each.relation for each in found)
    return Duplicates(
        data=str(root),
        photos=sum(bool(photo.name) for photo in photos),
        groups=named,
        pairs=tuple(_pair(photos, each) for each in found),
        relations={name: counts[name] for name in get_args(Relation) if counts[name]},
        leaks=sum(group.leaks for group in named),
        failures=tuple(failures),
        column=COLUMN if write else None,
    )


class _Photo(NamedTuple):
    """What is known of a sample beforehand; `name` is None where it has no photo."""

    key: str
    name: str | None
    split: str | None


class _Found(NamedTuple):
    """Two photos that belong together, by their numbers."""

    a: int
    b: int
    relation: Relation
    mirrored: bool = False
    alike: Likeness | None = None


def _photo(row: Row) -> _Photo:
    name, split = row.get("file_name"), row.get("split")
    return _Photo(
        row["key"], name if isinstance(name, str) and name else None, split if isinstance(split, str) else None
    )


def _pair(photos: list[_Photo], found: _Found) -> Pair:
    a, b = photos[found.a].key, photos[found.b].key
    if found.alike is None:
        return Pair(a, b, found.relation)
    return Pair(a, b, found.relation, found.mirrored, found.alike.inliers, round(found.alike.correlation, 4))


class _Looks(NamedTuple):
    """What one photo is recognised by."""

    file: bytes
    pixels: bytes
    upright: Records
    mirrored: Records


class _Look(msgspec.Struct, frozen=True):
    """The first work on one photo, picklable: its hashes and keypoints, or a sentence on why there are none."""

    root: str

    def __call__(self, name: str) -> _Looks | str:
        try:
            data = read_file(join_path(self.root, path_of(name)))
            image = decode_image(data, join_path(self.root, name))
        except SampleError as error:
            return str(error)
        return _Looks(hashlib.blake2b(data, digest_size=16).digest(), pixel_hash(image), *records(image))


def _equal(
    root: str,
    photos: list[_Photo],
    store: KeypointStore,
    failures: list[str],
    *,
    engine: Engine | None,
    progress: Progress | None,
) -> Iterator[_Found]:
    """Yield the photos that are equal to an earlier one, and keep the keypoints of the others."""
    files: dict[bytes, int] = {}
    pixels: dict[bytes, int] = {}
    numbers = [number for number, photo in enumerate(photos) if photo.name]
    work: Callable[[str], _Looks | str] = _Look(root)
    results = _run(work, [str(photos[number].name) for number in numbers], "photos", engine, progress)
    for number, looks in zip(numbers, results, strict=True):
        if isinstance(looks, Lost):
            failures.append(f"{root}/{looks.task} ended its worker process each time (out of memory?)")
        elif isinstance(looks, str):
            failures.append(looks)
        elif (same := files.setdefault(looks.file, number)) != number:
            yield _Found(same, number, "bytes")
        elif (same := pixels.setdefault(looks.pixels, number)) != number:
            yield _Found(same, number, "pixels")
        else:
            store.put(number, looks.upright, looks.mirrored)


class _CompareTask(NamedTuple):
    a: str
    b: str
    mirrored: bool


class _Compare(msgspec.Struct, frozen=True):
    """The second work, on two photos, picklable."""

    root: str

    def __call__(self, task: _CompareTask) -> Likeness:
        a, b = (decode_image(read_file(join_path(self.root, path_of(name))), name) for name in (task.a, task.b))
        return likeness(np.ascontiguousarray(a[:, ::-1]) if task.mirrored else a, b)


def _compare(
    root: str, photos: list[_Photo], candidates: list[Candidate], engine: Engine | None, progress: Progress | None
) -> Iterator[tuple[Candidate, Likeness]]:
    tasks = [_CompareTask(str(photos[each.a].name), str(photos[each.b].name), each.mirrored) for each in candidates]
    work: Callable[[_CompareTask], Likeness] = _Compare(root)
    for candidate, alike in zip(candidates, _run(work, tasks, "pairs", engine, progress), strict=True):
        if not isinstance(alike, Lost):
            yield candidate, alike


def _run(
    work: Callable[[T], R], tasks: list[T], what: str, engine: Engine | None, progress: Progress | None
) -> Iterator[R | Lost[T]]:
    chosen: Engine = engine or Inline()
    if progress is not None:
        progress.begin(f"{STEP}: {what}", len(tasks))
    with closing(chosen.map(work, tasks)) as results:
        for result in results:
            yield result
            if progress is not None:
                progress.advance()


class _Groups:
    """Which photos belong together (union-find); a group is known by its first."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def first(self, number: int) -> int:
        """Give the first of a photo's group: itself where it is alone."""
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    def join(self, a: int, b: int) -> None:
        """Put two photos into one group."""
        low, high = sorted((self.first(a), self.first(b)))
        self._above[high] = low


def _next_round(candidates: list[Candidate], groups: _Groups) -> tuple[list[Candidate], list[Candidate]]:
    """Choose what to compare now, and what is left for later.

    Each photo has its turn with the one that it shares most with. What belongs together by then is not compared:
    a group of a hundred copies takes about a hundred comparisons, not five thousand.
    """
    chosen, left, met = [], [], set()
    for each in sorted(candidates, key=lambda each: (-each.votes, each)):
        if groups.first(each.a) == groups.first(each.b):
            continue
        if each.a in met and each.b in met:
            left.append(each)
        else:
            chosen.append(each)
            met |= {each.a, each.b}
    return chosen, left


def _named(photos: list[_Photo], first: list[int]) -> tuple[Group, ...]:
    """Give the groups of more than one, those that leak first, then the largest."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for number, lead in enumerate(first):
        if lead != number:
            members[lead].append(number)
    groups = []
    for lead, others in members.items():
        numbers = [lead, *others]
        splits = Counter(split for number in numbers if (split := photos[number].split) is not None)
        keys = tuple(photos[number].key for number in numbers)
        groups.append(Group(keys[0], keys, dict(sorted(splits.items()))))
    return tuple(sorted(groups, key=lambda group: (not group.leaks, -len(group.keys), group.name)))


def _write(dataset: Dataset, keys: list[str], first: list[int]) -> None:
    with held(dataset.root):
        names = [keys[lead] for lead in first]
        if [row["key"] for row in dataset.rows()] != keys:
            raise InputError(f"{dataset.metadata} was changed meanwhile", "run the command again")
        dataset.rewrite({**row, COLUMN: name} for row, name in zip(dataset.rows(), names, strict=True))
