"""CVAT for images: what ElementTree reads of the XML, drawn by pycocotools and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
from inputs import mutate_numbers
from oracle import equal, of_polygons, of_rle, of_runs, union
from reading import Reader, folder, samples

from segdata.formats.base import ReadOptions
from segdata.formats.cvat import CvatSource

_FOLDER = folder()
_HEAD = b"<annotations><meta><task><size>1</size><labels><label><name>void</name></label></labels></task></meta>"


def _seeds() -> Iterator[bytes]:
    yield _HEAD + (
        b'<image id="0" name="a.jpg" width="9" height="7"><mask label="person" rle="1, 2, 3" left="1" top="2" '
        b'width="3" height="2" z_order="0"><attribute name="id">7</attribute><attribute name="crowd">true</attribute>'
        b'</mask><polygon label="person" points="0.00,0.00;4.00,0.50;4.00,5.00" group_id="2"></polygon>'
        b'<polygon label="person" points="5,5;7,5;7,6.25" group_id="2"/><box label="person" xtl="1"/></image>'
        b"</annotations>"
    )
    yield (
        b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<image name="b/c.png" subset="Train" width="5" '
        b'height="5">\n<mask label="void" rle="0,25" left="0" top="0" width="5" height="5"/></image>\n'
        b'<image name="d.png" width="3" height="3"><tag label="x"/></image></annotations>\n'
    )


def _mask(values: dict[str, str], height: int, width: int) -> Any:
    left, top, columns, rows = (int(values[name]) for name in ("left", "top", "width", "height"))
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + rows, left : left + columns] = of_runs(map(int, values["rle"].split(",")), rows, columns, "C")
    return mask


def _draw(shape: Any, height: int, width: int) -> Any:
    if shape.tag == "mask":
        return _mask(shape.attrib, height, width)
    points = [float(number) for pair in shape.attrib["points"].split(";") for number in pair.split(",")]
    return of_polygons([points], height, width)


def _check(data: bytes) -> bool:
    path = _FOLDER / "annotations.xml"
    path.write_bytes(data)
    source = CvatSource(path, ReadOptions())
    read = list(samples(source))
    root = ElementTree.fromstring(data)
    elements = {each.get("name", ""): each for each in reversed(root.findall("image"))}
    for payload, sample in read:
        height, width = sample.height, sample.width
        if height * width > 1 << 16:
            continue
        image = elements[payload.name]
        equal((width, height), (int(image.get("width")), int(image.get("height"))), "the size of an image")
        drawn = {
            name: [each for each in image if each.get("label") == name and each.tag in ("mask", "polygon")]
            for name in ("person", "void")
        }
        equal(
            union((of_rle(person.rle) for person in sample.persons), height, width),
            union((_draw(each, height, width) for each in drawn["person"]), height, width),
            "the union of an image's persons",
        )
        groups = {
            each.get("group_id") if int(each.get("group_id", 0)) else number
            for number, each in enumerate(drawn["person"])
        }
        if all(str(group).isascii() and str(group).strip("0123456789") == "" for group in groups):
            numbers = {int(group) if isinstance(group, str) else -1 - group for group in groups}
            equal(len(sample.persons), len(numbers), "the number of persons")
        if sample.void is not None:
            equal(sample.void, union((_draw(each, height, width) for each in drawn["void"]), height, width), "void")
    return bool(read)


_WORDS = (
    *("<image ", "<mask ", "<polygon ", "</image>", "/>", ' label="person"', ' label="void"', ' rle="', ' points="'),
    *(
        ' width="',
        ' height="',
        ' left="',
        ' top="',
        ' group_id="',
        "<track>",
        "<!DOCTYPE a [",
        "<![CDATA[",
        "&#0;",
        "&lt;",
    ),
    *("1e309", "nan", "-1", "1_0", "99999999999999999999"),
)
READER = Reader("cvat", _seeds, mutate_numbers, _check, tuple(map(str.encode, _WORDS)), most_bytes=2048)
