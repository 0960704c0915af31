"""Faces of real photos: large and small ones are found, what is none is refused, and boxes are the photo's pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segdata.detect import face_detector
from segdata.detect.base import Face
from segdata.domains import domain_of, face_ratio
from segdata.pixels import decode_image

pytestmark = pytest.mark.usefixtures("mediapipe")


@pytest.fixture(scope="module")
def mediapipe() -> None:
    pytest.importorskip("mediapipe")


def _photo(shared_data: Path, name: str) -> np.ndarray:
    return decode_image((shared_data / name).read_bytes(), name)


def _domain(image: np.ndarray, faces: list[Face]) -> str:
    return domain_of(face_ratio(faces[0].box if faces else None, image.shape))


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("coco/images/000000500716.jpg", "head shot"),
        ("coco/images/000000019924.jpg", "close shot"),
        ("coco/images/000000200421.jpg", "half body"),
        ("ccp/photos/0018.jpg", "whole body"),
        ("coco/images/000000014439.jpg", "far shot"),
    ],
)
def test_every_domain_is_found_by_its_face(shared_data: Path, name: str, domain: str) -> None:
    image = _photo(shared_data, name)
    assert _domain(image, face_detector().detect(image)) == domain


@pytest.mark.parametrize("name", ["000885", "040036", "190140", "313588", "473121"])
def test_small_faces_are_found_that_one_pass_misses(shared_data: Path, name: str) -> None:
    image = _photo(shared_data, f"coco/images/000000{name}.jpg")
    assert face_detector("full-range").detect(image) == []
    assert _domain(image, face_detector().detect(image)) == "far shot"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("000000094326", "a statue"),
        ("000000571264", "from behind"),
        ("000000128654", "from behind"),
        ("000000169356", "head cut off"),
        ("000000055002", "feet"),
    ],
)
def test_what_is_no_face_is_refused(shared_data: Path, name: str, what: str) -> None:
    assert face_detector().detect(_photo(shared_data, f"coco/images/{name}.jpg")) == [], what


def test_blank_and_tiny_photos_have_no_face() -> None:
    for height, width in ((1, 1), (3, 900), (64, 64)):
        assert face_detector().detect(np.zeros((height, width, 3), np.uint8)) == []


@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_boxes_are_in_pixels_of_the_photo_at_any_size(shared_data: Path, scale: float) -> None:
    image = _photo(shared_data, "ccp/photos/0035.jpg")
    resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    expected, found = face_detector().detect(image)[0], face_detector().detect(resized)[0]
    assert np.array(found.box) / scale == pytest.approx(np.array(expected.box), abs=4)


def test_a_face_found_in_a_tile_lies_where_it_is_in_the_photo(shared_data: Path) -> None:
    image = _photo(shared_data, "coco/images/000000313588.jpg")
    x, y, width, height = face_detector().detect(image)[0].box
    nose = (392, 255)  # as annotated, of the woman under the umbrella
    assert x < nose[0] < x + width
    assert y < nose[1] < y + height


def test_faces_stay_inside_the_photo_and_come_largest_first(shared_data: Path) -> None:
    image = _photo(shared_data, "coco/images/000000091406.jpg")
    faces = face_detector().detect(image)
    areas = [face.box[2] * face.box[3] for face in faces]
    assert len(faces) >= 3
    assert areas == sorted(areas, reverse=True)
    cut = image[:, : int(faces[0].box[0] + faces[0].box[2] * 0.8)]
    for face in face_detector().detect(cut):
        assert min(face.box[:2]) >= 0
        assert face.box[0] + face.box[2] <= cut.shape[1]


def test_a_photo_is_judged_the_same_after_any_other(shared_data: Path) -> None:
    names = ("coco/images/000000313588.jpg", "ccp/photos/0035.jpg", "coco/images/000000091406.jpg")
    images = [_photo(shared_data, name) for name in names]
    forwards = [face_detector().detect(image) for image in images]
    backwards = [face_detector().detect(image) for image in reversed(images)]
    assert forwards == backwards[::-1]


def test_a_head_on_one_side_is_found(shared_data: Path) -> None:
    image = _photo(shared_data, "ccp/photos/0035.jpg")[20:220, 170:370]
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((100, 100), 40, 1), (200, 200))
    assert len(face_detector().detect(turned)) == 1
