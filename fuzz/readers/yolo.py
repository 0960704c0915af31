"""YOLO: data.yaml and a text file of a photo; every line's polygon drawn again by pycocotools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from inputs import each_by, mutate_bytes, mutate_numbers, pack, unpack
from oracle import equal, of_polygons, of_rle
from reading import Reader, folder, samples

from segdata.formats.base import ReadOptions
from segdata.formats.yolo_seg import open_yolo
from segdata.pixels import encode_photo

_FOLDER = folder()
_WIDTH, _HEIGHT = 40, 30
_NAMES = b"train: images/train\nval: images/train\nnames:\n  0: person\n  1: cat\n"


def _seeds() -> Iterator[bytes]:
    square = b"0 0.1 0.1 0.6 0.1 0.6 0.75 0.1 0.75\n"
    yield pack([_NAMES, square])
    yield pack([b"path: .\ntrain: images/train\nnames: [cat, person]\nnc: 2\n", b"1 0.5 0 1 1 0 1 0.875\n" + square])
    yield pack([b'"train": ["images/train"]\nnames: &a {0: person, 3: "x"}\n', b"\n0 0 0 1e-1 1 1 1.0\n"])


def _check(data: bytes) -> bool:
    names, labels = unpack(data, 2)
    photo = _FOLDER / "images/train/a.png"
    if not photo.exists():
        photo.parent.mkdir(parents=True)
        photo.write_bytes(encode_photo(np.zeros((_HEIGHT, _WIDTH, 3), np.uint8), ".png"))
        (_FOLDER / "labels/train").mkdir(parents=True)
    (_FOLDER / "data.yaml").write_bytes(names)
    (_FOLDER / "labels/train/a.txt").write_bytes(labels)
    source = open_yolo(_FOLDER / "data.yaml", ReadOptions())
    read = list(samples(source))
    for payload, sample in read:
        lines = [line.split() for line in labels.decode("utf-8-sig").splitlines() if line.strip()]
        if not payload.labels.endswith("/labels/train/a.txt"):
            lines = []
        chosen = [line for line in lines if int(float(line[0])) in source.parse.names]
        equal(len(sample.persons), len(chosen), "the number of persons")
        for person, line in zip(sample.persons, chosen, strict=True):
            shares = np.array([float(number) for number in line[1 : 1 + (len(line) - 1) // 2 * 2]]).reshape(-1, 2)
            ring = np.round(shares * (_WIDTH, _HEIGHT), 3).ravel()
            equal(of_rle(person.rle), of_polygons([ring], _HEIGHT, _WIDTH), "the mask of a line")
    return bool(read)


_WORDS = (
    b"names:",
    b"train:",
    b"images/train",
    b"&a ",
    b"*a",
    b"[",
    b"{",
    b"- ",
    b"!!python/object:",
    b"0.5 ",
    b"1e309",
    b"nan",
)
READER = Reader("yolo", _seeds, each_by(mutate_bytes, mutate_numbers), _check, _WORDS, most_bytes=1024)
