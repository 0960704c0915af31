"""What tests of formats of mask files share: small data sets, and what is wrong with files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdata.dataset import METADATA, Dataset, Row, write_lines
from segdata.files import read_file, write_file
from segdata.masks import mask_to_rle, rle_area, rle_box, rle_to_mask
from segdata.pixels import decode_mask, encode_photo, encode_png
from segdata.sample import Outcome, Person, Rle, encode

SHAPE = (12, 16)

Mask = NDArray[np.bool_]


def block(top: int, bottom: int, left: int, right: int) -> Mask:
    """Give a mask with one rectangle."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def person(number: int | None, mask: Mask, *, crowd: bool = False) -> Person:
    """Give a person with a mask."""
    rle = mask_to_rle(mask)
    return Person(id=number, rle=rle, box=rle_box(rle), area=rle_area(rle), crowd=crowd)


def photo_bytes(seed: int = 0, suffix: str = ".jpg") -> bytes:
    """Give a small photo."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
    return encode_photo(pixels, suffix)


def write_set(
    folder: Path,
    samples: dict[str, list[Person]],
    *,
    splits: dict[str, str] | None = None,
    void: Mask | None = None,
    suffix: str = ".jpg",
) -> Path:
    """Write a data set; with `void` its masks hold 0, 1 and 255."""
    rows: list[Row] = []
    for number, (key, persons) in enumerate(samples.items()):
        mask = np.zeros(SHAPE, np.bool_)
        for each in persons:
            assert each.rle is not None
            mask |= rle_to_mask(each.rle)
        labels = mask.view(np.uint8) * np.uint8(255 if void is None else 1)
        if void is not None:
            labels[void] = 255
        write_file(folder / f"images/{key}{suffix}", photo_bytes(number, suffix))
        write_file(folder / f"masks/{key}.png", encode_png(labels))
        row: Row = {
            "key": key,
            "file_name": f"images/{key}{suffix}",
            "mask_file_name": f"masks/{key}.png",
            "width": SHAPE[1],
            "height": SHAPE[0],
            "persons": persons,
        }
        rows.append(row | ({"split": splits[key]} if splits and key in splits else {}))
    write_lines(folder / METADATA, map(encode, rows))
    return folder


def masks_in(data: Path, void: int | None = None) -> dict[str, NDArray[np.uint8]]:
    """Read the masks of a data set: 1 person, 255 void."""
    found = {}
    for sample in Dataset(data):
        name = data / str(sample.mask_file_name)
        mask, unknown = decode_mask(read_file(name), str(name), void)
        found[sample.key] = np.where(np.zeros_like(mask) if unknown is None else unknown, 255, mask).astype(np.uint8)
    return found


def photos_in(data: Path) -> dict[str, bytes]:
    """Read the photos of a data set."""
    return {sample.key: (data / str(sample.file_name)).read_bytes() for sample in Dataset(data)}


def persons_in(data: Path) -> dict[str, dict[int | None, Rle | None]]:
    """Give the masks of the persons of a data set by their ids."""
    return {sample.key: {each.id: each.rle for each in sample.persons} for sample in Dataset(data)}


def codes_in(data: Path) -> dict[str, str]:
    """Give what went wrong: the code of each key."""
    lines = (data / "outcomes.jsonl").read_bytes().splitlines()
    return {each.key: each.code for each in (msgspec.json.decode(line, type=Outcome) for line in lines)}


def tree(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but the journal of an export."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(files.items()) if not name.startswith(".segdata/")}


def pillow(path: Path) -> tuple[str, NDArray[np.uint8 | np.int32]]:
    """Read a mask as others do: Pillow's mode, and what the pixels hold."""
    with Image.open(path) as image:
        return image.mode, np.asarray(image).astype(np.int32)


def colour_png(pixels: NDArray[np.uint8]) -> bytes:
    """Give a PNG of red, green and blue."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """Give a PNG of 300 bytes that claims 90,000 x 90,000 pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 90_000, 90_000, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


DAMAGED = {
    "empty": (b"", "unreadable-image"),
    "text": (b"Dear all", "unreadable-image"),
    "torn": (encode_png(np.tile(np.arange(200, dtype=np.uint8), (150, 1)))[:-40], "unreadable-image"),
    "bomb": (bomb(), "huge-image"),
}
"""What is no mask, and the code that says so."""
