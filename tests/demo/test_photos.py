"""The demo's photos come out the same every time, and their annotations fit them."""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segdata.demo import photos
from segdata.demo.photos import PHOTOS, Photo, annotations, read_photo, write_photos
from segdata.errors import InputError

DATA = annotations()
IMAGES = {image["file_name"]: image for image in DATA["images"]}
PERSONS = [(person, DATA["images"][person["image_id"] - 1]) for person in DATA["annotations"]]
NAMES = [image["file_name"] for _, image in PERSONS]
DRAWN = msgspec.json.decode(Path(photos.__file__).with_name("annotations.json").read_bytes())
LEFT_EAR, RIGHT_EAR = 3, 4


def mask_of(person: dict[str, Any], image: dict[str, Any]) -> NDArray[np.bool_]:
    parts = coco_mask.frPyObjects(person["segmentation"], image["height"], image["width"])
    return np.asarray(coco_mask.decode(coco_mask.merge(parts)) > 0)


def keypoints_of(person: dict[str, Any]) -> NDArray[np.float64]:
    return np.array(person["keypoints"], np.float64).reshape(17, 3)


def person_of(photo: Photo) -> dict[str, Any]:
    image_id = IMAGES[photo.file_name]["id"]
    return next(person for person in DATA["annotations"] if person["image_id"] == image_id)


def test_the_same_bytes_are_written_every_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_photos(tmp_path / name)
    files = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    assert files.keys() == IMAGES.keys()


def test_a_written_photo_is_colour_and_as_large_as_its_annotations_say(tmp_path: Path) -> None:
    write_photos(tmp_path)
    for photo in PHOTOS:
        stored = cv2.imread(str(tmp_path / photo.file_name), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert stored.shape == (IMAGES[photo.file_name]["height"], IMAGES[photo.file_name]["width"], 3)
        np.testing.assert_array_equal(stored[..., ::-1], read_photo(photo))


def test_writing_again_fills_in_what_is_missing_and_leaves_the_rest(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / "cat.png").unlink()
    kept = tmp_path / "astronaut.png"
    before = kept.stat()
    write_photos(tmp_path)
    assert (tmp_path / "cat.png").exists()
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_file_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"cat\.png is there already"):
        write_photos(tmp_path)
    assert (tmp_path / "cat.png").read_bytes() == b"mine"


def test_a_scikit_image_without_its_photos_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ModuleNotFoundError("pooch")

    monkeypatch.setattr("skimage.data.astronaut", absent)
    with pytest.raises(InputError, match=r"astronaut\.png is not in the installed scikit-image"):
        read_photo(PHOTOS[0])


def test_pycocotools_reads_the_annotations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(msgspec.json.encode(DATA))
    coco = COCO(str(path))
    capsys.readouterr()
    assert len(coco.getImgIds()) == len(PHOTOS)
    assert coco.getAnnIds(imgIds=IMAGES["cat.png"]["id"]) == []
    for person, image in PERSONS:
        np.testing.assert_array_equal(coco.annToMask(person), mask_of(person, image))


@pytest.mark.parametrize(("person", "image"), PERSONS, ids=NAMES)
def test_polygons_lie_inside_their_photo(person: dict[str, Any], image: dict[str, Any]) -> None:
    for polygon in person["segmentation"]:
        points = np.array(polygon).reshape(-1, 2)
        assert len(points) >= 3
        assert (points >= 0).all()
        assert (points <= (image["width"], image["height"])).all()


