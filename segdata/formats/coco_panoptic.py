"""COCO panoptic: the person of each pixel as a colour PNG a photo, and one JSON file that tells whose colour it is.

Specification: https://cocodataset.org/#format-data and https://github.com/cocodataset/panopticapi ::

    annotations/panoptic_default.json
    annotations/panoptic_default/KEY.png    the id of a pixel's segment, as R + 256 G + 65536 B; 0 where there is none
    images/KEY.jpg                          the photos, under the suffix that they have

A pixel has one segment, so that persons who overlap cannot all be whole. A pixel of several goes to the smallest, of
those of one size to the first, and crowds lie beneath all others: so the fewest pixels of each are lost, and a person
in front of another stays whole more often than not. The union of all, the semantic mask, is kept bit for bit. One who
has no pixel left is left out, as are keypoints, which segments do not have. Background is not told from pixels that
nobody knows; `ReadOptions.void` 0 reads files in which all that is known has a segment, as COCO's own are.

A segment's id is the person's where it is from 1 to 16,777,215, the most that a colour holds; otherwise it is a free
one, and `annotation_id` beside it is the person's. Further members are those of `segdata.formats.coco_json`. Reading
looks for the PNGs in the folder with the JSON file's name, as COCO has them (annotations/panoptic_val2017.json,
annotations/panoptic_val2017/), and takes segments of the categories that are asked for.

panopticapi is not used: the colours are a line of NumPy, and records are streamed here.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.errors import InputError, SampleError
from segdata.files import read_file
from segdata.formats.base import Encoded, Export, Format, Incoming, Outgoing, ReadOptions, WriteOptions
from segdata.formats.coco import CocoFile, CocoImage, Id, decode_record, read_bytes
from segdata.formats.coco_folders import PANOPTIC, find_json, recognise_json
from segdata.formats.coco_json import (
    CocoSource,
    Common,
    Opened,
    Payload,
    image_record,
    photo_files,
    write_coco,
)
from segdata.formats.drawing import VOID_LOST, draw_numbers
from segdata.masks import mask_to_rle, rle_area, rle_box
from segdata.pixels import decode_image, encode_photo
from segdata.sample import Person, path_of
from segdata.storage import join_path

_FOLDER = "annotations/panoptic_default"
_FILE = f"{_FOLDER}.json"
_LARGEST = (1 << 24) - 1
_OVERLAPS = "with pixels of several persons given to the smallest"

Labels = npt.NDArray[np.int32]


class _Segment(msgspec.Struct, gc=False):
    id: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
    category_id: Id
    iscrowd: int | bool = 0
    bbox: tuple[float, float, float, float] | None = None
    score: float | None = None
    annotation_id: Id | None = None


class _Annotation(msgspec.Struct, gc=False):
    file_name: str
    segments_info: list[_Segment]


class _Parse(msgspec.Struct, frozen=True):
    file: Opened
    masks: str
    void: int | None

    def __call__(self, _: str, payload: Payload) -> Incoming:
        image, categories = payload.image, self.file.categories
        if len(payload.annotations) != 1:
            raise SampleError(
                "bad-annotation",
                f"{self.file.path}: {image.file_name} (image id {image.id}) has {len(payload.annotations)} annotations"
                " and needs one",
            )
        annotation = self._annotation(read_bytes(self.file.path, *payload.annotations[0]), image)
        labels = self._labels(annotation.file_name, image)
        self._check_ids(annotation.segments_info, labels, image)
        chosen = [segment for segment in annotation.segments_info if segment.category_id in categories]
        persons = [_person(segment, categories[segment.category_id], labels) for segment in chosen]
        found = self.file.incoming(payload, persons, others=len(chosen) < len(annotation.segments_info))
        return found if self.void is None else found._replace(void=labels == self.void)

    def _annotation(self, record: bytes, image: CocoImage) -> _Annotation:
        try:
            return decode_record(record, _Annotation)
        except msgspec.DecodeError as error:
            raise SampleError(
                "bad-annotation",
                f"{self.file.path}: the annotation of {image.file_name} (image id {image.id}): {error}",
            ) from error

    def _labels(self, file_name: str, image: CocoImage) -> Labels:
        name = join_path(self.masks, path_of(file_name))
        data = read_file(name)
        colours = decode_image(data, name).astype(np.int32)
        height, width, _ = colours.shape
        if (width, height) != (image.width, image.height):
            raise SampleError(
                "size-mismatch",
                f"{name} is {width} x {height}, {self.file.path} says {image.width} x {image.height} (image id "
                f"{image.id})",
            )
        labels: Labels = colours[..., 0] | colours[..., 1] << 8 | colours[..., 2] << 16
        return labels

    def _check_ids(self, segments: list[_Segment], labels: Labels, image: CocoImage) -> None:
        """Make sure that the PNG and the JSON have the same segments, each once."""
        listed = [segment.id for segment in segments]
        where = f"of {image.file_name} (image id {image.id})"
        for number in sorted({*listed} ^ ({*np.unique(labels).tolist()} - {0})):
            what = "is not in its PNG" if number in listed else "is in its PNG, and not in segments_info"
            raise SampleError("bad-segment", f"{self.file.path}: segment {number} {where} {what}")
        for ids in (listed, [_person_id(segment) for segment in segments]):
            for place, number in enumerate(ids):
                if number in ids[:place]:
                    raise SampleError("duplicate-id", f"{self.file.path}: segment {number} {where} is listed twice")


def _person(segment: _Segment, category: str, labels: Labels) -> Person:
    return Person(
        id=_person_id(segment),
        category=category,
        category_id=segment.category_id,
        crowd=bool(segment.iscrowd),
        box=segment.bbox if all(map(math.isfinite, segment.bbox or ())) else None,
        rle=mask_to_rle(labels == segment.id),
        score=segment.score if math.isfinite(segment.score or 0) else None,
    )


def _person_id(segment: _Segment) -> int:
    return segment.id if segment.annotation_id is None else segment.annotation_id


def open_panoptic(path: Path, options: ReadOptions) -> CocoSource:
    """Open a .json file, or a folder that holds one or has one in its annotations/.

    Raises `InputError` for what is no COCO file, a file without the categories or its folder of PNGs, and a folder
    with several files.
    """
    coco = CocoFile(find_json(path, PANOPTIC), options.memory)
    masks = coco.path.with_suffix("")
    if not masks.is_dir():
        raise InputError(f"{masks} does not exist", "put the folder of the PNGs beside the .json file, by its name")
    return CocoSource(coco, _Parse(Opened.of(coco, options), str(masks), options.void))


def encode_panoptic(sample: Outgoing, _: WriteOptions) -> Encoded:
    """Draw the persons as one PNG and give its segments; categories and licences get their numbers at the end."""
    ids = _segment_ids([person.id for person in sample.persons])
    labels = draw_numbers(sample.persons, ids, sample.mask.shape)
    if sample.void is not None:
        labels[sample.void] = 0
    file_name = f"{sample.key}.png"
    segments: list[Row] = []
    overlapping = False
    for person, number in zip(sample.persons, ids, strict=True):
        rle = mask_to_rle(labels == number)
        area = rle_area(rle)
        overlapping |= person.rle is not None and area < rle_area(person.rle)
        if not area:
            continue
        segment: Row = {
            "id": number,
            "category_id": person.category_id,
            "category": person.category,
            "area": area,
            "bbox": [int(side) for side in rle_box(rle)],
            "iscrowd": int(person.crowd),
        }
        if person.id != number:
            segment["annotation_id"] = person.id
        if person.score is not None:
            segment["score"] = person.score
        segments.append(segment)
    colours = np.stack((labels, labels >> 8, labels >> 16), axis=2).astype(np.uint8)
    record = {"image": image_record(sample), "file_name": file_name, "annotations": segments}
    files = [*photo_files(sample), (f"{_FOLDER}/{file_name}", encode_photo(colours, ".png"))]
    note = VOID_LOST if sample.void is not None and sample.void.any() else _OVERLAPS if overlapping else ""
    return Encoded(files, record, note)


def _segment_ids(ids: list[int | None]) -> list[int]:
    """Keep the ids that a colour holds, and give free ones for the others."""
    kept = [number if number is not None and 1 <= number <= _LARGEST else None for number in ids]
    free = (number for number in count(1) if number not in kept)
    return [next(free) if number is None else number for number in kept]


def assemble_panoptic(export: Export) -> None:
    """Write the JSON file, walking through the records three times: what they share, photos, annotations."""
    common = Common(((record["image"], record["annotations"]) for _, record in export.records()), export.options.label)
    images = (common.image(record["image"]) for _, record in export.records())
    annotations = (
        {
            "image_id": record["image"]["id"],
            "file_name": record["file_name"],
            "segments_info": [common.annotation(segment) for segment in record["annotations"]],
        }
        for _, record in export.records()
    )
    write_coco(export.out / _FILE, common, common.category_records(isthing=1), images, annotations)


FORMAT = Format(
    name="coco-panoptic",
    about="COCO panoptic: a colour PNG a photo, and one JSON file of its segments",
    reads="a .json file with the folder of PNGs of the same name, or the folder that they lie in",
    writes="annotations/panoptic_default.json, the PNGs beside it and images/; a segment for each person",
    loses="pixels where persons overlap (they go to the smallest), and keypoints; void is background",
    kept="mask",
    recognise=partial(recognise_json, kind=PANOPTIC),
    open=open_panoptic,
    encode=encode_panoptic,
    assemble=assemble_panoptic,
)
