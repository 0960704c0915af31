"""COCO: one JSON file of photos and persons, beside a folder of photos.

Specification: https://cocodataset.org/#format-data and, for scores, https://cocodataset.org/#format-results ::

    annotations/instances_default.json
    images/KEY.jpg    the photos, under the suffix that they have

The folder and the names follow COCO's own; datumaro finds no file elsewhere. Masks are written as compressed run
lengths, bit for bit, or as polygons. COCO's polygons are united, so that none can be a hole: a person with a hole
stays run lengths, and so does a crowd, always. Ids of photos, annotations and categories are kept; categories are
numbered anew, person first, where some person has no number or one number has two names. Members that COCO does not
define: `split`, and `source` and `model` where photos differ in them, in the records of photos; `score` and `face_box`
in annotations; `model` in `info`. Tools pass over them. Other columns stay behind.

Reading takes polygons, run lengths and compressed run lengths, from files of any size. Photos are looked for in
images/ beside the file, in folders of the name of the split as COCO has them (annotations/instances_val2017.json,
val2017/), and beside the file itself.

pycocotools draws and encodes; its COCO class holds a whole file in memory and does not write. datumaro and supervision
write COCO, but the one rounds coordinates through float32 and the other makes crowds of persons with a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from segdata.dataset import Row, write_lines
from segdata.errors import SampleError
from segdata.files import read_file, storage_error
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.coco import (
    CocoFile,
    CocoImage,
    category_of,
    decode_record,
    parse_annotation,
    person_of,
    read_bytes,
)
from segdata.formats.coco_folders import INSTANCES, find_json, find_photos, recognise_json
from segdata.formats.polygons import trace_rle
from segdata.masks import rle_area, rle_box
from segdata.sample import Outcome, Person, Rle, encode, key_of, path_of
from segdata.storage import join_path

_STEP = "import"
_FILE = "annotations/instances_default.json"
_KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
_SKELETON = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11)),
    *((2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)

HOLES = "with persons kept as run lengths, for a polygon has no hole"
OTHER_LABELS = "with other labels left out"
VOID = "with void pixels, kept where crowd regions are"


class _ImageFacts(msgspec.Struct, gc=False):
    """The members of a photo's record that COCO does not define."""

    split: str | None = None
    source: str | None = None
    model: str | None = None


class Payload(NamedTuple):
    """A photo's parsed record, where it lies, and where its annotations lie: (offset, length) in bytes."""

    image: CocoImage
    record: tuple[int, int]
    annotations: list[tuple[int, int]]


class Opened(msgspec.Struct, frozen=True):
    """What every process must know of an opened file: where it and its photos are, and what it says of all photos."""

    path: str
    photos: str | None
    categories: dict[int, str]
    licences: dict[int | str, dict[str, Any]]
    source: str | None
    model: str | None

    @classmethod
    def of(cls, coco: CocoFile, options: ReadOptions) -> Opened:
        """Choose the categories and find the photos. Raises `InputError` for a category that there is not."""
        chosen = coco.choose(options.categories)
        photos = find_photos(coco, options.images)
        return cls(str(coco.path), photos, chosen, coco.licences, coco.description, coco.model)

    def incoming(self, payload: Payload, persons: list[Person], *, others: bool) -> Incoming:
        """Give a photo with its persons; `others` tells that labels were left out.

        Raises `SampleError` (``bad-image-record``, ``missing-file``, ``unreadable-file``) that names the file.
        """
        image = payload.image
        name = path_of(image.file_name)
        columns = self._columns(image, read_bytes(self.path, *payload.record))
        photo = None if self.photos is None else read_file(join_path(self.photos, name))
        return Incoming(
            width=image.width,
            height=image.height,
            photo=photo,
            photo_name=None if photo is None else name,
            persons=persons,
            columns=columns,
            note=OTHER_LABELS if others else "",
        )

    def _columns(self, image: CocoImage, record: bytes) -> Row:
        try:
            facts = decode_record(record, _ImageFacts)
        except msgspec.DecodeError as error:
            where = f"{self.path}: {image.file_name} (image id {image.id})"
            raise SampleError("bad-image-record", f"{where}: {error}") from error
        licence = self.licences.get(image.license, {}) if image.license is not None else {}
        columns: Row = {
            "image_id": image.id,
            "source": facts.source or self.source,
            "source_url": image.coco_url or image.flickr_url,
            "licence": image.license,
            "licence_name": licence.get("name"),
            "licence_url": licence.get("url"),
        }
        further = {"split": facts.split, "model": facts.model or self.model}
        return columns | {name: value for name, value in further.items() if value is not None}


