"""Images and masks from and to the bytes of a file: EXIF orientation, bit depths, palettes, the PNG writer.

Files are decoded by Pillow because it refuses a truncated file, where OpenCV may return grey pixels.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from segdata.deflate import compress_sparse
from segdata.errors import SampleError
from segdata.masks import Mask, transitions
from segdata.png import GREY, SIGNATURE, assemble, chunks_before_pixels
from segdata.sample import Rle

# 32,768 x 32,768: above any camera's photo, below what a decompression bomb claims to hold.
MOST_PIXELS = 1 << 30

# Pillow logs what it raises as well; without a handler Python would write it to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION_TAG = 0x0112
_TURNED_BY_PILLOW = frozenset({"TIFF"})
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
# Whatever a file is called, nothing else is decoded: Pillow would hand PostScript to Ghostscript, for one. GIF is
# what many a ".jpg" from the web is.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF")


class PhotoFacts(NamedTuple):
    """What a photo's header says: `width` and `height` of the upright photo, and its EXIF `orientation` (1 to 8)."""

    width: int
    height: int
    orientation: int

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored, before the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open an image; any failure inside becomes a `SampleError` that names the file."""
    if not data:
        raise SampleError("unreadable-image", f"{name} is empty (0 bytes)")
    kinds = [kind for kind, _ in chunks_before_pixels(data)]  # of several headers, Pillow would take the last
    if data.startswith(SIGNATURE) and (kinds[:1] != [b"IHDR"] or b"IHDR" in kinds[1:]):
        why = "it is a PNG that does not begin with one header"
        raise SampleError("unreadable-image", f"{name} cannot be decoded ({why})")
    limit, Image.MAX_IMAGE_PIXELS = (
        Image.MAX_IMAGE_PIXELS,
        MOST_PIXELS // 2,
    )  # Pillow refuses above twice this
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, and sizes below the limit
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image, _silenced(image.format):
                yield image
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise SampleError("huge-image", f"{name} claims more than {MOST_PIXELS:,} pixels and is not opened") from error
    except UnidentifiedImageError as error:
        raise SampleError("unreadable-image", f"{name} is not an image that can be read") from error
    except Exception as error:  # decoders raise anything on corrupt bytes
        raise SampleError("unreadable-image", f"{name} cannot be decoded ({error})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _silenced(image_format: str | None) -> Iterator[None]:
    """Keep libtiff from writing to standard error, which it does past Python; what it says is raised as well."""
    try:
        standard_error = os.dup(2) if image_format == "TIFF" else None
    except OSError:  # there is no standard error
        standard_error = None
    if standard_error is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG":
        image.load()  # Pillow does so to find what stands behind the pixels, and says what is wrong with them once only
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - EXIF that cannot be parsed states nothing
        return 1
    return orientation if orientation in range(1, 9) else 1


def check_photo(data: bytes, name: str) -> PhotoFacts:
    """Read a photo's size and orientation, and make sure that all of its bytes can be decoded.

    Raises `SampleError` (``unreadable-image``, ``huge-image``) that names the file.
    """
    with _opened(data, name) as image:
        width, height = image.size
        orientation = _orientation(image)
        # A JPEG decoded at an eighth of its size is read to the last byte, in a third of the time.
        image.draft(None, (max(width // 8, 1), max(height // 8, 1)))
        image.load()
        turned = image.format in _TURNED_BY_PILLOW
        if turned:
            width, height = image.size
    if orientation >= 5 and not turned:
        width, height = height, width
    return PhotoFacts(width, height, orientation)


def decode_image(data: bytes, name: str = "image") -> npt.NDArray[np.uint8]:
    """Decode a photo to uint8 (H, W, 3) RGB, upright: the EXIF orientation is applied.

    16-bit grey is scaled to 8 bits, CMYK and palettes are converted, an alpha channel is dropped.
    Raises `SampleError` (``unreadable-image``, ``huge-image``) that names the file.

    >>> decode_image(encode_png(np.full((2, 3), 7, np.uint8))).shape
    (2, 3, 3)
    """
    with _opened(data, name) as image:
        orientation = _orientation(image)
        if image.mode.startswith("I"):
            grey = np.asarray(image)
            pixels = Image.fromarray((np.clip(grey, 0, 65535) / 257 + 0.5).astype(np.uint8)).convert("RGB")
        else:
            pixels = image.convert("RGB")
        if orientation != 1 and image.format not in _TURNED_BY_PILLOW:
            pixels.getexif()[_ORIENTATION_TAG] = orientation
            pixels = ImageOps.exif_transpose(pixels)
        return np.array(pixels)


def decode_labels(data: bytes, name: str = "mask") -> npt.NDArray[Any]:
    """Decode a one-channel image to its stored numbers: bool, uint8 or int32 (H, W).

    A palette image gives its indices, not its colours. A colour image passes if its channels are equal, and one with
    an alpha channel if that is opaque, or transparent where the colour is black and nowhere else.
    Raises `SampleError` (``unreadable-image``, ``huge-image``, ``colour-mask``) that names the file.

    >>> decode_labels(encode_png(np.array([[0, 7]], np.uint8)))
    array([[0, 7]], dtype=uint8)
    """
    with _opened(data, name) as image:
        labels = np.asarray(image.convert("RGB") if image.mode == "CMYK" else image)
    if labels.dtype == np.bool_:
        bits: Mask = labels.view(np.uint8) != 0  # Pillow's True is 255 in memory, which NumPy does not expect
        return bits
    if labels.ndim == 3:
        labels = _one_channel(labels, name)
    return labels.astype(np.int32) if labels.dtype == np.uint16 else labels


def _one_channel(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    has_alpha = pixels.shape[2] in (2, 4)
    first = pixels[..., 0]
    if any(not np.array_equal(first, pixels[..., channel]) for channel in range(1, pixels.shape[2] - has_alpha)):
        raise SampleError(
            "colour-mask", f"{name} is a colour image where a mask is wanted", "store masks with one channel"
        )
    if has_alpha:
        alpha = pixels[..., -1]
        if not (alpha == np.iinfo(alpha.dtype).max).all() and not np.array_equal(alpha != 0, first != 0):
            raise SampleError(
                "colour-mask",
                f"{name} has an alpha channel that says something else than its colours",
                "store masks with one channel",
            )
    return first


def decode_mask(data: bytes, name: str = "mask", void: int | None = None) -> tuple[Mask, Mask | None]:
    """Decode a mask to bool (H, W): 1-bit, 0/1, 0/255, palette index or 16-bit, whatever marks the person.

    The file may hold 0 and one other value. Pixels of the value `void` come back as the second mask, bool (H, W),
    and are unset in the first; without `void` the second is None.
    Raises `SampleError` (``not-binary``, and those of `decode_labels`).

    >>> mask, void = decode_mask(encode_png(np.array([[0, 1, 255]], np.uint8)), void=255)
    >>> mask.tolist(), void.tolist()
    ([[False, True, False]], [[False, False, True]])
    """
    labels = decode_labels(data, name)
    void_mask = None
    if void is not None:
        void_mask = labels == void
        labels = np.where(void_mask, labels.dtype.type(0), labels)
    if labels.dtype == np.bool_:
        return labels, void_mask
    person = labels != 0
    highest = labels.max(initial=0)
    if highest and np.count_nonzero(labels == highest) != np.count_nonzero(person):
        values = np.unique(labels)
        raise SampleError(
            "not-binary",
            f"{name} holds {len(values)} different values ({', '.join(map(str, values[:4]))}, ...), a mask holds two",
            "a probability map needs a --threshold, pixels to ignore a --void; merge-parts makes masks of classes",
        )
    return person, void_mask


def decode_probability(data: bytes, name: str = "probability map") -> npt.NDArray[np.float32]:
    """Decode an 8- or 16-bit probability map to float32 (H, W) in [0, 1]; a 1-bit file gives 0 and 1.

    Raises as `decode_labels`.

    >>> decode_probability(encode_png(np.array([[0, 51, 255]], np.uint8)))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    labels = decode_labels(data, name)
    if labels.dtype == np.bool_:
        return labels.astype(np.float32)
    return labels.astype(np.float32) / np.float32(255 if labels.dtype == np.uint8 else 65535)


