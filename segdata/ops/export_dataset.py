"""Write a data set in the format of another tool."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np

from segdata.choices import MaskValues, Shapes
from segdata.dataset import METADATA, Dataset, Row
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, is_file, read_file, write_file
from segdata.formats.base import Encoded, Export, Outgoing, WriteOptions
from segdata.formats.polygons import lost_pixels
from segdata.formats.registry import find_format
from segdata.journal import EXPORTED, Report
from segdata.masks import mask_to_rle, merge_rles, rle_area, rle_box, rle_to_mask
from segdata.pixels import decode_mask
from segdata.sample import Person, encode, path_of
from segdata.shards import loose_name
from segdata.steps import Progress, Result, run_step, unchanged, updated
from segdata.storage import as_path, join_path

RECORDS = ".segdata"
"""The folder in an export where it is kept what was written, so that a later run does what has changed."""

_UNITED = "whose mask is not that of its persons, written as one"


def export_dataset(
    data: str | Path,
    format: str,  # noqa: A002 - the word that users know
    *,
    out: str | Path,
    images: str | Path | None = None,
    photos: bool = True,
    shapes: Shapes = "masks",
    tolerance: float = 0.5,
    values: MaskValues = "8bit",
    void: int | None = None,
    label: str = "person",
    photo_url: str | None = None,
    per_shard: int = 10_000,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the photos and masks of a data set for another tool.

    Parameters
    ----------
    data : the data set.
    format : one of `segdata.formats.registry.FORMATS`.
    out : folder to write. A second run does what has changed; files of samples that are gone are removed.
    images : folder of the photos, for a data set without them, such as `annotate` writes.
    photos : write the photos too.
    shapes : where a format knows both, ``masks`` bit for bit or ``polygons``.
    tolerance : how far the outline of a polygon may be from the mask's, in pixels.
    values : what mask files hold: ``8bit`` 0 and 255, ``1bit`` one bit, ``01`` 0 and 1, ``16bit`` 0 and 65535,
        ``palette`` an index with colours, ``persons`` a file for each person.
    void : the value of mask pixels that nobody knows, such as 255 where merge-coco ignored crowds.
    label : the name of a person whose category is not known.
    photo_url : what goes before the names of photos where a tool loads them from a server.
    per_shard : how many samples a shard holds.

    A sample's persons are written where their union is its mask. Where it is not, for the mask was changed, the mask
    counts, as one person; the report's notes say how many. Persons keep their ids where no two of the data set share
    one, photos their image ids likewise; otherwise all are numbered anew.

    Returns
    -------
    The counts of what was done; with polygons also how many pixels come back otherwise. Samples that fail are rows of
    .segdata/outcomes.jsonl in `out`.

    Raises
    ------
    InputError
        For a format that there is not, an option that the format does not know, what is no data set, a tolerance or
        shard that is none, and an `out` that holds something else.
    StorageError
        If the place takes no more. The same call goes on from there.
    """
    found = find_format(format)
    for name, value, kind in (("shapes", shapes, Shapes), ("values", values, MaskValues)):
        if value not in get_args(kind):
            raise InputError(f"{name} {value!r} is not known", f"use one of {', '.join(get_args(kind))}")
    if not 0 <= tolerance <= 100:  # NaN is none either
        raise InputError(f"a tolerance of {tolerance} pixels is none", "give one from 0 to 100")
    if per_shard < 1:
        raise InputError(f"{per_shard} samples a shard are none", "give 1 or more")
    options = WriteOptions(shapes, tolerance, values, label, photo_url, per_shard)
    for name in WriteOptions.__struct_fields__:
        asked = getattr(options, name) != getattr(WriteOptions(), name)
        if asked and name not in ("label", *found.takes):
            knows = ", ".join(found.takes) or "none of these options"
            raise InputError(f"{format} has no {name.replace('_', '-')} to choose", f"it knows {knows}")
    dataset = Dataset(data)
    place = as_path(out)
    if images is not None and not as_path(images).is_dir():
        raise InputError(f"{images} is not a folder", "give the folder of the photos")
    ids = _Ids.of(dataset)
    options = msgspec.structs.replace(options, categories=ids.categories)
    folder = None if images is None else str(images)
    step = f"export-{format}"
    outlined = "tolerance" in found.takes and (shapes == "polygons" or found.kept == "outlines")
    work = ExportSample(step, str(dataset.root), folder, str(out), photos, void, options, found.encode, outlined)
    records = place / RECORDS
    report = run_step(
        step,
        place,
        work,
        _samples(dataset, ids),
        engine=engine,
        progress=progress,
        total=ids.photos,
        records=records,
    )
    if found.assemble is not None:
        read = partial(_read, str(dataset.root), folder)
        found.assemble(Export(place, partial(_records, records), options, read))
    if not outlined:
        return report
    pixels, lost = (sum(row[name] for row in Dataset(records).rows()) for name in ("pixels", "lost"))
    return msgspec.structs.replace(report, notes={**report.notes, f"of {pixels:,} pixels lost by polygons": lost})


def _records(records: Path) -> Iterator[tuple[str, Any]]:
    for row in Dataset(records).rows():
        yield row["key"], row["record"]


class _Ids(NamedTuple):
    """Which ids of a data set can be kept, the first that is free, and all categories. 8 bytes of memory an id."""

    photos: int
    keep_persons: bool
    keep_photos: bool
    free: int
    categories: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> _Ids:
        persons, photos, count = array("q"), array("q"), 0
        categories: set[str] = set()
        for sample in dataset:
            count += 1
            persons.extend(each.id for each in sample.persons if each.id is not None)
            categories.update(each.category for each in sample.persons)
            if sample.image_id is not None:
                photos.append(sample.image_id)
        keep_persons = _distinct(persons)
        return cls(
            count,
            keep_persons,
            len(photos) == count and _distinct(photos),
            max(persons, default=0) + 1 if keep_persons else 1,
            tuple(sorted(categories)),
        )


