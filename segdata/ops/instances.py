"""Tell the persons of every semantic mask of a data set apart (portrait_instance.txt 2.2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from segdata.dataset import Dataset, Row
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.masks import Mask, mask_to_rle, rle_area, rle_to_mask
from segdata.ops.affinity import Box, Labels, split_instances
from segdata.ops.crop_geometry import crop_box
from segdata.ops.poses import persons_of, poses_entry, require_poses
from segdata.pixels import decode_image, decode_mask, encode_png
from segdata.sample import Person, encode
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "instances"
BoxSource = Literal["annotations", "pose", "mask"]

_SMALLEST_REGION = 1e-3  # of the photo's pixels; a smaller region of a mask is no person of its own


def instances(
    data: str | Path,
    *,
    boxes: BoxSource = "mask",
    void: int | None = None,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Share the pixels of each semantic mask among the persons, in place.

    Each person with a box or keypoints and without an outline gets one: `rle`, and `box` and `area` where they were
    missing. Annotated outlines keep their pixels; crowds are left alone. instances/KEY.png, in the new column
    `instances_file_name`, holds for each pixel the place of its person in `persons`, counted from 1: a palette image,
    or one of 16 bits for more than 255 persons. Where annotated outlines overlap, the smaller person lies on top.

    Parameters
    ----------
    data : a data set with photos and masks.
    boxes : where the persons are in a photo of which no person is annotated. ``mask`` takes each connected region of
        the mask for a person, ``pose`` the one whom a pose detector finds, whose pose is kept in the column `poses`;
        ``annotations`` knows of none.
    void : the value of mask pixels that are no one's, such as 255.
    shards : put the new files in so many tar archives instead of one by one, as `segdata.shards` says.

    Outlines and persons that were estimated bear the member `estimated` (``outline``, ``box`` where that is
    estimated too, or ``person``) in their row, and are made anew when mask, photo or annotations change. How the
    pixels are shared is described at `split_instances`. The report's `notes` count photos without any person, and those
    with a person who got no pixel.

    Raises `InputError` for a folder that is no data set, an unknown source of boxes, or where the pose detector is
    not installed; `StorageError` when the place takes no more.
    """
    if boxes not in get_args(BoxSource):
        raise InputError(f"there are no boxes of {boxes!r}", f"use one of {', '.join(get_args(BoxSource))}")
    dataset = Dataset(data)
    if boxes == "pose":
        require_poses(row for row in dataset.rows() if not _annotated(row))

    def samples() -> Iterator[tuple[str, Row]]:
        for row in dataset.rows():
            yield row["key"], row

    work, target, total = Instances(str(data), str(data), Settings(boxes, void)), as_path(data), len(dataset)
    return run_step(
        STEP, target, work, samples(), engine=engine, progress=progress, shards=shards, total=total, in_place=True
    )


class Settings(msgspec.Struct, frozen=True):
    """Which boxes are taken."""

    boxes: BoxSource
    void: int | None


class Instances(msgspec.Struct, frozen=True):
    """The work on one mask."""

    root: str
    out: str
    settings: Settings

    def __call__(self, key: str, payload: Row, previous: Row | None) -> Result:
        """Share the mask's pixels, write the labels, and give the row."""
        name, photo_name = payload.get("mask_file_name"), payload.get("file_name")
        if not name:
            raise SampleError("no-mask", f"{key} of {self.root} has no mask", "make masks first, such as by merge-coco")
        if not photo_name:
            raise SampleError("no-photo", f"{key} of {self.root} has no photo", "give the photos to merge-coco")
        data, photo = read_file(join_path(self.root, name)), read_file(join_path(self.root, photo_name))
        persons = _annotated(payload)
        known = persons_of({"key": key, "persons": persons})
        mark = mark_of(self.settings, data, photo, encode([(p.rle, p.box, p.keypoints, p.crowd) for p in known]))
        columns: Row = {"instances_file_name": f"instances/{key}.png"}
        if unchanged(previous, STEP, mark, self.out, columns) and previous is not None:
            return Result(previous, fresh=False, note=_note(previous["persons"]))

        mask, _ = decode_mask(data, join_path(self.root, name), self.settings.void)
        image = decode_image(photo, join_path(self.root, photo_name))
        labels, rest = _outlined(known, mask, key)
        if not persons and self.settings.boxes == "mask":
            persons = [{"category": "person", "box": box, "estimated": "person"} for box in _region_boxes(rest)]
        elif not persons and self.settings.boxes == "pose":
            columns["poses"] = poses_entry(image, photo, payload.get("poses"), (previous or {}).get("poses"))
            persons = [
                {"category": "person", "box": pose["box"], "keypoints": pose["keypoints"], "estimated": "person"}
                for pose in columns["poses"]["found"]
            ]
        try:
            columns["persons"] = _share(image, rest, labels, persons)
        except SampleError as error:
            raise SampleError(error.code, f"{key} of {self.root}: {error.message}", error.hint) from error
        write_file(join_path(self.out, columns["instances_file_name"]), encode_instances(labels))
        return Result(updated(payload, STEP, mark, columns), fresh=True, note=_note(columns["persons"]))