class CocoSource:
    """An opened file. Iterating gives its photos in their order, and first what belongs to none of them."""

    def __init__(self, coco: CocoFile, parse: Callable[[str, Any], Incoming]) -> None:
        self.coco = coco
        self.parse = parse
        self.total: int | None = len(coco)

    def __iter__(self) -> Iterator[tuple[str, Any] | Outcome]:
        for problem in self.coco.problems:
            yield Outcome("", _STEP, "failed", problem.code, problem.message)
        for task in self.coco:
            try:
                image = self.coco.image(task)
            except SampleError as error:
                yield Outcome(f"image record {task.number}", _STEP, "failed", error.code, str(error))
                continue
            yield key_of(image.file_name), Payload(image, task.image, task.annotations)


class _Parse(msgspec.Struct, frozen=True):
    file: Opened

    def __call__(self, _: str, payload: Payload) -> Incoming:
        image, path, categories = payload.image, self.file.path, self.file.categories
        persons: dict[int | None, Person] = {}
        others = False
        for span in payload.annotations:
            record = read_bytes(path, *span)
            category = category_of(record)
            if category is not None and category not in categories:
                others = True
                continue
            annotation = parse_annotation(record, path, image)
            if annotation.id in persons:
                raise SampleError(
                    "duplicate-id",
                    f"{path}: {image.file_name} has two annotations with the id {annotation.id}",
                    "give each its own id",
                )
            persons[annotation.id] = person_of(annotation, categories[annotation.category_id], path, image)
        return self.file.incoming(payload, list(persons.values()), others=others)


def open_coco(path: Path, options: ReadOptions) -> CocoSource:
    """Open a .json file, or a folder that holds one or has one in its annotations/.

    Raises `InputError` for what is no COCO file, a file without the categories, and a folder with several files.
    """
    coco = CocoFile(find_json(path, INSTANCES), options.memory)
    return CocoSource(coco, _Parse(Opened.of(coco, options)))


def encode_coco(sample: Outgoing, options: WriteOptions) -> Encoded:
    """Give a photo's record and those of its persons; categories and licences get their numbers at the end."""
    noted = False
    annotations = []
    for person in sample.persons:
        if person.rle is None:
            continue
        segmentation: Any = person.rle
        if options.shapes == "polygons" and not person.crowd:
            segmentation, holes = _polygons(person.rle, options.tolerance)
            noted |= holes
        annotations.append(_annotation(person, person.rle, segmentation, sample.image_id))
    record = {"image": image_record(sample), "annotations": annotations}
    note = VOID if sample.void is not None and sample.void.any() else HOLES if noted else ""
    return Encoded(photo_files(sample), record, note)


def photo_files(sample: Outgoing) -> list[tuple[str, bytes]]:
    """Give the photo as a file below images/, where there is one."""
    if sample.photo is None or sample.photo_name is None:
        return []
    return [(f"images/{sample.photo_name}", sample.photo)]


