"""Crop the samples of a data set round their persons (alisnet.txt 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import CropPer, CropSource, ImageFormat
from segdata.dataset import Row, open_rows
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.crop_geometry import (
    MARGIN,
    Box,
    crop_array,
    crop_box,
    crop_person,
    enlarged_box,
    mask_box,
    union_box,
)
from segdata.ops.grade_domains import GRADE_COLUMNS
from segdata.ops.merge_coco import IGNORED
from segdata.ops.poses import detected_keypoints, owner_of, persons_of, poses_entry, require_poses
from segdata.pixels import decode_image, decode_labels, encode_photo, encode_png
from segdata.sample import Person, encode
from segdata.steps import FINGERPRINTS, Progress, Result, SkipError, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path, lies_in

STEP = "crop"
_FOLDERS = {
    "file_name": "images",
    "mask_file_name": "masks",
    "edge_file_name": "edges",
    "saliency_file_name": "saliency",
}
# The steps that make a file for the crop itself, in place.
_MADE_BY = {"edge_file_name": "edges", "saliency_file_name": "saliency"}
# What a crop does not share with its photo.
_DROPPED = frozenset({FINGERPRINTS, "exif_orientation", "poses", "crop_poses", "faces", *GRADE_COLUMNS})


def crop(
    data: str | Path,
    *,
    out: str | Path,
    margin: float = MARGIN,
    per: CropPer = "person",
    sources: Sequence[CropSource] = ("keypoints",),
    min_size: int = 1,
    image_format: ImageFormat = "png",
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a data set of crops: photo, mask, edge label, saliency map, keypoints, boxes and run lengths together.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    out : folder of the new data set. Its rows hold `crop` (x0, y0, x1, y1 in pixels of the photo), `crop_of` (the
        photo's key), `crop_of_size` (width, height), `crop_from` and `clipped`, by which `uncrop` finds the way back,
        and `crop_poses`, the poses that were detected in the photo. Its grade of domain does not hold for the crop.
    margin : share of the box's width added on the left and right, and of its height above and below.
    per : ``person`` makes a crop of every person, KEY-0, KEY-1, ..., and of a photo whose persons are not known one,
        KEY-0; ``image`` makes one that holds all of them, KEY.
    sources : where the box comes from: labelled ``keypoints``, a detected ``pose``, the ``mask``, or the annotated
        ``box``. Of several, the first that a person has counts. Crowd regions have none, and a pose counts for the
        person in whose box most of it lies.
    min_size : crops narrower or lower than this many pixels are skipped.
    image_format : of the cropped photos: ``png`` without loss, ``jpg`` at quality 95.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Returns
    -------
    The counts of what was done; its `notes` count the crops that were clipped at the photo's border. A person without
    any of the sources is skipped, as is a photo that the data set knows to be without persons; any other photo without
    fails.

    Raises
    ------
    InputError
        For a folder without photos, a negative margin, an `out` that cannot be used, or where the pose detector is
        not installed.
    StorageError
        If the place takes no more. The same call goes on from there.
    """
    enlarged_box((0, 0, 1, 1), margin)
    settings = CropSettings(margin, tuple(sources), min_size, image_format)
    if not settings.sources or not set(settings.sources) <= set(get_args(CropSource)):
        raise InputError(f"cannot crop from {', '.join(sources) or 'nothing'}", "name keypoints, pose, mask or box")
    if per not in get_args(CropPer):
        raise InputError(f"there are no crops per {per}", "choose person or image")
    if min_size < 1:
        raise InputError(f"crops cannot be {min_size} pixels wide", "give a least size of 1 or more")
    root, rows = open_rows(data, "file_name")
    if lies_in(root, as_path(out)) and lies_in(as_path(out), root):
        raise InputError(f"{root} cannot be cropped onto itself", "choose another folder for --out")
    if "pose" in settings.sources:
        require_poses(rows())

    def samples() -> Iterator[tuple[str, _Payload]]:
        for row in rows():
            if per == "image":
                yield row["key"], _Payload(row, None)
                continue
            # Every key gets a number: KEY-0 never meets the crop of another photo that has this name.
            for number in _counted(row) or [None]:
                yield f"{row['key']}-{number or 0}", _Payload(row, number)

    work = CropSample(str(root), str(out), settings)
    total = sum(1 for _ in samples())
    return run_step(STEP, as_path(out), work, samples(), engine=engine, progress=progress, shards=shards, total=total)


