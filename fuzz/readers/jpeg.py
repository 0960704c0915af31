"""JPEG photos and masks: sizes, orientation and pixels as Pillow has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from inputs import mutate_bytes
from oracle import equal, opened
from PIL import Image, ImageOps
from reading import Reader

from segdata.errors import SampleError
from segdata.pixels import check_photo, decode_image, decode_labels, decode_mask


def _seeds() -> Iterator[bytes]:
    square = np.zeros((16, 24), np.uint8)
    square[:, 8:] = 255
    noise = np.random.default_rng(3).integers(0, 255, (17, 23, 3), np.uint8)
    for mode in ("L", "RGB", "CMYK"):
        for number, settings in enumerate(
            ({"quality": 95}, {"progressive": True}, {"subsampling": 2, "restart_marker_rows": 1})
        ):
            exif = Image.Exif()
            exif[0x0112] = 3 + 2 * number
            for pixels in (square, noise):
                buffer = io.BytesIO()
                Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", exif=exif, **settings)
                yield buffer.getvalue()


def _check(data: bytes) -> bool:
    facts = check_photo(data, "a.jpg")
    with suppress(SampleError):
        labels = decode_labels(data, "a.jpg")
        with suppress(SampleError):
            mask, _ = decode_mask(data, "a.jpg")
            equal(mask, labels != 0, "a mask")
            equal(len(np.unique(labels)) <= 2, True, "the number of values in a mask")
    image = decode_image(data, "a.jpg")
    equal(image.shape, (facts.height, facts.width, 3), "the size of a photo")
    if facts.height * facts.width <= 1 << 16:
        with opened(data) as stored:
            upright = stored.convert("RGB") if stored.format == "JPEG" else None
            if upright is not None:
                upright.info.pop("exif", None)
                upright.getexif()[0x0112] = facts.orientation
        if upright is not None and not stored.mode.startswith("I"):
            equal(image, np.array(ImageOps.exif_transpose(upright)), "the pixels of a photo")
    return True


_WORDS = (
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xdd",
    b"\xff\xe1",
    b"Exif\x00\x00II*\x00",
    b"MM\x00*",
)
READER = Reader("jpeg", _seeds, mutate_bytes, _check, _WORDS, most_bytes=2048)
