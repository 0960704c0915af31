"""Parts become persons: every class but the background, and what is no label image is named while the rest goes on."""

import json
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image

from segdata.dataset import Dataset
from segdata.errors import InputError
from segdata.journal import Report
from segdata.masks import rle_to_mask
from segdata.ops.merge_parts import merge_labels, merge_parts, read_names
from segdata.pixels import encode_png
from segdata.sample import Outcome

LABELS = np.array([[0, 0, 3, 3], [0, 7, 7, 58]], np.uint8)


def merged(folder: Path, **settings: Any) -> Report:
    return merge_parts(folder / "parts", out=folder / "out", **settings)


def labelled(folder: Path, pixels: np.ndarray[Any, Any] = LABELS, name: str = "a.png") -> Path:
    path = folder / "parts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))
    return path


def stored(folder: Path, key: str = "a") -> np.ndarray[Any, Any]:
    """Read a mask with Pillow and with cv2, which must agree."""
    path = folder / "out" / "masks" / f"{key}.png"
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("L"))
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), pixels)
    return pixels


def outcomes(folder: Path) -> dict[str, Outcome]:
    lines = (folder / "out" / "outcomes.jsonl").read_bytes().splitlines()
    return {one.key: one for one in (msgspec.json.decode(line, type=Outcome) for line in lines)}


