"""Faults that show only between samples: names, ids and photos that are there twice, and samples in two splits.

While the samples are checked, some hashes of each are kept, 8 bytes apiece. What turns up twice is named afterwards, in
a second pass over the rows or records.
"""

from __future__ import annotations

import os
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.formats.coco import CocoFile
from segdata.pixels import IMAGE_SUFFIXES
from segdata.quality.validate.coco_file import ImageFacts
from segdata.quality.validate.findings import Fault, Finding, finding_of
from segdata.quality.validate.samples import Facts, key_in
from segdata.sample import encode, key_of
from segdata.storage import files_below, is_url, join_path, names_in

GROUPS = ("duplicate_group", "crop_of")


def folded(name: str) -> str:
    """Give a name as file systems that ignore case compare it.

    >>> folded("Shoot/A.jpg") == folded("shoot/a.JPG")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Hashes:
    """A 64-bit hash a sample, in order; 0 where there is nothing to compare."""

    def __init__(self) -> None:
        self.values = array("Q")

    def add(self, data: bytes | str | None) -> None:
        """Hash what the next sample has."""
        self.values.append(0 if data is None else hash_of(data))

    def column(self) -> npt.NDArray[np.uint64]:
        """Give the hashes: uint64 (N,)."""
        return np.frombuffer(self.values, np.uint64) if self.values else np.zeros(0, np.uint64)

    def repeated(self) -> frozenset[int]:
        """Give those that are there more than once."""
        values, counts = np.unique(self.column(), return_counts=True)
        return frozenset(values[(counts > 1) & (values != 0)].tolist())


def hash_of(data: bytes | str) -> int:
    """Hash to 64 bits, never 0."""
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


class AcrossSamples:
    """Compares the samples of a data set. `groups` names columns whose values must not be in two splits."""

    def __init__(self, root: Path, metadata: str, groups: Sequence[str] = GROUPS) -> None:
        self.root, self.metadata = root, metadata
        self.groups = tuple(dict.fromkeys((*GROUPS, *groups)))
        self.lines, self.keys, self.folds, self.photos, self.ids = (Hashes() for _ in range(5))
        self.splits = Hashes()
        self.members = {column: Hashes() for column in self.groups}
        self.files = array("Q")
        self.folders: set[str] = set()
        self._said: set[tuple[str, str | None]] = set()  # groups in two splits: one finding each

    def add(self, line: bytes, facts: Facts | None) -> None:
        """Take note of the next sample; None for a line that cannot be read."""
        row = msgspec.json.decode(line, type=dict[str, Any]) if facts is not None else {}
        key = None if facts is None else facts.key
        image_id = row.get("image_id") if row.get("crop_of") is None else None
        self.lines.add(None if facts is None else line)
        self.keys.add(key)
        self.folds.add(None if key is None else folded(key))
        self.photos.add(None if facts is None or facts.photo is None else facts.photo)
        self.ids.add(None if image_id is None else encode(image_id))
        self.splits.add(_text(row.get("split")))
        for column, hashes in self.members.items():
            hashes.add(_text(row.get(column)))
        for name in facts.files if facts is not None else ():
            self.files.append(hash_of(name))
            self.folders.add(name.partition("/")[0] if "/" in name else "")

    def findings(self, lines: Iterable[bytes]) -> Iterator[Finding]:
        """Yield what is there twice. `lines` are those that were added."""
        yield from self._twice(lines)
        yield from self._unnamed()

    def _twice(self, lines: Iterable[bytes]) -> Iterator[Finding]:
        columns = {"line": self.lines, "key": self.keys, "fold": self.folds, "photo": self.photos, "id": self.ids}
        repeated = {name: hashes.repeated() for name, hashes in columns.items()}
        repeated |= {f"group {name}": self._straddling(hashes) for name, hashes in self.members.items()}
        columns |= {f"group {name}": hashes for name, hashes in self.members.items()}
        if not any(repeated.values()):
            return
        first: dict[tuple[str, int], _Own] = {}
        for number, line in enumerate(lines):
            if not self.keys.values[number]:
                continue
            row = msgspec.json.decode(line, type=dict[str, Any])
            own = _Own(key_in(row), _text(row.get("split")), row)
            earlier: dict[str, _Own] = {}
            for name, hashes in columns.items():
                value = hashes.values[number]
                if value in repeated[name] and (other := first.setdefault((name, value), own)) is not own:
                    earlier[name] = other
                    if other.split is None:  # the next ones are compared with one whose split is known
                        first[name, value] = own
            for fault in self._faults(own, earlier):
                yield finding_of(fault, self.metadata, own.key, key=own.key)

    def _faults(self, own: _Own, earlier: dict[str, _Own]) -> Iterator[Fault]:
        """Yield what is wrong with a sample beside the first ones that share something with it."""
        if "line" in earlier:
            yield Fault("repeated-row", "stands there again", mendable=True)
            return
        if "key" in earlier:
            yield Fault("duplicate-key", "is the key of another row")
        elif "fold" in earlier and earlier["fold"].key != own.key:
            yield Fault("case-collision", f"differs from {earlier['fold'].key} only in case or accents")
        if "id" in earlier:
            yield Fault("duplicate-id", f"has the image_id {own.row['image_id']} of {earlier['id'].key}")
        if "photo" in earlier:
            yield _same_photo(earlier["photo"], own.split)
        for column in self.groups:
            other = earlier.get(f"group {column}")
            if other is not None and None not in (own.split, other.split) and own.split != other.split:
                if (column, _text(own.row[column])) in self._said:
                    continue
                self._said.add((column, _text(own.row[column])))
                same = f"{other.key} of the same {column} ({_shown(own.row[column])})"
                yield Fault("two-splits", f"is in {own.split}, and {same} in {other.split}")

    def _straddling(self, members: Hashes) -> frozenset[int]:
        """Give the groups that are in more than one split. Samples without a split are in none."""
        groups, splits = members.column(), self.splits.column()
        known = (groups != 0) & (splits != 0)
        if not known.any():
            return frozenset()
        pairs = np.unique(np.stack((groups[known], splits[known]), axis=1), axis=0)
        values, counts = np.unique(pairs[:, 0], return_counts=True)
        return frozenset(values[counts > 1].tolist())

    def _unnamed(self) -> Iterator[Finding]:
        """Yield images in the folders that rows name, and that no row names."""
        named = np.unique(np.frombuffer(self.files, np.uint64)) if self.files else np.zeros(0, np.uint64)
        for folder in sorted(self.folders):
            for name in _images_in(self.root, folder):
                place = np.searchsorted(named, np.uint64(hash_of(name)))
                if place == len(named) or named[place] != hash_of(name):
                    yield finding_of(Fault("unnamed-file", "is named by no row"), join_path(self.root, name), name)


class _Own(NamedTuple):
    """A sample that may be the first to have something."""

    key: str
    split: str | None
    row: Row


def _same_photo(other: _Own, split: str | None) -> Fault:
    if split is not None and other.split is not None and split != other.split:
        return Fault("two-splits", f"is in {split}, and {other.key} with the same photo in {other.split}")
    return Fault("same-photo", f"has the photo of {other.key}")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else encode(value).decode()


def _shown(value: Any) -> str:
    text = _text(value) or ""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _images_in(root: Path, folder: str) -> Iterator[str]:
    """Yield the images below a folder of a data set, as paths in it; of the data set's own folder only those in it."""
    if is_url(root):
        for name in names_in(str(root)) if not folder else files_below(join_path(root, folder)):
            hidden = any(part.startswith(".") for part in name.split("/"))
            if not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                yield f"{folder}/{name}" if folder else name
        return
    for place, folders, names in os.walk(root / folder):
        folders[:] = sorted(name for name in folders if folder and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                yield Path(place, name).relative_to(root).as_posix()


class AcrossImages:
    """Compares the images and annotations of a COCO file. 12 bytes of memory an annotation, 24 an image."""

    def __init__(self, coco: CocoFile) -> None:
        self.coco = coco
        self.keys, self.folds, self.photos = Hashes(), Hashes(), Hashes()
        self.ids, self.owners = array("q"), array("l")
        self.count = 0

    def add(self, facts: ImageFacts | None) -> None:
        """Take note of the next image; None for one that cannot be read."""
        key = None if facts is None else facts.key
        self.keys.add(key)
        self.folds.add(None if key is None else folded(key))
        self.photos.add(None if facts is None else facts.photo)
        if facts is not None:
            self.ids.extend(id_ for id_ in facts.ids if -(1 << 63) <= id_ < 1 << 63)
            self.owners.extend([self.count] * (len(self.ids) - len(self.owners)))
        self.count += 1

    def findings(self) -> Iterator[Finding]:
        """Yield what is there twice."""
        folds, photos = self.folds.repeated(), self.photos.repeated()
        repeated = self._repeated_ids()
        if not (folds or photos or repeated):
            return
        path = str(self.coco.path)
        first: dict[tuple[str, int], str] = {}
        for task in self.coco:
            fold, photo = self.folds.values[task.number], self.photos.values[task.number]
            if fold not in folds and photo not in photos and task.number not in repeated:
                continue
            name = self._name(task)
            key = key_of(name)
            faults = []
            if fold in folds and (other := first.setdefault(("fold", fold), name)) != name and key_of(other) != key:
                faults.append(Fault("case-collision", f"differs from {other} only in case or accents"))
            if photo in photos and (other := first.setdefault(("photo", photo), name)) != name:
                faults.append(Fault("same-photo", f"has the photo of {other}"))
            for fault in faults:
                yield finding_of(fault, path, name, key=key)
            for id_ in repeated.get(task.number, ()):
                if ("id", id_) not in first:
                    first["id", id_] = name
                    continue
                fault = Fault("duplicate-id", f"has the id of one of {first['id', id_]}")
                yield finding_of(fault, path, f"annotation {id_} of {name}", key=key, id=id_)

    def _name(self, task: Any) -> str:
        record = msgspec.json.decode(self.coco.read(*task.image), type=dict[str, Any])
        return str(record["file_name"])

    def _repeated_ids(self) -> dict[int, list[int]]:
        """Give the ids of annotations that are there twice, by the number of their image."""
        if not self.ids:
            return {}
        ids, owners = np.frombuffer(self.ids, np.int64), np.array(self.owners)
        values, counts = np.unique(ids, return_counts=True)
        repeated: dict[int, list[int]] = {}
        for place in np.flatnonzero(np.isin(ids, values[counts > 1])).tolist():
            repeated.setdefault(int(owners[place]), []).append(int(ids[place]))
        return repeated
