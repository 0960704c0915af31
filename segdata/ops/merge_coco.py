"""Merge the persons of COCO annotations into one semantic mask an image (alisnet.txt 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np

from segdata.choices import Crowd, DrawnOn, Empty, Encoding, Invalid, Who
from segdata.dataset import Row
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.formats.coco import (
    CocoFile,
    CocoImage,
    category_of,
    decode_record,
    parse_annotation,
    person_of,
    read_bytes,
)
from segdata.journal import Report
from segdata.masks import mask_to_rle, merge_rles, rle_to_mask
from segdata.memory import DEFAULT
from segdata.ops.poses import dominant_person
from segdata.pixels import PhotoFacts, check_photo, encode_png, encode_rle_png, upright_mask, upright_point
from segdata.sample import Outcome, Person, Rle, encode, key_of, path_of
from segdata.steps import Progress, Result, SkipError, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "merge-coco"

Box = tuple[float, float, float, float]

IGNORED = 255
PERSON_BESIDE_IGNORED = 1


class Settings(msgspec.Struct, frozen=True):
    """What is merged, and how it is written."""

    categories: tuple[str, ...] = ("person",)
    crowd: Crowd = "include"
    empty: Empty = "keep"
    min_area: float = 0.0
    encoding: Encoding = "8bit"
    invalid: Invalid = "fail"
    drawn_on: DrawnOn = "upright"
    columns: tuple[str, ...] = ()
    who: Who = "all"

    def __post_init__(self) -> None:
        choices = {
            "crowd": Crowd,
            "empty": Empty,
            "encoding": Encoding,
            "invalid": Invalid,
            "drawn_on": DrawnOn,
            "who": Who,
        }
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} {getattr(self, name)!r} is not known", f"use one of {', '.join(get_args(kind))}"
                )
        if not 0 <= self.min_area < math.inf:
            raise InputError(f"an area of {self.min_area} pixels is none", "give --min-area 0 or more")
        if self.crowd == "ignore" and self.encoding == "1bit":
            raise InputError("a 1-bit mask has no room for ignored pixels", "use --encoding 8bit with --crowd ignore")


def merge_coco(
    annotations: str | Path,
    *,
    out: str | Path,
    images: str | Path | None = None,
    categories: Sequence[str] = ("person",),
    who: Who = "all",
    crowd: Crowd = "include",
    empty: Empty = "keep",
    min_area: float = 0.0,
    encoding: Encoding = "8bit",
    invalid: Invalid = "fail",
    drawn_on: DrawnOn = "upright",
    columns: Sequence[str] = (),
    memory: int | str = DEFAULT,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a data set of semantic masks from a COCO instances or person_keypoints file.

    The mask of an image is the union of all its persons, bit-identical to pycocotools' frPyObjects, merge and decode.

    Parameters
    ----------
    annotations : path of the COCO file.
    out : folder of the data set: masks/, metadata.jsonl and, with `images`, images/. Files that another run of this
        command left there are kept where nothing changed.
    images : folder of the photos, copied into the data set; without it masks and metadata alone are written.
    categories : names of the categories that are merged.
    who : ``all`` persons of an image, or its ``dominant`` one alone: the largest that is no crowd region. Others are
        then neither in the mask nor in the row.
    crowd : ``include`` counts crowd regions as person, ``drop`` leaves them out, ``ignore`` writes them as 255, persons
        then as 1.
    empty : ``keep`` writes an empty mask for an image without persons, ``skip`` leaves the image out.
    min_area : persons of fewer pixels are left out.
    encoding : ``8bit`` writes 0 and 255, ``1bit`` one bit a pixel.
    invalid : what an annotation that cannot be drawn, or repeats the id of one before it in the image, does: ``fail``
        its image, or ``drop`` out of it.
    drawn_on : for photos with an EXIF rotation, whether annotations were drawn on the ``upright`` photo or on pixels
        as ``stored``; the latter are turned upright.
    columns : further members of the image records, such as a person's or a shoot's name, that become columns of
        metadata.jsonl; null for an image without.
    memory : the most that this process takes for the file, in bytes or as ``500MB``; what it must know of a larger one
        is held in temporary files. Work on photos in this process comes on top.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Returns
    -------
    The counts of what was done. Images that fail are rows of outcomes.jsonl.

    Raises
    ------
    InputError
        If the file is no COCO file, has no such category, `memory` is too little, or `out` cannot be used.
    StorageError
        If the place takes no more. The same call goes on from there.

    Examples
    --------
    >>> import tempfile, json
    >>> folder = Path(tempfile.mkdtemp())
    >>> coco = {"images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3}],
    ...         "annotations": [{"id": 1, "image_id": 1, "category_id": 1,
    ...                          "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "bbox": [0, 0, 2, 2]}],
    ...         "categories": [{"id": 1, "name": "person"}]}
    >>> _ = (folder / "coco.json").write_text(json.dumps(coco))
    >>> merge_coco(folder / "coco.json", out=folder / "out").done
    1
    """
    settings = Settings(
        tuple(categories), crowd, empty, float(min_area), encoding, invalid, drawn_on, tuple(columns), who
    )
    coco = CocoFile(annotations, memory)
    chosen = coco.choose(settings.categories)
    folder = None if images is None else str(images)
    if folder is not None and not as_path(folder).is_dir():
        raise InputError(f"{folder} is not a folder", "give the folder of the photos with --images")
    work = MergeCoco(str(coco.path), folder, str(out), chosen, coco.licences, coco.description, settings)
    return run_step(
        STEP,
        as_path(out),
        work,
        _samples(coco, settings.columns),
        engine=engine,
        progress=progress,
        shards=shards,
        total=len(coco),
    )