@pytest.mark.parametrize(("person", "image"), PERSONS, ids=NAMES)
def test_area_and_box_are_those_of_the_drawn_mask(person: dict[str, Any], image: dict[str, Any]) -> None:
    mask = mask_of(person, image)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert person["area"] == mask.sum()
    assert person["bbox"] == [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    assert person["iscrowd"] == 0


@pytest.mark.parametrize(("person", "image"), PERSONS, ids=NAMES)
def test_visible_keypoints_lie_on_the_person_and_others_in_the_photo(
    person: dict[str, Any], image: dict[str, Any]
) -> None:
    mask = mask_of(person, image)
    keypoints = keypoints_of(person)
    assert person["num_keypoints"] == np.count_nonzero(keypoints[:, 2]) > 0
    for x, y, visibility in keypoints:
        if visibility == 2:
            assert mask[int(y), int(x)]
        elif visibility == 1:
            assert 0 <= x < image["width"]
            assert 0 <= y < image["height"]
        else:
            assert (x, y, visibility) == (0, 0, 0)


@pytest.mark.parametrize(("person", "image"), PERSONS, ids=NAMES)
def test_the_face_box_holds_the_visible_eyes_and_nose(person: dict[str, Any], image: dict[str, Any]) -> None:
    x, y, width, height = person["face_box"]
    assert 0 <= x < x + width <= image["width"]
    assert 0 <= y < y + height <= image["height"]
    seen = [row for row in keypoints_of(person)[:3] if row[2] == 2]
    assert len(seen) >= 2
    for eye_or_nose in seen:
        assert (x, y) < tuple(eye_or_nose[:2])
        assert (np.subtract(eye_or_nose[:2], (x, y)) < (width, height)).all()


def test_what_is_drawn_on_an_original_is_passed_on_unchanged() -> None:
    for drawn, photo in zip(DRAWN["annotations"], (PHOTOS[0], PHOTOS[4]), strict=True):
        person = person_of(photo)
        assert person["segmentation"] == drawn["segmentation"]
        for field in ("area", "bbox", "keypoints", "face_box"):
            assert person[field] == drawn[field]


@pytest.mark.parametrize("photo", [photo for photo in PHOTOS if photo.source != "chelsea"], ids=lambda p: p.file_name)
def test_a_crop_has_the_mask_of_its_original_cropped(photo: Photo) -> None:
    original = next(whole for whole in PHOTOS if whole.source == photo.source)
    x, y, width, height = photo.box
    expected = mask_of(person_of(original), IMAGES[original.file_name])[y : y + height, x : x + width]
    mask = mask_of(person_of(photo), IMAGES[photo.file_name])
    if photo.mirrored:  # pycocotools rounds half a pixel to one side, which a mirror turns to the other
        assert (mask != expected[:, ::-1]).mean() < 0.002
    else:
        np.testing.assert_array_equal(mask, expected)


def test_left_and_right_change_places_in_a_mirrored_photo() -> None:
    mirrored = next(photo for photo in PHOTOS if photo.mirrored)
    original = next(whole for whole in PHOTOS if whole.source == mirrored.source)
    x, y, visibility = keypoints_of(person_of(original))[RIGHT_EAR]
    left, top, width, _ = mirrored.box
    assert visibility == 2
    assert keypoints_of(person_of(mirrored))[LEFT_EAR].tolist() == [width - (x - left), y - top, 2]
    assert keypoints_of(person_of(mirrored))[RIGHT_EAR].tolist() == [0, 0, 0]


def test_a_polygon_is_cut_off_at_all_four_sides() -> None:
    photo = Photo("part.png", "astronaut", (10, 20, 30, 40))
    octagon = photos._cut_polygon([25.0, 10.0, 55.0, 40.0, 25.0, 70.0, -5.0, 40.0], photo)
    corners = set(zip(octagon[::2], octagon[1::2], strict=True))
    assert corners == {(5, 0), (25, 0), (30, 5), (30, 35), (25, 40), (5, 40), (0, 35), (0, 5)}
    assert photos._cut_polygon([100.0, 100.0, 110.0, 100.0, 100.0, 110.0], photo) == []


def test_the_photos_range_from_head_shot_to_whole_body() -> None:
    shares = {
        image["file_name"]: person["face_box"][2] * person["face_box"][3] / (image["width"] * image["height"])
        for person, image in PERSONS
    }
    assert shares["astronaut-head.png"] >= 0.3
    assert 0.1 <= shares["astronaut-close.png"] < 0.3
    assert 0.05 <= shares["astronaut-half.png"] < 0.1
    assert 0.05 <= shares["cameraman-half-mirrored.png"] < 0.1
    assert 0.005 <= shares["astronaut.png"] < 0.05
    assert 0.005 <= shares["cameraman.png"] < 0.05