def _distinct(ids: array[int]) -> bool:
    return np.unique(np.frombuffer(ids, np.int64)).size == len(ids) if ids else True


class _Payload(NamedTuple):
    """A row, the photo's id, and one for each person, or for the whole mask where there are none."""

    number: int
    row: Row
    image_id: int
    ids: list[int]


def _samples(dataset: Dataset, ids: _Ids) -> Iterator[tuple[str, _Payload]]:
    free = ids.free
    for number, row in enumerate(dataset.rows()):
        given = []
        for person in row.get("persons") or [{}]:
            own = person.get("id") if ids.keep_persons else None
            given.append(free if own is None else own)
            free += own is None
        yield row["key"], _Payload(number, row, row["image_id"] if ids.keep_photos else number + 1, given)


class ExportSample(msgspec.Struct, frozen=True):
    """The work on one sample."""

    step: str
    root: str
    images: str | None
    out: str
    photos: bool
    void: int | None
    options: WriteOptions
    encode: Callable[[Outgoing, WriteOptions], Encoded]
    outlined: bool

    def __call__(self, key: str, payload: _Payload, previous: Row | None) -> Result:
        """Write the sample's own files, and give what goes into those of several samples."""
        if any(part.startswith(".") for part in key.split("/")):
            raise SampleError(
                "hidden-name", f"{key} of {self.root} begins with a dot, and tools pass over such files", "rename it"
            )
        row = payload.row
        name = row.get("mask_file_name")
        if not name:
            raise SampleError("no-mask", f"{key} of {self.root} has no mask", "leave such samples out")
        mask_bytes = read_file(join_path(self.root, path_of(name)))
        photo_file = _photo_file(row, self.images)
        photo = _read(self.root, self.images, photo_file) if self.photos and photo_file is not None else None
        facts = encode([self.photos, self.void, self.options, payload])
        mark = fingerprint(facts, mask_bytes, *([] if photo is None else [photo]))
        if unchanged(previous, self.step, mark, self.out, ()) and previous is not None and self._there(previous):
            return Result(previous, fresh=False, note=previous["note"])
        sample, note = self._outgoing(key, payload, mask_bytes, photo, photo_file)
        encoded = self.encode(sample, self.options)
        for file_name, content in encoded.files:
            write_file(join_path(self.out, path_of(file_name)), content)
        columns: Row = {
            "key": key,
            EXPORTED: [file_name for file_name, _ in encoded.files],
            "record": encoded.record,
            "note": encoded.note or note,
        }
        if self.outlined:
            rles = [person.rle for person in sample.persons if person.rle is not None]
            columns["pixels"] = sum(map(rle_area, rles))
            columns["lost"] = sum(lost_pixels(rle, self.options.tolerance) for rle in rles)
        return Result(updated(None, self.step, mark, columns), fresh=True, note=columns["note"])

    def _there(self, previous: Row) -> bool:
        return all(is_file(join_path(self.out, name)) for name in previous[EXPORTED])

    def _outgoing(
        self, key: str, payload: _Payload, mask_bytes: bytes, photo: bytes | None, photo_file: str | None
    ) -> tuple[Outgoing, str]:
        row = payload.row
        mask, void = decode_mask(mask_bytes, join_path(self.root, row["mask_file_name"]), self.void)
        height, width = mask.shape
        persons = [
            msgspec.structs.replace(person, id=number)
            for person, number in zip(_persons(row, self.root), payload.ids, strict=False)
            if person.rle is not None
        ]
        note = ""
        score = row.get("confidence")
        known = all(person.rle is not None and person.rle.size == (height, width) for person in persons)
        union = rle_to_mask(merge_rles([each.rle for each in persons if each.rle], height, width)) if known else None
        if union is None or not np.array_equal(union if void is None else union & ~void, mask):
            note = _UNITED if row.get("persons") else ""
            persons = []
            if mask.any():
                rle = mask_to_rle(mask)
                persons = [
                    Person(
                        id=payload.ids[0],
                        category=self.options.label,
                        box=rle_box(rle),
                        area=rle_area(rle),
                        rle=rle,
                        score=score,
                    )
                ]
        name = None if photo_file is None else loose_name("file_name", key, photo_file).removeprefix("images/")
        sample = Outgoing(
            number=payload.number,
            key=key,
            image_id=payload.image_id,
            photo=photo,
            photo_name=name,
            photo_file=photo_file,
            mask_file=row["mask_file_name"],
            width=width,
            height=height,
            mask=mask,
            void=void,
            persons=persons,
            score=score,
            model=row.get("model"),
            row=row,
        )
        return sample, note


def _persons(row: Row, root: str) -> list[Person]:
    try:
        return msgspec.convert(row.get("persons") or [], list[Person])
    except msgspec.ValidationError as error:
        raise SampleError(
            "bad-row", f"{root}/{METADATA}: the persons of {row['key']} cannot be read ({error})"
        ) from error


def _photo_file(row: Row, images: str | None) -> str | None:
    """Name the photo: in the data set, or else in the folder of photos, where `annotate` saw it."""
    name = row.get("file_name") or (row.get("photo") if images is not None else None)
    return None if name is None else str(name)


def _read(root: str, images: str | None, name: str) -> bytes:
    """Read a file of the data set, or a photo that lies in the folder of photos."""
    path = join_path(root, path_of(name))
    return read_file(path if images is None or is_file(path) else join_path(images, path_of(name)))
