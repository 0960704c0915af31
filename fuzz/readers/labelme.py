"""labelme: the json module's reading of the file; polygons drawn by pycocotools, pictures of masks read by Pillow."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from inputs import mutate_json
from oracle import equal, of_polygons, of_rle, opened, union
from reading import Reader, folder, samples

from segdata.formats.base import ReadOptions
from segdata.formats.labelme import LabelmeSource
from segdata.pixels import encode_png

_FOLDER = folder()


def _seeds() -> Iterator[bytes]:
    picture = base64.b64encode(encode_png(np.array([[1, 0, 1], [0, 1, 1]], np.uint8))).decode()
    square = {"label": "person", "points": [[1, 1], [6, 1.5], [6, 7.25]], "shape_type": "polygon", "group_id": 2}
    facts = {
        "segdata": {"id": 3, "category_id": 1, "crowd": True},
        "flags": {"crowd": False},
        "description": '{"score": 0.5}',
    }
    mask = {"label": "person", "points": [[2.0, 3.0], [4.0, 4.0]], "shape_type": "mask", "mask": picture}
    whole = {
        "version": "6.3.1",
        "flags": {},
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 9,
        "imageWidth": 12,
    }
    yield json.dumps(whole | {"shapes": [square | facts, mask], "segdata": {"void": True, "split": "val"}}).encode()
    yield json.dumps(whole | {"shapes": [square, square, mask | {"label": "void"}]}).encode()
    photo = base64.b64encode(encode_png(np.zeros((9, 12), np.uint8))).decode()
    bare = {"imageHeight": None, "imageWidth": None, "imageData": photo, "shapes": [mask | {"group_id": 2}, square]}
    yield json.dumps(whole | bare).encode()


def _draw(shape: dict[str, Any], height: int, width: int) -> Any:
    if (shape.get("shape_type") or "polygon") == "polygon":
        return of_polygons([[number for point in shape["points"] for number in point]], height, width)
    (left, top), (right, bottom) = ([int(number) for number in point] for point in shape["points"])
    with opened(base64.b64decode(shape["mask"])) as image:
        picture = np.asarray(image.convert("L") if image.mode in ("RGB", "LA", "RGBA") else image)
    mask = np.zeros((height, width), np.bool_)
    mask[top : bottom + 1, left : right + 1] = picture != 0
    return mask


def _check(data: bytes) -> bool:
    (_FOLDER / "a.json").write_bytes(data)
    source = LabelmeSource(_FOLDER / "a.json", ReadOptions())
    read = list(samples(source))
    for _, sample in read:
        height, width = sample.height, sample.width
        if height * width > 1 << 16:
            continue
        kinds = ("polygon", "mask")
        shapes = [
            each
            for each in json.loads(data.decode(errors="replace"))["shapes"]
            if (each.get("shape_type") or "polygon") in kinds
        ]
        persons = [each for each in shapes if each["label"] == "person"]
        groups = {
            number if each.get("group_id") is None else ("group", each["group_id"])
            for number, each in enumerate(persons)
        }
        equal(len(sample.persons), len(groups), "the number of persons")
        equal(
            union((of_rle(person.rle) for person in sample.persons), height, width),
            union((_draw(each, height, width) for each in persons), height, width),
            "the union of the persons",
        )
        if sample.void is not None:
            voids = (_draw(each, height, width) for each in shapes if each["label"] == "void")
            equal(sample.void, union(voids, height, width), "void")
    return bool(read)


READER = Reader("labelme", _seeds, mutate_json, _check)