def encode_instances(labels: Labels) -> bytes:
    """Encode int32 (H, W) of 0 and persons counted from 1 as a palette PNG, in 16 bits for more than 255.

    >>> from segdata.pixels import decode_labels
    >>> decode_labels(encode_instances(np.array([[0, 2]], np.int32)))
    array([[0, 2]], dtype=uint8)
    """
    if labels.max(initial=0) > 255:
        return encode_png(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    # Hues a golden angle apart, the first ones bright: neighbours in number differ most.
    numbers = np.arange(255)
    hues = (numbers * 0.618 % 1 * 180).astype(np.uint8)
    bright = (255 - 64 * (numbers // 8 % 3)).astype(np.uint8)
    colours = cv2.cvtColor(np.stack([hues, np.full_like(hues, 190), bright], axis=1)[None], cv2.COLOR_HSV2RGB)
    image.putpalette(np.vstack([np.zeros((1, 3), np.uint8), np.asarray(colours, np.uint8)[0]]).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _annotated(row: Row) -> list[Row]:
    """Give the persons of a row without what this step estimated."""
    persons = []
    for person in row.get("persons") or []:
        drop = {"outline": {"rle", "area"}, "box": {"rle", "area", "box"}}.get(person.get("estimated"), set())
        if person.get("estimated") != "person":
            persons.append({name: value for name, value in person.items() if name not in drop | {"estimated"}})
    return persons


def _outlined(persons: list[Person], mask: Mask, key: str) -> tuple[Labels, Mask]:
    """Draw the persons who have an outline, larger ones first; give the labels and the mask's other pixels."""
    labels, rest = np.zeros(mask.shape, np.int32), mask.copy()
    drawn = [(rle_area(person.rle), number, person) for number, person in enumerate(persons, start=1) if person.rle]
    for _, number, person in sorted(drawn, key=lambda each: (-each[0], each[1])):
        if person.rle is None or person.rle.size != mask.shape:
            raise SampleError("size-mismatch", f"an outline of {key} differs from its mask in size", "make them anew")
        outline = rle_to_mask(person.rle)
        rest &= ~outline
        if not person.crowd:
            labels[outline] = number
    return labels, rest


def _share(image: npt.NDArray[np.uint8], rest: Mask, labels: Labels, persons: list[Row]) -> list[Row]:
    """Share the pixels of `rest` among the persons without an outline: into `labels`, and as new persons."""
    seeking: dict[int, Box] = {}
    for number, person in enumerate(persons, start=1):
        box = None if person.get("rle") or person.get("crowd") else _box(person, rest.shape)
        if box is not None:
            seeking[number] = box
    keypoints = [persons[number - 1].get("keypoints") for number in seeking]
    split = split_instances(image, rest, list(seeking.values()), keypoints)
    shared = list(persons)
    for place, (number, box) in enumerate(seeking.items(), start=1):
        own = split == place
        labels[own] = number
        rle = mask_to_rle(own)
        given = persons[number - 1]
        kept = {name: value for name, value in given.items() if name not in {"box", "area", "rle", "estimated"}}
        estimated = given.get("estimated") or ("outline" if given.get("box") else "box")
        facts = {"box": box, "area": rle_area(rle), "rle": msgspec.to_builtins(rle), "estimated": estimated}
        shared[number - 1] = {**kept, **facts}
    return shared


def _box(person: Row, shape: tuple[int, int]) -> Box | None:
    if person.get("box") or not person.get("keypoints"):
        return person.get("box")
    try:
        x0, y0, x1, y1 = crop_box(person["keypoints"], shape)
    except SampleError:  # none is labelled
        return None
    return x0, y0, x1 - x0, y1 - y0


def _region_boxes(mask: Mask) -> list[Box]:
    """Give the boxes of the connected regions of a mask, the largest first, without specks."""
    _, _, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    regions = sorted(np.asarray(facts[1:], np.int64).tolist(), key=lambda fact: (-fact[4], fact[:4]))
    large = [fact for fact in regions if fact[4] >= _SMALLEST_REGION * mask.size]
    return [(float(fact[0]), float(fact[1]), float(fact[2]), float(fact[3])) for fact in large]


def _note(persons: list[Row]) -> str:
    if not persons:
        return "without persons"
    empty = any(person.get("rle") and not person.get("area", 1) for person in persons)
    return "with persons without pixels" if empty else ""
