"""PNG masks: what Pillow reads pixel by pixel, and what OpenCV reads of grey ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

import cv2
import numpy as np
from inputs import mutate_png
from oracle import chunks_fit, equal, opened
from PIL import Image
from reading import Reader

from segdata.errors import SampleError
from segdata.formats.palette import encode_palette_png, palette_of
from segdata.masks import mask_to_rle
from segdata.pixels import (
    check_photo,
    decode_image,
    decode_labels,
    decode_mask,
    decode_probability,
    encode_photo,
    encode_png,
    encode_rle_png,
)


def _seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(2)
    mask = rng.random((9, 13)) < 0.4
    yield encode_png(mask)
    yield encode_png(mask.view(np.uint8) * np.uint8(255))
    yield encode_png(mask.astype(np.uint16) * np.uint16(65535))
    yield encode_rle_png(mask_to_rle(mask))
    yield encode_palette_png(np.where(mask, np.uint8(15), np.uint8(0)))
    yield encode_photo(np.repeat(mask[..., None], 3, axis=2).view(np.uint8) * np.uint8(255), ".png")
    for mode in ("LA", "RGBA", "P", "1", "I;16"):
        buffer = io.BytesIO()
        grey = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
        image = Image.fromarray(mask.astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(buffer, "PNG", exif=exif, **({"transparency": 0, "bits": 2} if mode == "P" else {}))
        yield buffer.getvalue()


def _check(data: bytes) -> bool:
    palette_of(data)
    with suppress(SampleError):
        decode_probability(data)
    with suppress(SampleError):
        facts = check_photo(data, "a.png")
        with suppress(SampleError):
            equal(decode_image(data).shape, (facts.height, facts.width, 3), "the size of a photo")
    mask, _ = decode_mask(data, "a.png")
    labels = decode_labels(data, "a.png")
    equal(mask, labels != 0, "a mask")
    with opened(data) as image:
        image.load()
        mode, (width, height) = image.mode, image.size
        if height * width <= 1 << 12:
            pixels = (image.getpixel((x, y)) for y in range(height) for x in range(width))
            stored = np.array([pixel[0] if isinstance(pixel, tuple) else pixel for pixel in pixels])
            equal(mask, (stored != 0).reshape(height, width), "the pixels that Pillow reads")
    if mode in ("L", "1", "I;16") and data[:8] == b"\x89PNG\r\n\x1a\n" and chunks_fit(data):
        other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if other is not None and other.ndim == 2:
            equal(mask, other != 0, "the pixels that OpenCV reads")
    equal(decode_mask(encode_png(mask))[0], mask, "a mask written and read")
    equal(decode_mask(encode_rle_png(mask_to_rle(mask)))[0], mask, "run lengths written and read")
    equal(decode_mask(encode_rle_png(mask_to_rle(mask), one_bit=True))[0], mask, "run lengths written in bits and read")
    return True


READER = Reader("png", _seeds, mutate_png, _check, most_bytes=2048)
