"""Where COCO's JSON files and their photos lie, for the formats that are such files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from segdata.errors import InputError, SampleError
from segdata.files import is_file
from segdata.formats.coco import CocoFile
from segdata.sample import path_of
from segdata.storage import is_url, join_path, names_in

INSTANCES = "coco"
PANOPTIC = "coco-panoptic"

_LOOKED_AT = 1 << 16
_FILES_LOOKED_AT = 50
_PHOTOS_LOOKED_FOR = 50


def kind_of(path: Path) -> str | None:
    """Tell whether a JSON file is COCO's, ``coco`` or ``coco-panoptic``, by its first and last bytes; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _LOOKED_AT, 0))
            tail = file.read(_LOOKED_AT)
    except OSError:
        return None
    seen = head + tail
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return None
    if not (b'"images"' in seen or b'"image_id"' in seen):
        return None
    if not (b'"annotations"' in seen or b'"file_name"' in seen):
        return None
    return PANOPTIC if b'"segments_info"' in seen or b'"isthing"' in seen else INSTANCES


def recognise_json(path: Path, kind: str) -> str | None:
    """Say why a file, or a folder with such a file, is of a kind; None if it is not. Never raises."""
    names = [file.name for file in _candidates(path) if kind_of(file) == kind]
    if not names:
        return None
    what = "segments_info" if kind == PANOPTIC else "images and annotations"
    return f"{names[0]} holds COCO's {what}"


def _candidates(path: Path) -> list[Path]:
    try:
        if path.is_file():
            return [path] if path.suffix.lower() == ".json" else []
        for folder in (path, path / "annotations"):
            files = sorted(islice(_json_files(folder), _FILES_LOOKED_AT))
            if any(kind_of(file) for file in files):
                return files
    except OSError:
        pass
    return []


def _json_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    if is_url(folder):
        names = [name for name in names_in(str(folder)) if name.lower().endswith(".json") and not name.startswith(".")]
        yield from (folder / name for name in names)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(".json") and not entry.name.startswith(".") and entry.is_file():
                yield folder / entry.name


def find_json(path: Path, kind: str) -> Path:
    """Give the one file of a kind at a path: the file itself, or that in the folder or in its annotations/.

    Raises `InputError` where there is none, or where there are several.
    """
    if not path.is_dir():
        return path
    found = [file for file in _candidates(path) if kind_of(file) == kind]
    if not found:
        raise InputError(f"{path} holds no {kind} file, nor does its folder annotations", "give the .json file")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"{found[0].parent} holds several {kind} files ({names})", "give one of them")
    return found[0]


def find_photos(coco: CocoFile, images: str | None) -> str | None:
    """Give the folder of a file's photos: `images`, or the first place that COCO and its tools use that has one.

    None where no photo is found; some fifty names are looked for.
    """
    if images is not None:
        return images
    names = list(islice(_names(coco), _PHOTOS_LOOKED_FOR))
    for folder in _places(coco.path):
        if any(is_file(join_path(folder, name)) for name in names):
            return str(folder)
    return None


def _names(coco: CocoFile) -> Iterator[str]:
    for task in coco:
        try:
            yield path_of(coco.image(task).file_name)
        except SampleError:
            continue


def _places(path: Path) -> Iterator[Path]:
    beside, split = path.parent, path.stem.rpartition("_")[2]
    for root in (beside, beside.parent) if beside.name == "annotations" else (beside,):
        yield root / "images"
        yield root / split
        yield root / "images" / split
        yield root