class CropSettings(msgspec.Struct, frozen=True):
    """How crops are cut."""

    margin: float
    sources: tuple[CropSource, ...]
    min_size: int
    image_format: ImageFormat


class _Payload(NamedTuple):
    row: Row
    person: int | None


class CropSample(msgspec.Struct, frozen=True):
    """The work on one crop."""

    root: str
    out: str
    settings: CropSettings

    def __call__(self, key: str, payload: _Payload, previous: Row | None) -> Result:
        """Cut, write the files, and give the row."""
        row, number = payload
        names = {column: row[column] for column in _FOLDERS if row.get(column)}
        if not names:
            raise SampleError("no-photo", f"{row['key']} of {self.root} has neither photo nor mask")
        contents = {column: read_file(join_path(self.root, name)) for column, name in names.items()}
        facts = {column: value for column, value in row.items() if column != FINGERPRINTS}
        mark = mark_of(self.settings, encode(facts), *contents.values())
        if previous is not None and unchanged(previous, STEP, mark, self.out, _FOLDERS):
            return Result(previous, fresh=False, note=_note(previous))

        persons = persons_of(row)
        arrays = {
            column: (decode_image if column == "file_name" else decode_labels)(
                data, join_path(self.root, names[column])
            )
            for column, data in contents.items()
        }
        shape = self._shape(row, persons, {names[column]: array.shape[:2] for column, array in arrays.items()})
        poses = None
        if "pose" in self.settings.sources and "file_name" in arrays:
            kept = row.get("poses"), (previous or {}).get("crop_poses")
            poses = _Poses(arrays["file_name"], contents["file_name"], kept)
        source, box = self._box(row, persons, number, arrays.get("mask_file_name"), poses)
        try:
            cut = crop_box(box, shape, self.settings.margin, min_size=self.settings.min_size)
        except SampleError as error:
            asked = error.code == "tiny-crop" and self.settings.min_size > 1
            raise (SkipError if asked else SampleError)(error.code, f"{key}: {error.message}", error.hint) from error

        columns: Row = {"key": key, **dict.fromkeys(_absent(names, previous))}
        for column, array in arrays.items():
            suffix = f".{self.settings.image_format}" if column == "file_name" else ".png"
            columns[column] = f"{_FOLDERS[column]}/{key}{suffix}"
            part = np.ascontiguousarray(crop_array(array, cut))
            encoded = encode_photo(part, suffix) if column == "file_name" else encode_png(_storable(part))
            write_file(join_path(self.out, columns[column]), encoded)
        if row.get("persons") is not None:
            ordered = _first(persons, number)
            columns["persons"] = [inside for person in ordered if (inside := crop_person(person, cut))]
        if source == "pose" and poses is not None:
            columns["crop_poses"] = poses.entry
        columns |= {
            "width": cut[2] - cut[0],
            "height": cut[3] - cut[1],
            "crop": cut,
            "crop_of": row["key"],
            "crop_of_size": (shape[1], shape[0]),
            "crop_from": source,
            "clipped": cut != enlarged_box(box, self.settings.margin),
        }
        # Files of other columns are not cropped, and do not lie here.
        kept_columns = {
            column: value
            for column, value in row.items()
            if column not in _DROPPED and not column.endswith("file_name")
        }
        new = updated(previous, STEP, mark, {**kept_columns, **columns})
        if previous is not None and tuple(previous.get("crop") or ()) != cut:  # labels made for another cut do not fit
            for column in _MADE_BY.keys() - arrays.keys():
                new[column] = None
                new[FINGERPRINTS].pop(_MADE_BY[column], None)
        for column in arrays:  # what a step made for the crop is overwritten, and that step is to do it again
            new[FINGERPRINTS].pop(_MADE_BY.get(column), None)
        return Result(new, fresh=True, note=_note(new))

    def _shape(self, row: Row, persons: list[Person], shapes: dict[str, tuple[int, ...]]) -> tuple[int, int]:
        """Give the height and width that the photo, its labels and its annotations share."""
        said = {f"the persons of {row['key']}": person.rle.size for person in persons if person.rle is not None}
        if row.get("width") and row.get("height"):
            said[f"the row of {row['key']}"] = row["height"], row["width"]
        (first, (height, width)), *others = {**shapes, **said}.items()
        for name, shape in others:
            if shape != (height, width):
                raise SampleError(
                    "size-mismatch",
                    f"{first} has {width} x {height} pixels, and {name} {shape[1]} x {shape[0]}, in {self.root}",
                    "make the photo's labels anew",
                )
        return height, width

    def _box(
        self,
        row: Row,
        persons: list[Person],
        number: int | None,
        labels: npt.NDArray[Any] | None,
        poses: _Poses | None,
    ) -> tuple[CropSource, npt.ArrayLike]:
        """Find what to cut round, from the first source that has it: a box, or keypoints (K, 3)."""
        chosen = [person for person in persons if not person.crowd] if number is None else [persons[number]]
        nobody = not chosen and row.get("persons") is not None  # the data set knows that there is nothing to crop
        for source in self.settings.sources:
            if source == "keypoints":
                points = _labelled([person.keypoints for person in chosen if person.keypoints])
                if len(points):
                    return source, points
            elif source == "box":
                boxes = [person.box for person in chosen if person.box is not None]
                if boxes:
                    return source, union_box(boxes)
            elif source == "mask":
                box = _mask_box(chosen, None if number is not None or (persons and nobody) else labels)
                if box is not None:
                    return source, box
            elif poses is not None:
                points = _labelled(
                    [pose for pose in poses.keypoints if number is None or owner_of(pose, persons) == number]
                )
                if len(points):
                    return source, points
        kind = SampleError if number is None and not nobody else SkipError
        what = " nor ".join(self.settings.sources)
        of = row["key"] if number is None else f"person {number} of {row['key']}"
        raise kind("nothing-to-crop", f"{of} has no {what} to crop by", "name a further source with --from")


