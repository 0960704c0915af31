"""Photos and masks of every kind are read as they are meant, or refused by name; PNGs hold exactly the mask."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from segdata import pixels
from segdata.errors import SampleError
from segdata.masks import mask_to_rle
from segdata.pixels import (
    PhotoFacts,
    check_photo,
    decode_image,
    decode_labels,
    decode_mask,
    decode_probability,
    encode_png,
    encode_rle_png,
    upright_mask,
    upright_point,
)

ORIENTATIONS = range(1, 9)
REFUSED = {
    "decompression_bomb.gif": "claims more than 1,073,741,824 pixels",
    "sharp_corrupt-header.jpg": "cannot be decoded",
    "sharp_truncated.jpg": "cannot be decoded .image file is truncated",
    "sharp_truncated.png": "cannot be decoded .image file is truncated",
    "truncated_image.png": "cannot be decoded .image file is truncated",
    "truncated_jpeg.jpg": "cannot be decoded .image file is truncated",
    "zero_width.gif": "is not an image that can be read",
}


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(image, kind, exif=exif, **options)


def cv2_read(data: bytes) -> np.ndarray[Any, Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def refusal_of(read: Callable[[bytes, str], Any], data: bytes) -> str | None:
    try:
        read(data, "photo")
    except SampleError as error:
        return str(error)
    return None


def noise(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


# Photos


def test_every_odd_image_is_read_or_refused_in_one_sentence(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read = 0
    for path in sorted((shared_data / "odd_images").iterdir()):
        if path.name.startswith("LICENSE"):
            continue
        data = path.read_bytes()
        if path.name in REFUSED:
            for function in (check_photo, decode_image, decode_labels, decode_mask, decode_probability):
                with pytest.raises(SampleError, match=REFUSED[path.name]) as caught:
                    function(data, path.name)
                assert caught.value.message.startswith(path.name)
                assert "\n" not in str(caught.value)
            continue
        facts, image = check_photo(data, path.name), decode_image(data, path.name)
        assert image.shape == (facts.height, facts.width, 3)
        assert image.dtype == np.uint8
        read += 1
    assert read == 25
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_rotated_photo_comes_upright(orientation: int, shared_data: Path) -> None:
    data = (shared_data / "odd_images" / f"hopper_orientation_{orientation}.jpg").read_bytes()
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_image(data), expected)
    facts = check_photo(data, "hopper")
    assert facts == PhotoFacts(expected.shape[1], expected.shape[0], orientation)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_size_and_pixels_agree_on_what_upright_is(kind: str, orientation: int) -> None:
    image = Image.fromarray(noise(40, 60))
    data = with_orientation(image, kind, orientation)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened))
    facts, upright = check_photo(data, "photo"), decode_image(data)
    np.testing.assert_array_equal(upright, expected)
    assert (facts.height, facts.width) == upright.shape[:2]
    assert facts.orientation == orientation
    assert facts.stored_size == (60, 40)


@pytest.mark.parametrize("orientation", [0, 9, 255, 40000])
def test_an_orientation_that_does_not_exist_states_nothing(orientation: int) -> None:
    data = with_orientation(Image.fromarray(noise(4, 6)), "JPEG", orientation)
    assert check_photo(data, "photo") == PhotoFacts(6, 4, 1)
    assert decode_image(data).shape == (4, 6, 3)


@pytest.mark.parametrize("name", ["hopper_bad_exif.jpg", "invalid-exif.jpg"])
def test_broken_exif_states_nothing(name: str, shared_data: Path) -> None:
    assert check_photo((shared_data / "odd_images" / name).read_bytes(), name).orientation == 1


@pytest.mark.parametrize("side", [1, 2, 7, 8, 9])
def test_the_smallest_photos_are_read(side: int) -> None:
    data = saved(Image.fromarray(noise(side, 1)), "JPEG")
    assert check_photo(data, "photo") == PhotoFacts(1, side, 1)
    assert decode_image(data).shape == (side, 1, 3)


def test_sixteen_bits_become_eight(shared_data: Path) -> None:
    data = (shared_data / "odd_images" / "hopper_16bit.pgm").read_bytes()
    grey = cv2_read(data)
    np.testing.assert_array_equal(decode_image(data)[..., 0], np.round(grey / 257))
    high = saved(Image.fromarray(np.array([[0, 128, 65535]], np.uint16)))
    assert decode_image(high)[..., 1].tolist() == [[0, 0, 255]]
    beyond = saved(Image.fromarray(np.array([[-5, 65535, 1 << 20]], np.int32)), "TIFF")
    assert decode_image(beyond)[..., 1].tolist() == [[0, 255, 255]]


def test_a_palette_gives_its_colours_and_alpha_is_dropped() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert decode_image(saved(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert decode_image(saved(Image.new("RGBA", (1, 1), (1, 2, 3, 0)))).tolist() == [[[1, 2, 3]]]
    assert decode_image(saved(Image.new("LA", (1, 1), (7, 0)))).tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "LZW", "BMP", "PPM"])
def test_a_photo_cut_off_anywhere_is_refused_and_nothing_else(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    image = Image.fromarray(noise(24, 24))
    data = saved(image, "TIFF", compression="tiff_lzw") if kind == "LZW" else saved(image, kind)
    whole = decode_image(data)
    for length in [0, 1, 2, *range(3, len(data), max(1, len(data) // 60))]:
        refusal = refusal_of(check_photo, data[:length])
        if refusal is None:  # what is missing holds no pixels
            np.testing.assert_array_equal(decode_image(data[:length]), whole)
        else:
            assert refusal.startswith("photo ")
            assert "\n" not in refusal
            assert refusal_of(decode_image, data[:length]) is not None
    assert capfd.readouterr() == ("", "")


def test_a_png_whose_pixels_are_damaged_is_refused() -> None:
    # Pillow raises the first time that it loads the pixels, and gives what it has the second time.
    scanlines = np.insert(noise(24, 24).reshape(24, 72), 0, 0, axis=1)
    packed = bytearray(zlib.compress(scanlines.tobytes()))
    packed[len(packed) // 2 : len(packed) // 2 + 200] = bytes(200)
    header = struct.pack(">IIBBBBB", 24, 24, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    for read in (check_photo, decode_image, decode_mask):
        assert "cannot be decoded" in str(refusal_of(read, data))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_corrupt_bytes_never_end_in_anything_but_a_refusal(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"]))
    damaged = bytearray(saved(Image.fromarray(noise(16, 16)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for function in (check_photo, decode_image, decode_labels, decode_mask, decode_probability):
        assert (refusal_of(function, bytes(damaged)) or "photo ").startswith("photo ")


def test_libtiff_s_own_words_do_not_reach_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(saved(Image.fromarray(noise(24, 24)), "TIFF", compression="tiff_adobe_deflate"))
    data[300:400] = bytes(100)
    for function in (check_photo, decode_image):
        with pytest.raises(SampleError, match="photo cannot be decoded"):
            function(bytes(data), "photo")
    os.write(2, b"heard")
    assert capfd.readouterr() == ("", "heard")


def test_postscript_in_a_photo_s_clothes_starts_no_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = tmp_path / "gs"  # which Pillow looks for
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    assert refusal_of(decode_image, data) == "photo is not an image that can be read"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["GIF", "PPM", "BMP"])
def test_a_photo_is_what_its_bytes_are_whatever_it_is_called(kind: str) -> None:
    assert decode_image(saved(Image.new("RGB", (4, 3), (255, 255, 255)), kind), "a.jpg").shape == (3, 4, 3)


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(SampleError, match=r"a\.jpg is empty \(0 bytes\)"):
        check_photo(b"", "a.jpg")


def test_a_photo_above_the_limit_is_not_opened_and_one_below_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MOST_PIXELS", 100)
    data = saved(Image.fromarray(noise(10, 10)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_photo(data, "photo") == PhotoFacts(10, 10, 1)
    with pytest.raises(SampleError, match="photo claims more than 100 pixels") as caught:
        check_photo(saved(Image.fromarray(noise(10, 11))), "photo")
    assert caught.value.code == "huge-image"


def test_pillow_s_own_limit_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    check_photo(saved(Image.fromarray(noise(2, 2))), "photo")
    with pytest.raises(SampleError):
        check_photo(b"no image", "photo")
    assert before == Image.MAX_IMAGE_PIXELS


# Masks and labels

MASK = np.array([[0, 1, 1], [1, 0, 0]], np.bool_)
GREY = MASK.astype(np.uint8) * np.uint8(255)


def palette_image() -> Image.Image:
    image = Image.fromarray(MASK.astype(np.uint8), "L")
    image = image.convert("P")
    image.putdata([int(value) for value in MASK.ravel()])
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode_png(MASK), id="1-bit"),
        pytest.param(encode_png(MASK.astype(np.uint8)), id="0 and 1"),
        pytest.param(encode_png(MASK.astype(np.uint8) * 255), id="0 and 255"),
        pytest.param(encode_png(MASK.astype(np.uint16)), id="16-bit 0 and 1"),
        pytest.param(encode_png(MASK.astype(np.uint16) * 65535), id="16-bit 0 and 65535"),
        pytest.param(encode_png(MASK.astype(np.uint16) * 256), id="16-bit 0 and 256"),
        pytest.param(saved(palette_image()), id="palette"),
        pytest.param(saved(palette_image(), bits=1), id="1-bit palette"),
        pytest.param(saved(palette_image(), bits=2, transparency=0), id="palette with transparency"),
        pytest.param(saved(Image.fromarray(MASK)), id="1-bit of Pillow"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGB")), id="grey in RGB"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGBA")), id="grey in RGBA"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.uint8) * 255).convert("LA")), id="grey and alpha"),
        pytest.param(saved(Image.fromarray(np.dstack([GREY] * 4))), id="transparent where it is black"),
        pytest.param(saved(Image.fromarray(GREY).convert("CMYK"), "TIFF"), id="grey in four inks"),
        pytest.param(saved(Image.merge("CMYK", [Image.fromarray(255 - GREY)] * 4), "TIFF"), id="all four inks"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.uint8) * 9), "TIFF"), id="TIFF"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.int32) * 70000), "TIFF"), id="32-bit TIFF"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.float32)), "TIFF"), id="float TIFF"),
        pytest.param(saved(Image.fromarray(MASK.astype(np.uint8) * 255), "BMP"), id="BMP"),
    ],
)
def test_a_mask_of_any_kind_is_read(data: bytes) -> None:
    mask, void = decode_mask(data)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, MASK)
    assert mask.view(np.uint8).max() == 1
    assert void is None


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_mask_of_one_value_is_all_or_nothing(value: int) -> None:
    mask, _ = decode_mask(encode_png(np.full((2, 3), value, np.uint8)))
    assert mask.all() == mask.any() == (value > 0)


def test_void_pixels_come_apart() -> None:
    data = encode_png(np.array([[0, 1, 255]], np.uint8))
    mask, void = decode_mask(data, void=255)
    assert void is not None
    assert (mask.tolist(), void.tolist()) == ([[False, True, False]], [[False, False, True]])
    with pytest.raises(SampleError, match=r"mask holds 3 different values \(0, 1, 255, ...\)") as caught:
        decode_mask(data)
    assert caught.value.code == "not-binary"
    _, none = decode_mask(encode_png(MASK), void=255)
    assert none is not None
    assert not none.any()


@pytest.mark.parametrize("values", [[0, 1, 2], [1, 2], [0, 254, 255], [7, 0, 9]])
def test_what_is_no_mask_is_refused(values: list[int]) -> None:
    with pytest.raises(SampleError, match=r"a\.png holds \d different values") as caught:
        decode_mask(encode_png(np.array([values], np.uint8)), "a.png")
    assert caught.value.code == "not-binary"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_a_colour_mask_is_refused_by_name(mode: str) -> None:
    data = saved(Image.new("RGB", (2, 2), (128, 0, 0)).convert(mode), "TIFF")
    with pytest.raises(SampleError, match=r"a\.png is a colour image") as caught:
        decode_labels(data, "a.png")
    assert caught.value.code == "colour-mask"


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_whose_transparency_says_something_else_than_its_colour_is_refused(mode: str, colour: int) -> None:
    image = Image.new("L", MASK.shape[::-1], colour).convert(mode)
    image.putalpha(Image.fromarray(GREY))
    with pytest.raises(SampleError, match=r"a\.png has an alpha channel that says something else") as caught:
        decode_mask(saved(image), "a.png")
    assert caught.value.code == "colour-mask"


def test_labels_are_the_stored_numbers() -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    palette = Image.fromarray(labels).convert("P")
    palette.putdata(labels.ravel().tolist())
    palette.putpalette([255 - value // 3 for value in range(768)])
    np.testing.assert_array_equal(decode_labels(saved(palette)), labels)
    np.testing.assert_array_equal(decode_labels(encode_png(labels)), labels)
    high = labels.astype(np.uint16) * 10_000
    np.testing.assert_array_equal(decode_labels(encode_png(high)), high)


def test_a_probability_map_spans_zero_to_one_at_any_depth() -> None:
    for stored in (np.array([[0, 51, 255]], np.uint8), np.array([[0, 13107, 65535]], np.uint16)):
        probability = decode_probability(encode_png(stored))
        assert probability.dtype == np.float32
        np.testing.assert_array_equal(probability, np.array([[0, 0.2, 1]], np.float32))
    np.testing.assert_array_equal(decode_probability(encode_png(MASK)), MASK.astype(np.float32))


# PNGs


@settings(max_examples=200, deadline=None)
@given(data=st.data(), height=st.integers(1, 20), width=st.integers(1, 20))
def test_run_lengths_become_the_png_of_the_bitmap(data: st.DataObject, height: int, width: int) -> None:
    drawn = data.draw(st.binary(min_size=height * width, max_size=height * width))
    mask = np.frombuffer(drawn, np.uint8).reshape(height, width) % 2 == 1
    rle = mask_to_rle(mask)
    one_bit, eight_bits = encode_rle_png(rle, one_bit=True), encode_rle_png(rle)
    np.testing.assert_array_equal(decode_labels(one_bit), mask)
    np.testing.assert_array_equal(decode_labels(eight_bits), mask * np.uint8(255))
    assert one_bit == encode_png(mask)
    for png in (one_bit, eight_bits):
        np.testing.assert_array_equal(cv2_read(png), mask * np.uint8(255))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png)).convert("L")), mask * np.uint8(255))


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 17])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16])
def test_a_png_holds_the_array(dtype: type, width: int) -> None:
    largest = 1 if dtype is np.bool_ else np.iinfo(dtype).max
    array: Any = np.random.default_rng(width).integers(0, largest, (5, width), endpoint=True).astype(dtype)
    for given_array in (array, np.asfortranarray(array)):
        data = encode_png(given_array)
        np.testing.assert_array_equal(decode_labels(data), array)
        np.testing.assert_array_equal(cv2_read(data), array * np.uint8(255) if dtype is np.bool_ else array)
        assert data == encode_png(array)


def test_a_png_of_another_kind_of_number_is_refused() -> None:
    with pytest.raises(TypeError, match="not int64"):
        encode_png(np.array([[0, 300]]))


# Upright


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("size", [(3, 5), (4, 4), (1, 6)], ids=str)
def test_masks_and_points_turn_as_pillow_turns_photos(orientation: int, size: tuple[int, int]) -> None:
    mask = np.random.default_rng(7).integers(0, 2, size).astype(np.bool_)
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image)) > 0
    upright = upright_mask(mask, orientation)
    np.testing.assert_array_equal(upright, expected)
    assert upright.flags.c_contiguous
    for row, column in np.ndindex(*size):
        x, y = upright_point(column, row, (size[1] - 1, size[0] - 1), orientation)
        assert upright[int(y), int(x)] == mask[row, column]