def encode_png(pixels: npt.NDArray[Any]) -> bytes:
    """Encode bool (H, W) as 1-bit, uint8 (H, W) as 8-bit and uint16 (H, W) as 16-bit greyscale PNG.

    Equal arrays give equal bytes.

    >>> decode_labels(encode_png(np.array([[True, False]])))
    array([[ True, False]])
    """
    height, width = pixels.shape
    if pixels.dtype == np.bool_:
        bits, rows = 1, np.packbits(pixels, axis=1)
    elif pixels.dtype == np.uint16:
        bits, rows = 16, np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, 2 * width)
    elif pixels.dtype == np.uint8:
        bits, rows = 8, pixels
    else:
        raise TypeError(f"a PNG holds bool, uint8 or uint16, not {pixels.dtype}")
    scanlines = np.zeros((height, rows.shape[1] + 1), np.uint8)
    scanlines[:, 1:] = rows
    return assemble((width, height), bits, GREY, zlib.compress(scanlines.tobytes(), 1))


def encode_rle_png(rle: Rle, *, one_bit: bool = False) -> bytes:
    """Encode run lengths as a 0/255 PNG, or a 1-bit one, without drawing the bitmap in between.

    PNG's filter "up" stores the difference to the row above, and run lengths down the columns are nearly that.

    >>> decode_labels(encode_rle_png(Rle((2, 2), "121")))
    array([[  0, 255],
           [255,   0]], dtype=uint8)
    """
    height, width = rle.size
    first_row, rows, columns, is_set = transitions(rle)
    if one_bit:
        length = (width + 7) // 8 + 1
        words = np.zeros((height, (length + 7) // 8), np.uint64)
        changes = words.view(np.uint8)
        np.add.at(changes, (rows, columns // 8 + 1), np.right_shift(128, columns % 8).astype(np.uint8))
        changes[:1, 1:length] = np.packbits(first_row)
        np.bitwise_xor.accumulate(words, axis=0, out=words)  # sixty-four pixels at a time
        return assemble((width, height), 1, GREY, zlib.compress(changes[:, :length].tobytes(), 1))
    length = width + 1
    with _blank(height * length) as scanlines:
        touched = rows * length + columns + 1
        starts = np.arange(0, height * length, length)
        places: npt.NDArray[np.int64] = np.concatenate((starts, np.flatnonzero(first_row) + 1, touched))
        places.sort()
        try:
            scanlines[::length] = 2
            scanlines[touched] = np.where(is_set, np.uint8(255), np.uint8(1))
            scanlines[1:length] = np.where(first_row, np.uint8(255), np.uint8(0))
            return assemble((width, height), 8, GREY, compress_sparse(scanlines, places))
        finally:
            scanlines[places] = 0


class _Blanks(threading.local):
    """Zeros that were used before: new memory costs more than all of the work on it."""

    def __init__(self) -> None:
        self.free = np.zeros(0, np.uint8)


_blanks = _Blanks()
_LARGEST_BLANK = 1 << 24


@contextmanager
def _blank(size: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Lend uint8 zeros, which are handed back as zeros."""
    if size > _LARGEST_BLANK:
        yield np.zeros(size, np.uint8)
        return
    if _blanks.free.size < size:
        _blanks.free = np.zeros(size, np.uint8)
    yield _blanks.free[:size]


def upright_mask(mask: Mask, orientation: int) -> Mask:
    """Turn a mask drawn on pixels as stored, bool (H, W), to the photo's upright position. `orientation` as in EXIF.

    >>> upright_mask(np.array([[True, False]]), 6).tolist()
    [[True], [False]]
    """
    if orientation in (2, 3):
        mask = mask[:, ::-1]
    elif orientation in (7, 8):
        mask = mask[:, ::-1] if orientation == 8 else mask[::-1, ::-1]
    elif orientation == 6:
        mask = mask[::-1]
    if orientation in (3, 4):
        mask = mask[::-1]
    return np.ascontiguousarray(mask.T if orientation >= 5 else mask)


def upright_point(x: float, y: float, size: tuple[float, float], orientation: int) -> tuple[float, float]:
    """Turn a point as `upright_mask` turns masks. `size` is the largest x and y of the stored photo.

    >>> upright_point(1, 0, (1, 0), 6)
    (0, 1)
    """
    if orientation in (2, 3, 7, 8):
        x = size[0] - x
    if orientation in (3, 4, 6, 7):
        y = size[1] - y
    return (y, x) if orientation >= 5 else (x, y)


def encode_photo(pixels: npt.NDArray[np.uint8], suffix: str) -> bytes:
    """Encode uint8 (H, W, 3) RGB: ``.png`` without loss, ``.jpg`` at quality 95 with full colour resolution.

    Equal arrays give equal bytes.

    >>> decode_image(encode_photo(np.full((2, 3, 3), 7, np.uint8), ".png")).tolist()[0][0]
    [7, 7, 7]
    """
    if suffix == ".png":
        # Half the levels' gain for a tenth of their time.
        return cv2.imencode(suffix, pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
