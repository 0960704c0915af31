"""The formats by name. Each is loaded when it is used: some need packages that others do not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import msgspec

from segdata.errors import InputError
from segdata.formats.base import Format, Kept
from segdata.storage import as_path

_HOME_OF = {
    "coco": "segdata.formats.coco_json",
    "coco-panoptic": "segdata.formats.coco_panoptic",
    "labelme": "segdata.formats.labelme",
    "cvat": "segdata.formats.cvat",
    "label-studio": "segdata.formats.label_studio",
    "voc": "segdata.formats.voc",
    "yolo-seg": "segdata.formats.yolo_seg",
    "mask-folder": "segdata.formats.mask_folder",
    "davis": "segdata.formats.davis",
    "webdataset": "segdata.formats.webdataset",
    "parquet": "segdata.formats.parquet",
}
FORMATS = tuple(_HOME_OF)


def find_format(name: str) -> Format:
    """Give a format by name. Raises `InputError` for a name that there is not.

    >>> find_format("coco").name
    'coco'
    """
    if name not in _HOME_OF:
        raise InputError(f"there is no format {name!r}", f"use one of {', '.join(FORMATS)}")
    found: Format = import_module(_HOME_OF[name]).FORMAT
    return found


def recognise(path: str | Path) -> tuple[str, str]:
    """Tell which format a path is of, and why.

    Raises `InputError` for a path that is not there, one that no format recognises, and one that several do: then the
    sentence names them and their reasons.
    """
    place = as_path(path)
    if not place.exists():
        raise InputError(f"{place} does not exist", "check the path")
    reasons = {name: reason for name in FORMATS if (reason := find_format(name).recognise(place)) is not None}
    if not reasons:
        raise InputError(f"{place} is of no format that is recognised", f"name one: {', '.join(FORMATS)}")
    if len(reasons) > 1:
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise InputError(f"{place} may be of several formats ({said})", "name the one it is")
    ((name, reason),) = reasons.items()
    return name, reason


class Description(msgspec.Struct, frozen=True):
    """What a format says of itself; see `segdata.formats.base.Format`."""

    name: str
    about: str
    reads: str
    writes: str
    loses: str
    kept: Kept


def describe_formats() -> list[Description]:
    """Give what each format says of itself, in the order of `FORMATS`.

    >>> [each.name for each in describe_formats()][:2]
    ['coco', 'coco-panoptic']
    """
    found = map(find_format, FORMATS)
    return [Description(each.name, each.about, each.reads, each.writes, each.loses, each.kept) for each in found]


def formats_as_markdown() -> str:
    """Give the table of formats as Markdown."""
    rows = [
        f"| `{each.name}` | {each.about} | {each.reads} | {each.writes} | {_COMES_BACK[each.kept]} | {each.loses} |"
        for each in describe_formats()
    ]
    head = "| format | what it is | reads | writes | comes back | loses |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows]) + "\n"


_COMES_BACK: dict[Kept, str] = {
    "persons": "every person, bit for bit",
    "mask": "the mask, bit for bit",
    "outlines": "outlines, within the tolerance",
}