@pytest.mark.parametrize("encoding", ["8bit", "1bit"])
def test_real_parts_become_all_that_is_not_background(encoding: Any, tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "ccp"
    (tmp_path / "parts").mkdir()
    paths = sorted((folder / "parts").iterdir())[::27]
    for path in paths:
        (tmp_path / "parts" / path.name).symlink_to(path)
    report = merged(tmp_path, images=folder / "photos", encoding=encoding)
    assert (report.done, report.failed) == (len(paths), 0)
    for sample, path in zip(Dataset(tmp_path / "out"), paths, strict=True):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        assert labels.ndim == 2
        assert np.array_equal(stored(tmp_path, path.stem), np.where(labels != 0, 255, 0)), path.name
        (person,) = sample.persons
        assert person.rle is not None
        assert np.array_equal(rle_to_mask(person.rle), labels != 0)
        assert person.area == np.count_nonzero(labels)
        assert (sample.height, sample.width) == labels.shape
        assert sample.file_name == f"images/{path.stem}.jpg"
        photo = tmp_path / "out" / sample.file_name
        assert photo.read_bytes() == (folder / "photos" / photo.name).read_bytes()


def test_the_names_of_a_real_data_set_are_read(shared_data: Path) -> None:
    names = read_names(shared_data / "ccp" / "parts.json")
    assert len(names) == 59
    assert (names[0], names[41]) == (json.loads((shared_data / "ccp" / "parts.json").read_bytes())["0"], "skin")


@pytest.mark.parametrize(
    ("background", "expected"),
    [
        ((0,), [[0, 0, 1, 1], [0, 1, 1, 1]]),
        (("0",), [[0, 0, 1, 1], [0, 1, 1, 1]]),
        ((0, 7), [[0, 0, 1, 1], [0, 0, 0, 1]]),
        (("null", "bag"), [[0, 0, 1, 1], [0, 0, 0, 1]]),
        (("null", 3, "58"), [[0, 0, 0, 0], [0, 1, 1, 0]]),
        ((), [[1, 1, 1, 1], [1, 1, 1, 1]]),
        ((300,), [[1, 1, 1, 1], [1, 1, 1, 1]]),
    ],
)
@pytest.mark.parametrize("as_list", [False, True], ids=["object", "list"])
def test_background_goes_by_number_and_by_name(
    background: tuple[int | str, ...], expected: list[list[int]], as_list: bool, tmp_path: Path
) -> None:
    labelled(tmp_path)
    names = {number: f"class {number}" for number in range(59)} | {0: "null", 7: "bag"}
    (tmp_path / "names.json").write_text(json.dumps(list(names.values()) if as_list else names))
    merged(tmp_path, background=background, names=tmp_path / "names.json")
    np.testing.assert_array_equal(stored(tmp_path), np.array(expected) * 255)


def test_a_name_of_two_classes_means_both(tmp_path: Path) -> None:
    labelled(tmp_path)
    (tmp_path / "names.json").write_text('{"0": "none", "3": "bag", "7": "bag", "58": "skin"}')
    merged(tmp_path, background=["none", "bag"], names=tmp_path / "names.json")
    assert stored(tmp_path).tolist() == [[0, 0, 0, 0], [0, 0, 0, 255]]


@pytest.mark.parametrize(
    ("background", "names", "why"),
    [
        ("hat", '{"0": "null", "3": "bag"}', "names no class 'hat': it names null, bag"),
        ("hat", None, "'hat' is no class number: give a names file"),
        ("-1", None, "'-1' is no class number"),
        ("null", "", "is not a JSON object"),
        ("null", "5", "is not a JSON object"),
        ("null", '{"zero": "null"}', "is not a JSON object"),
        ("null", "[", "is not a JSON object"),
        ("null", 200_000 * "[", "is not a JSON object"),
    ],
)
def test_a_background_that_is_not_known_is_refused(
    background: str, names: str | None, why: str, tmp_path: Path
) -> None:
    labelled(tmp_path)
    path = None
    if names is not None:
        path = tmp_path / "names.json"
        path.write_text(names)
    with pytest.raises(InputError, match=why):
        merged(tmp_path, background=[background], names=path)
    assert not (tmp_path / "out").exists()


def test_a_names_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    labelled(tmp_path)
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        merged(tmp_path, names=tmp_path / "none.json")


def test_an_encoding_that_is_not_known_is_refused(tmp_path: Path) -> None:
    labelled(tmp_path)
    with pytest.raises(InputError, match="encoding '2bit' is not known: use one of 8bit, 1bit"):
        merged(tmp_path, encoding="2bit")
    assert not (tmp_path / "out").exists()


def palette(pixels: np.ndarray[Any, Any]) -> Image.Image:
    image = Image.new("P", pixels.shape[::-1])
    image.putdata(pixels.ravel().tolist())
    image.putpalette([(value * 7) % 256 for value in range(768)])
    return image


def test_label_images_of_every_kind_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    labelled(tmp_path, name="grey.png")
    labelled(tmp_path, LABELS.astype(np.uint16) * 1000, "high.png")
    labelled(tmp_path, LABELS > 0, "bits.png")
    palette(LABELS).save(folder / "palette.png")
    palette(LABELS // 20).save(folder / "few.png", bits=2)
    Image.fromarray(LABELS).convert("RGB").save(folder / "equal.png")
    Image.fromarray(LABELS).save(folder / "deep.tiff")
    assert merged(tmp_path).failed == 0
    for key in ("grey", "high", "bits", "palette", "equal", "deep"):
        assert np.array_equal(stored(tmp_path, key), np.where(LABELS > 0, 255, 0)), key
    assert stored(tmp_path, "few").tolist() == [[0] * 4, [0, 0, 0, 255]]


def test_what_is_no_label_image_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    labelled(tmp_path)
    folder = tmp_path / "parts"
    palette(LABELS).convert("RGB").save(folder / "colour.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:-30])
    (folder / "text.png").write_text("no image")
    report = merged(tmp_path)
    assert (report.done, report.failed) == (1, 4)
    found = outcomes(tmp_path)
    assert {key: one.code for key, one in found.items()} == {
        "colour": "colour-mask",
        "cut": "unreadable-image",
        "empty": "unreadable-image",
        "text": "unreadable-image",
    }
    for key, one in found.items():
        assert f"{folder}/{key}.png" in one.message
        assert "\n" not in one.message
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["a.png"]


def test_a_photo_must_be_there_and_of_the_same_size(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    for name in ("a.png", "b/other.png", "none.png", "turned.png", "broken.png"):
        labelled(tmp_path, name=name)
    Image.new("RGB", (4, 2)).save(photos / "a.jpg")
    Image.new("RGB", (4, 3)).save(photos / "b" / "other.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (2, 4)).save(photos / "turned.jpg", exif=exif)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8")
    report = merged(tmp_path, images=photos)
    assert (report.done, report.failed) == (2, 3)
    found = outcomes(tmp_path)
    assert {key: one.code for key, one in found.items()} == {
        "b/other": "size-mismatch",
        "none": "missing-file",
        "broken": "unreadable-image",
    }
    assert f"{photos}/b/other.jpg is 4 x 3, {tmp_path}/parts/b/other.png is 4 x 2" in found["b/other"].message
    assert str(photos / "none") in found["none"].message
    rows = {row["key"]: row for row in Dataset(tmp_path / "out").rows()}
    assert (rows["a"]["exif_orientation"], rows["turned"]["exif_orientation"]) == (1, 6)


def test_an_image_without_any_part_has_no_person_and_an_empty_mask(tmp_path: Path) -> None:
    labelled(tmp_path, np.zeros((2, 3), np.uint8))
    assert merged(tmp_path).done == 1
    (sample,) = Dataset(tmp_path / "out")
    assert sample.persons == []
    assert not stored(tmp_path).any()


def test_a_folder_that_is_not_there_or_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parts is not a folder"):
        merged(tmp_path)
    (tmp_path / "parts").mkdir()
    with pytest.raises(InputError, match="parts holds no images"):
        merged(tmp_path)
    labelled(tmp_path)
    with pytest.raises(InputError, match="photos is not a folder"):
        merged(tmp_path, images=tmp_path / "photos")


def test_a_second_run_does_what_has_changed_and_nothing_else(tmp_path: Path) -> None:
    labelled(tmp_path)
    labelled(tmp_path, name="b.png")
    assert merged(tmp_path).done == 2
    assert merged(tmp_path).reused == 2
    labelled(tmp_path, LABELS[::-1].copy(), "b.png")
    report = merged(tmp_path)
    assert (report.done, report.reused) == (1, 1)
    np.testing.assert_array_equal(stored(tmp_path, "b") > 0, LABELS[::-1] > 0)
    assert merged(tmp_path, background=[0, 3]).done == 2


def test_labels_of_any_whole_number_type_are_merged() -> None:
    for dtype in (np.bool_, np.uint8, np.uint16, np.int32, np.int64):
        labels: Any = np.array([[0, 1, 1]], dtype)
        assert merge_labels(labels).tolist() == [[False, True, True]]
        assert merge_labels(labels, background=()).all()
        assert not merge_labels(labels, background=(0, 1)).any()