class _Payload(NamedTuple):
    image: CocoImage
    annotations: list[tuple[int, int]]
    extra: dict[str, Any]


def _samples(coco: CocoFile, columns: Sequence[str]) -> Iterator[tuple[str, _Payload] | Outcome]:
    for problem in coco.problems:
        yield Outcome("", STEP, "failed", problem.code, problem.message)
    for task in coco:
        try:
            image = coco.image(task)
        except SampleError as error:
            yield Outcome(f"image record {task.number}", STEP, "failed", error.code, str(error))
            continue
        extra = decode_record(coco.read(*task.image), dict[str, Any]) if columns else {}
        yield key_of(image.file_name), _Payload(image, task.annotations, {name: extra.get(name) for name in columns})


class MergeCoco(msgspec.Struct, frozen=True):
    """The work on one image."""

    annotations: str
    images: str | None
    out: str
    categories: dict[int, str]
    licences: dict[int | str, dict[str, Any]]
    source: str | None
    settings: Settings

    def __call__(self, key: str, payload: _Payload, previous: Row | None) -> Result:
        """Merge, write the mask and the photo, and give the row."""
        image, spans, extra = payload
        records = [read_bytes(self.annotations, *span) for span in spans]
        photo_path = path_of(image.file_name)
        photo = None if self.images is None else read_file(join_path(self.images, photo_path))
        licence = self.licences.get(image.license, {}) if image.license is not None else {}
        facts_of_file = encode([image, extra, licence, self.source, sorted(self.categories)])
        mark = mark_of(self.settings, facts_of_file, *records, *([] if photo is None else [b"photo", photo]))
        if unchanged(previous, STEP, mark, self.out, ("file_name", "mask_file_name")) and previous is not None:
            return Result(previous, fresh=False, note=_note(previous))

        facts = PhotoFacts(image.width, image.height, 1)
        if photo is not None:
            facts = self._check(check_photo(photo, join_path(self.images, image.file_name)), image)
        turn = facts.orientation if self.settings.drawn_on == "stored" else 1
        persons, dropped = self._persons(records, image)
        if self.settings.who == "dominant":
            main = dominant_person(persons)
            persons = [] if main is None else [persons[main]]
        if not persons and self.settings.empty == "skip":
            raise SkipError(
                "no-person", f"{self.annotations}: {image.file_name} shows no {', '.join(self.settings.categories)}"
            )
        persons = [_upright(person, turn) for person in persons]

        mask_name = f"masks/{key}.png"
        write_file(join_path(self.out, mask_name), self._encode(persons, facts.height, facts.width))
        photo_name = None
        if photo is not None:
            photo_name = f"images/{photo_path}"
            write_file(join_path(self.out, photo_name), photo)
        columns: Row = {
            "key": key,
            "file_name": photo_name,
            "mask_file_name": mask_name,
            "width": facts.width,
            "height": facts.height,
            "exif_orientation": None if photo is None else facts.orientation,
            "image_id": image.id,
            "persons": persons,
            "source": self.source,
            "source_url": image.coco_url or image.flickr_url,
            "licence": image.license,
            "licence_name": licence.get("name"),
            "licence_url": licence.get("url"),
            **{name: extra.get(name) for name in self.settings.columns},
        }
        if self.settings.invalid == "drop":
            columns["dropped"] = dropped
        new = updated(previous, STEP, mark, columns)
        return Result(new, fresh=True, note=_note(new))

    def _check(self, facts: PhotoFacts, image: CocoImage) -> PhotoFacts:
        """Make sure that the photo and its annotations have one size, and give the photo's facts."""
        annotated = (image.width, image.height)
        upright = (facts.width, facts.height)
        if annotated == (facts.stored_size if self.settings.drawn_on == "stored" else upright):
            return facts
        name = join_path(self.images, image.file_name)
        if self.settings.drawn_on == "upright" and annotated == facts.stored_size:
            raise SampleError(
                "rotated-photo",
                f"{name} is turned by its EXIF orientation {facts.orientation}, its annotations are for the pixels as "
                f"stored ({image.width} x {image.height})",
                "use --drawn-on stored to turn the annotations upright",
            )
        raise SampleError(
            "size-mismatch",
            f"{name} is {facts.width} x {facts.height}, {self.annotations} says {image.width} x {image.height} "
            f"(image id {image.id})",
            "give the photos that were annotated",
        )

    def _persons(self, records: list[bytes], image: CocoImage) -> tuple[list[Person], list[str]]:
        """Give the persons, and what is wrong with the annotations that were dropped."""
        persons: dict[int | None, Person] = {}
        dropped = []
        for record in records:
            try:
                person = self._person(record, image)
                if person is not None and person.id in persons:
                    raise SampleError(
                        "duplicate-id",
                        f"{self.annotations}: {image.file_name} has two annotations with the id {person.id}",
                        "give each its own id, or keep the first with --invalid drop",
                    )
            except SampleError as error:
                if self.settings.invalid == "drop":
                    dropped.append(error.message)
                    continue
                raise
            if person is not None:
                persons[person.id] = person
        return list(persons.values()), dropped

    def _person(self, record: bytes, image: CocoImage) -> Person | None:
        category_id = category_of(record)
        if category_id is not None and category_id not in self.categories:
            return None
        annotation = parse_annotation(record, self.annotations, image)
        if annotation.iscrowd and self.settings.crowd == "drop":
            return None
        hint = "mend it, or leave such annotations out with --invalid drop"
        person = person_of(annotation, self.categories[annotation.category_id], self.annotations, image, hint)
        return None if (person.area or 0) < self.settings.min_area else person

    def _encode(self, persons: list[Person], height: int, width: int) -> bytes:
        def union(crowd: bool | None) -> Rle:
            rles = [person.rle for person in persons if person.rle and crowd in (None, person.crowd)]
            return merge_rles(rles, height, width)

        if self.settings.crowd != "ignore":
            return encode_rle_png(union(None), one_bit=self.settings.encoding == "1bit")
        pixels = np.zeros((height, width), np.uint8)
        pixels[rle_to_mask(union(crowd=True))] = IGNORED
        pixels[rle_to_mask(union(crowd=False))] = PERSON_BESIDE_IGNORED
        return encode_png(pixels)


def _note(row: Row) -> str:
    return "with annotations dropped" if row.get("dropped") else ""


def _upright(person: Person, orientation: int) -> Person:
    """Turn a person from the pixels as stored to the upright photo."""
    if orientation == 1 or person.rle is None:
        return person
    height, width = person.rle.size
    keypoints = person.keypoints
    if keypoints is not None:
        keypoints = [
            (*upright_point(x, y, (width - 1, height - 1), orientation), seen) if seen else (x, y, seen)
            for x, y, seen in keypoints
        ]
    rle = mask_to_rle(upright_mask(rle_to_mask(person.rle), orientation))
    size = (width, height)
    return msgspec.structs.replace(
        person,
        box=_upright_box(person.box, size, orientation),
        keypoints=keypoints,
        face_box=_upright_box(person.face_box, size, orientation),
        rle=rle,
    )


def _upright_box(box: Box | None, size: tuple[int, int], orientation: int) -> Box | None:
    """Turn a box. Its edges run from 0 to the width, where a keypoint names a pixel from 0 to width - 1."""
    if box is None:
        return None
    x, y, width, height = box
    x0, y0 = upright_point(x, y, size, orientation)
    x1, y1 = upright_point(x + width, y + height, size, orientation)
    return min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
