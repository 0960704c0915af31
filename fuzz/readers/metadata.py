"""metadata.jsonl: rows as the json module reads them, or a sentence that names the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from inputs import mutate_lines
from oracle import equal
from reading import Reader, folder

from segdata.dataset import METADATA, Dataset, RowIndex
from segdata.errors import SegdataError
from segdata.masks import check_rle, rle_to_mask
from segdata.sample import Person, Rle, encode, key_of

_FOLDER = folder()


def _seeds() -> Iterator[bytes]:
    person = Person(id=1, box=(0, 0, 2, 2), area=2, rle=Rle((2, 2), "121"), keypoints=[(1, 1, 2)] * 17)
    row = {
        "key": "a/b",
        "file_name": "images/a/b.jpg",
        "mask_file_name": "masks/a/b.png",
        "width": 2,
        "height": 2,
        "persons": [person],
        "domain": "far shot",
        "split": "train",
        "licence": 4,
        "image_id": 7,
        "fingerprints": {"merge-coco": "0123456789abcdef"},
    }
    yield encode(row) + b"\n"
    yield encode(row) + b"\r\n" + encode({"file_name": "images/c.png", "width": 1, "height": 1}) + b"\n\n"
    yield b'{"key": "a", "width": 3, "height": 4}\n{"key": "a", "width": 3, "height": 5}'


def _check(data: bytes) -> bool:
    (_FOLDER / METADATA).write_bytes(data)
    with suppress(SegdataError):
        for sample in Dataset(_FOLDER):
            for person in sample.persons:
                if person.rle is not None and max(person.rle.size) < 1 << 10:
                    check_rle(person.rle)
                    equal(rle_to_mask(person.rle).shape, person.rle.size, "the size of a mask")
    index = RowIndex(_FOLDER / METADATA)
    try:
        rows = list(Dataset(_FOLDER).rows())
        lines = [line for line in data.split(b"\n") if line.strip()]
        equal(len(rows), len(lines), "the number of rows")
        equal(len(Dataset(_FOLDER)), len(lines), "the number of samples")
        last = {}
        for row, line in zip(rows, lines, strict=True):
            wanted = json.loads(line)
            last[row["key"]] = line.rstrip(b"\r\n")
            wanted.setdefault("key", row["key"])
            equal(row, wanted, "a row")
            key_of(row["key"])
        for key, line in last.items():
            found = index.find(key)
            equal(None if found is None else found[1].rstrip(b"\r"), line, "the row of a key")
    finally:
        index.close()
    return bool(rows)


READER = Reader("metadata", _seeds, mutate_lines, _check)
