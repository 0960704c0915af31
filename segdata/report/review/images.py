"""Pictures for the browser: photos as it can show them, thumbnails, labels in colour, and what a mask file holds."""

from __future__ import annotations

import io
import threading
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from segdata.errors import SampleError
from segdata.masks import Mask
from segdata.pixels import decode_image, decode_labels, decode_mask, decode_probability, encode_photo

Layer = Literal["edges", "saliency"]
Pixels = npt.NDArray[np.uint8]

THUMB_SIDE = 288
LARGEST_VIEW = 24_000_000  # pixels; a larger photo is shown smaller

_TINT = np.array((255, 64, 129), np.float32)
_EDGE_COLOUR = (255, 220, 0)
_SALIENCY_COLOUR = (0, 229, 255)
# Formats and modes that every browser shows as segdata sees them; JPEG's EXIF orientation too.
_SHOWN_AS_IS = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("WEBP", "RGB")}
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_ORIENTATION = 0x0112
# One picture at a time: decoding sets limits that all threads share, and many at once would fill the memory.
_decoding = threading.Lock()


class Picture(NamedTuple):
    """Bytes of a picture and their media type."""

    data: bytes
    media_type: str


class StoredMask(NamedTuple):
    """What a mask file holds: the person, the pixels that count nowhere or None, and the numbers they are stored as."""

    person: Mask
    void: Mask | None
    one_bit: bool
    value: int


def photo_size(data: bytes, name: str) -> tuple[int, int]:
    """Give height and width of the upright photo as its header states them. Raises as `decode_image`."""
    with _decoding:
        try:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in range(5, 9)
        except Exception as error:  # decoders raise anything on corrupt bytes
            raise SampleError("unreadable-image", f"{name} is not an image that can be read") from error
    return (width, height) if turned else (height, width)


def browser_photo(data: bytes, name: str) -> Picture:
    """Give a photo as a browser can show it, upright: the file itself where it can be, otherwise a JPEG.

    Raises as `decode_image`.
    """
    with _decoding:
        try:
            with Image.open(io.BytesIO(data)) as image:
                form = image.format or ""
                plain = (form, image.mode) in _SHOWN_AS_IS and image.size[0] * image.size[1] <= LARGEST_VIEW
                turned = image.getexif().get(_ORIENTATION, 1) != 1
        except Exception:  # noqa: BLE001 - `decode_image` says what is wrong
            plain, turned, form = False, False, ""
        if plain and (form == "JPEG" or not turned):
            return Picture(data, _TYPES[form])
        pixels = decode_image(data, name)
    height, width = pixels.shape[:2]
    if height * width > LARGEST_VIEW:
        scale = (LARGEST_VIEW / (height * width)) ** 0.5
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(encode_photo(pixels, ".jpg"), "image/jpeg")


def thumbnail(data: bytes, name: str, mask: Mask | None) -> bytes:
    """Give a small JPEG of a photo, the mask in colour with its outline. Raises as `decode_image`.

    >>> small = thumbnail(encode_photo(np.zeros((600, 900, 3), np.uint8), ".jpg"), "a.jpg", None)
    >>> decode_image(small).shape
    (192, 288, 3)
    """
    pixels = _small(data, name)
    if mask is not None:
        height, width = pixels.shape[:2]
        share = cv2.resize(mask.view(np.uint8) * np.uint8(255), (width, height), interpolation=cv2.INTER_AREA)
        inside = (share > 127).astype(np.uint8)
        outline = inside != cv2.erode(inside, np.ones((3, 3), np.uint8))
        tinted = pixels + share[..., None] * np.float32(0.35 / 255) * (_TINT - pixels)
        tinted[outline] = _TINT
        pixels = tinted.astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _small(data: bytes, name: str) -> Pixels:
    with _decoding:
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.format == "JPEG":  # decoded at a fraction of its size, in a fraction of the time
                    image.draft("RGB", (THUMB_SIDE, THUMB_SIDE))
                    small = ImageOps.exif_transpose(image).convert("RGB")
                    small.thumbnail((THUMB_SIDE, THUMB_SIDE))
                    return np.array(small)
        except Exception:  # noqa: BLE001, S110 - `decode_image` says what is wrong
            pass
        small = Image.fromarray(decode_image(data, name))
    small.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return np.array(small)


def coloured_layer(data: bytes, name: str, layer: Layer) -> bytes:
    """Give an edge label or a saliency map as a PNG in one colour, more or less of it.

    Raises as `decode_probability`.
    """
    with _decoding:
        share = decode_probability(data, name)
    if layer == "edges" and 0 < share.max(initial=0) < 0.1:
        share = (share > 0).astype(np.float32)
    colour = _EDGE_COLOUR if layer == "edges" else _SALIENCY_COLOUR
    levels = (share * 255 + 0.5).astype(np.uint8)
    picture = Image.frombytes("P", (levels.shape[1], levels.shape[0]), levels.tobytes())
    picture.putpalette(bytes(colour) * 256)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=bytes(range(256)), compress_level=1)
    return buffer.getvalue()


def read_mask(data: bytes, name: str) -> StoredMask:
    """Read a mask file: two values, or 0, 1 and 255 where 255 counts nowhere, as merge-coco writes ignored crowds.

    Raises as `decode_mask`.
    """
    with _decoding:
        labels = decode_labels(data, name)
        if labels.dtype == np.uint8 and (labels == 1).any() and (labels == 255).any():
            person, void = decode_mask(data, name, void=255)
        else:
            person, void = decode_mask(data, name)
    one_bit = labels.dtype == np.bool_
    value = 1 if void is not None else 255
    if void is None and not one_bit and person.any():
        value = int(labels.max())
    return StoredMask(person, void, one_bit, value)
