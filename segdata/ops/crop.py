"""Crop the samples of a data set round their persons (alisnet.txt 3.2), and paste predictions back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from segdata.masks import rle_to_mask
from segdata.ops.crop_geometry import (
    MARGIN,
    Box,
    crop_array,
    crop_box,
    crop_person,
    crop_person_box,
    enlarged_box,
    keypoints_box,
    mask_box,
    union_box,
)
from segdata.ops.poses import detected_keypoints, poses_entry
from segdata.pixels import decode_image, decode_labels, encode_photo, encode_png
from segdata.sample import Person, encode
from segdata.steps import Progress, Report, Result, SkipError, mark_of, run_step, unchanged, updated

STEP = "crop"
_FILES = ("file_name", "mask_file_name", "edge_file_name", "saliency_file_name")
# What a crop does not share with its photo.
_DROPPED = ("fingerprints", "domain", "face_ratio", "face_detector", "poses", "exif_orientation")


def crop(
    data: str | Path,
    *,
    out: str | Path,
    margin: float = MARGIN,
    per: CropPer = "person",
    sources: Sequence[CropSource] = ("keypoints",),
    min_size: int = 1,
    image_format: ImageFormat = "png",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a data set of crops: photo, mask, edge label, saliency map, keypoints, boxes and run lengths together.

    Parameters
    ----------
    data : a data set, or a folder of photos.
    out : folder of the new data set. Its rows hold `crop` (x0, y0, x1, y1 in pixels of the photo), `crop_of` (the
        photo's key), `crop_of_size` (width, height), `crop_from` and `clipped`, by which `uncrop` finds the way back.
    margin : share of the box's width added on the left and right, and of its height above and below.
    per : ``person`` makes a crop of every person, KEY-0, KEY-1, ...; ``image`` one that holds all of them, KEY.
    sources : where the box comes from: labelled ``keypoints``, a detected ``pose``, the ``mask``, or the annotated
        ``box``. Of several, the first that a person has counts. Crowd regions have none.
    min_size : crops narrower or lower than this many pixels are skipped.
    image_format : of the cropped photos: ``png`` without loss, ``jpg`` at quality 95.

    Returns
    -------
    The counts of what was done; its `notes` count the crops that were clipped at the photo's border. A person without
    any of the sources is skipped, as is a photo that the data set knows to be without persons; any other photo without
    fails.

    Raises
    ------
    InputError
        For a folder without photos, a negative margin, or an `out` that cannot be used.
    StorageError
        If the place takes no more. The same call goes on from there.
    """
    enlarged_box((0, 0, 1, 1), margin)
    settings = CropSettings(margin, tuple(sources), min_size, image_format)
    if not settings.sources or not set(settings.sources) <= set(get_args(CropSource)):
        raise InputError(f"cannot crop from {', '.join(sources) or 'nothing'}", "name keypoints, pose, mask or box")
    root, rows = open_rows(data, "file_name")

    def samples() -> Iterator[tuple[str, _Payload]]:
        for row in rows():
            persons = row.get("persons") or []
            if per == "image" or not persons:
                yield row["key"], _Payload(row, None)
                continue
            for number, person in enumerate(persons):
                if not person.get("crowd"):
                    yield f"{row['key']}-{number}", _Payload(row, number)

    work = CropSample(str(root), str(out), settings)
    total = sum(1 for _ in samples())
    return run_step(STEP, Path(out), work, samples(), engine=engine, progress=progress, total=total)


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
        names = {column: row[column] for column in _FILES if row.get(column)}
        if not names:
            raise SampleError("no-photo", f"{row['key']} of {self.root} has neither photo nor mask")
        contents = {column: read_file(f"{self.root}/{name}") for column, name in names.items()}
        facts = {column: value for column, value in row.items() if column != "fingerprints"}
        mark = mark_of(self.settings, encode(facts), *contents.values())
        if previous is not None and unchanged(previous, STEP, mark, Path(self.out), _FILES):
            return Result(previous, fresh=False, note=_note(previous))

        persons = msgspec.convert(row.get("persons") or [], list[Person])
        chosen = persons if number is None else [persons[number]]
        arrays = {
            column: decode_image(data, names[column]) if column == "file_name" else decode_labels(data, names[column])
            for column, data in contents.items()
        }
        shape = next(iter(arrays.values())).shape[:2]
        source, box = self._box(row, chosen, contents, arrays, whole=number is None)
        try:
            cut = crop_box(box, shape, self.settings.margin, min_size=self.settings.min_size)
        except SampleError as error:
            kind = SkipError if error.code == "tiny-crop" else SampleError
            raise kind(error.code, f"{key}: {error.message}", error.hint) from error

        columns: Row = {"key": key, **dict.fromkeys(_FILES)}
        for column, array in arrays.items():
            folder = names[column].split("/")[0] if "/" in names[column] else "images"
            suffix = f".{self.settings.image_format}" if column == "file_name" else ".png"
            columns[column] = f"{folder}/{key}{suffix}"
            part = np.ascontiguousarray(crop_array(array, cut))
            encoded = encode_photo(part, suffix) if column == "file_name" else encode_png(_storable(part))
            write_file(f"{self.out}/{columns[column]}", encoded)
        face_box = row.get("face_box")
        columns |= {
            "width": cut[2] - cut[0],
            "height": cut[3] - cut[1],
            "persons": [inside for person in chosen_first(persons, number) if (inside := crop_person(person, cut))],
            "face_box": None if face_box is None else crop_person_box(tuple(face_box), cut),
            "crop": cut,
            "crop_of": row["key"],
            "crop_of_size": (shape[1], shape[0]),
            "crop_from": source,
            "clipped": cut != enlarged_box(box, self.settings.margin),
        }
        kept = {column: value for column, value in row.items() if column not in _DROPPED}
        new = updated(previous, STEP, mark, {**kept, **columns})
        return Result(new, fresh=True, note=_note(new))

    def _box(
        self,
        row: Row,
        persons: list[Person],
        contents: dict[str, bytes],
        arrays: dict[str, npt.NDArray[Any]],
        *,
        whole: bool,
    ) -> tuple[CropSource, npt.ArrayLike]:
        """Find what to cut round, from the first source that has it: a box, or keypoints (K, 3)."""
        persons = [person for person in persons if not person.crowd]
        for source in self.settings.sources:
            if source == "keypoints":
                labelled = [person.keypoints for person in persons if person.keypoints]
                points = np.array([point for keypoints in labelled for point in keypoints], np.float64).reshape(-1, 3)
                if points[:, 2].any():
                    keypoints_box(points)
                    return source, points
            elif source == "box":
                boxes = [person.box for person in persons if person.box is not None]
                if boxes:
                    return source, union_box(boxes)
            elif source == "mask":
                box = self._mask_box(persons, contents, whole=whole)
                if box is not None:
                    return source, box
            elif "file_name" in arrays:
                poses = detected_keypoints(poses_entry(row, arrays["file_name"], contents["file_name"]))
                if len(poses):
                    return source, np.concatenate(poses)
        nobody = not persons and "persons" in row  # the data set knows that there is nothing to crop
        kind = SampleError if whole and not nobody else SkipError
        what = " nor ".join(self.settings.sources)
        raise kind("nothing-to-crop", f"{row['key']} has no {what} to crop by", "name a further source with --from")

    def _mask_box(self, persons: list[Person], contents: dict[str, bytes], *, whole: bool) -> Box | None:
        if whole and "mask_file_name" in contents:
            labels = decode_labels(contents["mask_file_name"])
            return mask_box(labels != 0) if labels.any() else None
        masks = [rle_to_mask(person.rle) for person in persons if person.rle is not None]
        boxes = [mask_box(mask) for mask in masks if mask.any()]
        return union_box(boxes) if boxes else None


def chosen_first(persons: list[Person], number: int | None) -> list[Person]:
    """Put the person that a crop is of at the head of the list."""
    if number is None:
        return persons
    return [persons[number], *persons[:number], *persons[number + 1 :]]


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give an array in a type that the PNG writer takes: what was read from 16 bits is int32 here."""
    return array.astype(np.uint16) if array.dtype == np.int32 else array


def _note(row: Row) -> str:
    return "clipped at the border" if row.get("clipped") else ""