def image_record(sample: Outgoing) -> Row:
    """Give a photo's record, with what is found out about all photos still in it.

    A sample that never had a photo is called KEY.jpg.
    """
    row = sample.row
    return {
        "id": sample.image_id,
        "file_name": sample.photo_name or f"{sample.key}.jpg",
        "width": sample.width,
        "height": sample.height,
        "license": [row.get("licence"), _text(row.get("licence_name")), _text(row.get("licence_url"))],
        "coco_url": _text(row.get("source_url")),
        "split": row.get("split"),
        "source": row.get("source"),
        "model": _text(sample.model),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _polygons(rle: Rle, tolerance: float) -> tuple[list[list[float]] | Rle, bool]:
    outlines = trace_rle(rle, tolerance)
    holes = any(outline.holes for outline in outlines)
    return (rle if holes or not outlines else [outline.outer for outline in outlines]), holes


def _annotation(person: Person, rle: Rle, segmentation: Any, image_id: int) -> Row:
    record: Row = {
        "id": person.id,
        "image_id": image_id,
        "category_id": person.category_id,
        "category": person.category,
        "segmentation": segmentation,
        "area": rle_area(rle),
        "bbox": person.box or rle_box(rle),
        "iscrowd": int(person.crowd),
    }
    if person.keypoints is not None:
        record["num_keypoints"] = sum(seen > 0 for _, _, seen in person.keypoints)
        record["keypoints"] = [number for point in person.keypoints for number in point]
    if person.score is not None:
        record["score"] = person.score
    if person.face_box is not None:
        record["face_box"] = person.face_box
    return record


class Common:
    """What all photos of an export share, found in one walk through them: memory for each distinct value alone."""

    def __init__(self, images: Iterable[tuple[Row, list[Row]]], label: str) -> None:
        licences: dict[tuple[Any, Any, Any], None] = {}
        categories: dict[tuple[int | None, str], None] = {}
        shared: dict[str, dict[str | None, None]] = {"source": {}, "model": {}}
        self.keypoints = False
        for image, persons in images:
            licences[_licence_of(image)] = None
            for name, values in shared.items():
                if len(values) < 2:
                    values[image[name]] = None
            for annotation in persons:
                categories[annotation["category_id"], annotation["category"]] = None
                self.keypoints |= "keypoints" in annotation
        self.shared = {name: next(iter(values)) for name, values in shared.items() if len(values) == 1}
        self.licences = _numbered(licences)
        self.categories = _category_ids(categories, label)

    def image(self, image: Row) -> Row:
        """Give a photo's record as it is written."""
        licence = self.licences.get(_licence_of(image))
        return _known({**image, "license": licence, **dict.fromkeys(self.shared)})

    def annotation(self, annotation: Row) -> Row:
        """Give an annotation or a segment as it is written."""
        values = {**annotation, "category_id": self.categories[annotation["category"]]}
        del values["category"]
        return values

    def info(self) -> Row:
        """Give what is known of the whole file."""
        names = {"source": "description", "model": "model"}
        return _known({names[name]: value for name, value in self.shared.items()})

    def licence_records(self) -> list[Row]:
        """Give the licences."""
        return [_known({"id": number, "name": name, "url": url}) for (_, name, url), number in self.licences.items()]

    def category_records(self, **members: Any) -> list[Row]:
        """Give the categories, each with `members`."""
        return [
            {"id": number, "name": name, "supercategory": "person", **members}
            for name, number in sorted(self.categories.items(), key=lambda each: each[1])
        ]


def _known(record: Row) -> Row:
    return {name: value for name, value in record.items() if value is not None}


def _licence_of(image: Row) -> tuple[Any, Any, Any]:
    number, name, url = image["license"]
    return number, name, url


def _numbered(licences: Iterable[tuple[Any, Any, Any]]) -> dict[tuple[Any, Any, Any], int | str]:
    """Keep the licences' ids where each has its own, and number them otherwise."""
    known = [licence for licence in licences if any(part is not None for part in licence)]
    ids = [licence[0] for licence in known]
    if None not in ids and len(set(ids)) == len(ids):
        return {licence: licence[0] for licence in known}
    return {licence: number for number, licence in enumerate(known, start=1)}


def _category_ids(found: Iterable[tuple[int | None, str]], label: str) -> dict[str, int]:
    """Keep the categories' ids where each name has one and each its own name; otherwise number them, person first."""
    pairs = list(found)
    ids = {name: number for number, name in pairs if number is not None}
    if pairs and len(ids) == len(pairs) == len(set(ids.values())):
        return ids
    names = {name for _, name in pairs} or {label}
    return {name: number for number, name in enumerate(sorted(names, key=lambda each: (each != "person", each)), 1)}


def assemble_coco(export: Export) -> None:
    """Write the JSON file, walking through the records three times: what they share, photos, annotations."""
    common = Common(((record["image"], record["annotations"]) for _, record in export.records()), export.options.label)
    members = {"keypoints": _KEYPOINTS, "skeleton": _SKELETON} if common.keypoints else {}
    images = (common.image(record["image"]) for _, record in export.records())
    annotations = (
        common.annotation(annotation) for _, record in export.records() for annotation in record["annotations"]
    )
    write_coco(export.out / _FILE, common, common.category_records(**members), images, annotations)


def write_coco(
    path: Path, common: Common, categories: list[Row], images: Iterable[Row], annotations: Iterable[Row]
) -> None:
    """Write a COCO file in one step, a record a line, with flat memory. Raises `StorageError`."""

    def lines() -> Iterator[bytes]:
        yield b'{"info": ' + encode(common.info()) + b","
        yield b'"licenses": ' + encode(common.licence_records()) + b","
        yield b'"categories": ' + encode(categories) + b","
        yield b'"images": ['
        yield from _separated(images)
        yield b'],\n"annotations": ['
        yield from _separated(annotations)
        yield b"]}"

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path.parent, error) from error
    write_lines(path, lines())


def _separated(records: Iterable[Row]) -> Iterator[bytes]:
    """Put a comma behind each record but the last."""
    last: bytes | None = None
    for record in records:
        if last is not None:
            yield last + b","
        last = encode(record)
    if last is not None:
        yield last


FORMAT = Format(
    name="coco",
    about="COCO instances: one JSON file, with the photos beside it",
    reads="a .json file, or the folder that it lies in; polygons and run lengths",
    writes="annotations/instances_default.json and images/; run lengths, or polygons for persons without a hole",
    loses="columns that COCO has no place for; void pixels but in crowds, as merge-coco --crowd ignore reads them back",
    kept="persons",
    recognise=partial(recognise_json, kind=INSTANCES),
    open=open_coco,
    encode=encode_coco,
    assemble=assemble_coco,
    takes=("shapes", "tolerance"),
)
