"""Merge class-index images of human parts into person masks (md_trisenet.txt V-C does this to ATR)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.choices import Encoding
from segdata.dataset import Row, find_images
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.masks import Mask, mask_to_rle, rle_area, rle_box
from segdata.pixels import check_photo, decode_labels, encode_rle_png
from segdata.sample import Person
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import as_path, join_path

STEP = "merge-parts"


def merge_labels(labels: npt.NDArray[np.integer], background: Sequence[int] = (0,)) -> Mask:
    """Give the mask of all pixels whose class is none of `background`: integer (H, W) to bool (H, W).

    >>> merge_labels(np.array([[0, 7, 3]], np.uint8), background=(0, 3)).tolist()
    [[False, True, False]]
    """
    return np.isin(labels, np.array(background, np.int64), invert=True)


def merge_parts(
    labels: str | Path,
    *,
    out: str | Path,
    images: str | Path | None = None,
    background: Sequence[int | str] = (0,),
    names: str | Path | None = None,
    encoding: Encoding = "8bit",
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a data set of person masks from a folder of class-index PNGs.

    Parameters
    ----------
    labels : folder of the class-index images: greyscale or palette, a class number a pixel.
    out : folder of the data set: masks/, metadata.jsonl and, with `images`, images/. A second run does what changed.
    images : folder of the photos, matched by key (path without suffix); a label image without photo fails.
    background : classes that are no person, by number or by their name in `names`.
    names : a JSON file that gives the classes' names: an object of number to name, or a list.
    encoding : ``8bit`` writes 0 and 255, ``1bit`` one bit a pixel.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Raises
    ------
    InputError
        If a folder or the names file cannot be read, or a background name is not in it.
    StorageError
        If the place takes no more. The same call goes on from there.

    Examples
    --------
    >>> import tempfile
    >>> from segdata.pixels import encode_png
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_file(folder / "parts" / "a.png", encode_png(np.array([[0, 7, 3]], np.uint8)))
    >>> merge_parts(folder / "parts", out=folder / "out").done
    1
    """
    found = find_images(labels)
    if not found:
        raise InputError(f"{labels} holds no images", "give a folder of class-index images")
    photos = None if images is None else find_images(images)
    settings = Settings(tuple(sorted(_numbers(background, names))), encoding)

    def samples() -> Iterator[tuple[str, _Payload]]:
        for key, path in found.items():
            photo = None
            if photos is not None:
                photo = str(photos.get(key, as_path(str(images)) / key))
            yield key, _Payload(str(path), photo)

    work = MergeParts(str(out), settings)
    return run_step(
        STEP, as_path(out), work, samples(), engine=engine, progress=progress, shards=shards, total=len(found)
    )


def _numbers(background: Sequence[int | str], names: str | Path | None) -> set[int]:
    by_name: dict[str, set[int]] = {}
    for number, name in ({} if names is None else read_names(names)).items():
        by_name.setdefault(name, set()).add(number)
    numbers = set()
    for label in background:
        text = str(label)
        if text.isdecimal():
            numbers.add(int(text))
        elif text in by_name:
            numbers |= by_name[text]
        elif names is None:
            raise InputError(f"the background {text!r} is no class number", "give a names file to choose by name")
        else:
            raise InputError(f"{names} names no class {text!r}", f"it names {', '.join(by_name)}")
    return numbers


def read_names(path: str | Path) -> dict[int, str]:
    """Read a names file: a JSON object of class number to name, or a list of names from class 0 on."""
    try:
        names = json.loads(as_path(path).read_bytes())
        pairs = enumerate(names) if isinstance(names, list) else names.items()
        return {int(number): str(name) for number, name in pairs}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is not a JSON object of class number to name, or a list of names") from error


class Settings(msgspec.Struct, frozen=True):
    """What counts as background, and how masks are written."""

    background: tuple[int, ...]
    encoding: Encoding

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise InputError(f"encoding {self.encoding!r} is not known", f"use one of {', '.join(get_args(Encoding))}")


class _Payload(NamedTuple):
    labels: str
    photo: str | None


class MergeParts(msgspec.Struct, frozen=True):
    """The work on one label image."""

    out: str
    settings: Settings

    def __call__(self, key: str, payload: _Payload, previous: Row | None) -> Result:
        """Merge, write the mask and the photo, and give the row."""
        data = read_file(Path(payload.labels))
        photo = None if payload.photo is None else read_file(Path(payload.photo))
        mark = mark_of(self.settings, data, *([] if photo is None else [photo]))
        if previous is not None and unchanged(previous, STEP, mark, self.out, ("file_name", "mask_file_name")):
            return Result(previous, fresh=False)

        labels = decode_labels(data, payload.labels)
        height, width = labels.shape
        orientation = None
        if photo is not None and payload.photo is not None:
            facts = check_photo(photo, payload.photo)
            orientation = facts.orientation
            if (facts.width, facts.height) != (width, height):
                raise SampleError(
                    "size-mismatch",
                    f"{payload.photo} is {facts.width} x {facts.height}, {payload.labels} is {width} x {height}",
                    "give the photos that were labelled",
                )
        rle = mask_to_rle(merge_labels(labels, self.settings.background))
        area = rle_area(rle)
        mask_name, photo_name = f"masks/{key}.png", None
        write_file(join_path(self.out, mask_name), encode_rle_png(rle, one_bit=self.settings.encoding == "1bit"))
        if photo is not None and payload.photo is not None:
            photo_name = f"images/{key}{Path(payload.photo).suffix}"
            write_file(join_path(self.out, photo_name), photo)
        columns: Row = {
            "key": key,
            "file_name": photo_name,
            "mask_file_name": mask_name,
            "width": width,
            "height": height,
            "exif_orientation": orientation,
            "persons": [Person(box=rle_box(rle), area=area, rle=rle)] if area else [],
        }
        return Result(updated(previous, STEP, mark, columns), fresh=True)