class _Poses:
    """The poses of a photo, looked up or detected when they are first asked for."""

    def __init__(self, image: npt.NDArray[np.uint8], data: bytes, kept: Sequence[dict[str, Any] | None]) -> None:
        self._look_up = partial(poses_entry, image, data, *kept)

    @cached_property
    def entry(self) -> dict[str, Any]:
        """What the column holds."""
        return self._look_up()

    @property
    def keypoints(self) -> list[npt.NDArray[np.float32]]:
        """The keypoints of each person: float32 (17, 3)."""
        return detected_keypoints(self.entry)


def _labelled(keypoints: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Give the labelled ones of the keypoints of several persons: (N, 3)."""
    points = np.array([point for each in keypoints for point in np.asarray(each)], np.float64).reshape(-1, 3)
    return points[points[:, 2] > 0]


def _mask_box(persons: list[Person], labels: npt.NDArray[Any] | None) -> Box | None:
    """Give the box of the person pixels of a mask file, or without one of the persons' run lengths."""
    if labels is not None:
        mask = labels == 1
        if not mask.any() or not (labels == IGNORED).any():  # there are pixels to ignore only beside persons of 1
            mask = labels != 0
        return mask_box(mask) if mask.any() else None
    masks = [rle_to_mask(person.rle) for person in persons if person.rle is not None]
    boxes = [mask_box(mask) for mask in masks if mask.any()]
    return union_box(boxes) if boxes else None


def _absent(names: dict[str, str], previous: Row | None) -> list[str]:
    """Name the columns of files that a crop does not have: its photo has none, and no step made one for the crop."""
    marks = (previous or {}).get(FINGERPRINTS) or {}
    return [column for column in _FOLDERS if column not in names and _MADE_BY.get(column) not in marks]


def _counted(row: Row) -> list[int | None]:
    """Give the numbers of the persons of a row who are no crowd."""
    persons = row.get("persons")
    if not isinstance(persons, list):
        return []
    return [number for number, person in enumerate(persons) if not (isinstance(person, dict) and person.get("crowd"))]


def _first(persons: list[Person], number: int | None) -> list[Person]:
    """Put the person that a crop is of at the head of the list."""
    if number is None:
        return persons
    return [persons[number], *persons[:number], *persons[number + 1 :]]


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give an array in a type that the PNG writer takes: what was read from 16 bits is int32 here."""
    return array.astype(np.uint16) if array.dtype == np.int32 else array


def _note(row: Row) -> str:
    return "clipped at the border" if row.get("clipped") else ""
