"""PASCAL VOC: labelmap.txt and the two masks of a photo, against their palette indices as Pillow reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from inputs import each_by, mutate_bytes, mutate_png, pack, unpack
from oracle import equal, of_rle, opened, union
from reading import Reader, folder, samples

from segdata.formats.base import ReadOptions
from segdata.formats.palette import encode_palette_png
from segdata.formats.voc import Voc
from segdata.pixels import encode_photo, encode_png

_FOLDER = folder()
_MAP = b"# label:color_rgb:parts\nbackground:0,0,0::\nperson:192,128,128::\ncat:64,0,0:head:\nignored:224,224,192::\n"


def _seeds() -> Iterator[bytes]:
    classes = np.zeros((9, 13), np.uint8)
    classes[2:7, 3:9] = 15
    classes[4, :] = 8
    classes[:, 12] = 255
    objects = np.where(classes == 15, np.uint8(1), np.uint8(0))
    objects[2:4, 3:9] = 2
    yield pack([b"", encode_palette_png(classes), encode_palette_png(objects)])
    yield pack([b"", encode_png(classes), b""])
    colours = np.zeros((9, 13, 3), np.uint8)
    colours[classes == 15] = 192, 128, 128
    yield pack([_MAP, encode_photo(colours, ".png"), encode_png(objects)])
    yield pack([_MAP, encode_png(np.where(classes == 15, np.uint8(1), np.uint8(0))), b""])


def _indices(data: bytes) -> Any:
    """Give the stored numbers of a grey or palette PNG, None for any other."""
    with opened(data) as image:
        return np.asarray(image).astype(np.int64) if image.mode in ("P", "L", "1") else None


def _check(data: bytes) -> bool:
    label_map, classes, objects = unpack(data, 3)
    for name, content in (
        ("labelmap.txt", label_map),
        ("SegmentationClass/a.png", classes),
        ("SegmentationObject/a.png", objects),
    ):
        path = _FOLDER / name
        path.parent.mkdir(exist_ok=True)
        if content or name == "SegmentationClass/a.png":
            path.write_bytes(content)
        else:
            path.unlink(missing_ok=True)
    read = list(samples(Voc(_FOLDER, ReadOptions())))
    for _, sample in read:
        equal(
            union((of_rle(person.rle) for person in sample.persons), sample.height, sample.width),
            sample.mask,
            "the union of the persons",
        )
        stored = None if label_map else _indices(classes)
        if stored is not None:
            equal(sample.mask, stored == 15, "the pixels of class 15")
        numbers = _indices(objects) if objects else None
        if numbers is not None:
            found = {int(number) % 255 for number in np.unique(numbers[sample.mask])}
            equal({person.id or 0 for person in sample.persons}, found, "the objects")
    return bool(read)


READER = Reader("voc", _seeds, each_by(mutate_bytes, mutate_png, mutate_png), _check, most_bytes=4096)
