"""Copies of a photo are told from other photos, however they were edited."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from segdata.pixels import decode_image
from segdata.quality.candidates import KeypointStore
from segdata.quality.duplicates import KEYPOINTS, RECORD, Likeness, likeness, pixel_hash, records


@pytest.fixture(scope="module")
def photos(shared_data):
    paths = sorted((shared_data / "coco" / "images").glob("*.jpg"))[3:9]
    return [decode_image(path.read_bytes(), str(path)) for path in paths]


def jpeg(image, quality=60):
    return decode_image(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def scaled(image, x, y):
    return cv2.resize(image, None, fx=x, fy=y, interpolation=cv2.INTER_AREA)


def brighter(image):
    return np.clip((image / 255.0) ** 0.8 * (250, 235, 255), 0, 255).astype(np.uint8)


EDITS = {
    "compressed": lambda image: jpeg(image, 30),
    "smaller": lambda image: jpeg(scaled(image, 0.4, 0.4)),
    "squeezed": lambda image: jpeg(scaled(image, 0.85, 1)),
    "brighter": lambda image: jpeg(brighter(image)),
    "cropped": lambda image: jpeg(image[: int(0.8 * len(image)), image.shape[1] // 5 :]),
    "cropped hard": lambda image: jpeg(image[len(image) // 4 :, : 3 * image.shape[1] // 4]),
    "cropped in full size": lambda image: image[len(image) // 3 :],
}


def found(images):
    with KeypointStore(len(images)) as store:
        for number, image in enumerate(images):
            store.put(number, *records(image))
        return store.candidates()


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_edited_copies_are_found_among_others_and_recognised(photos, edit, mirrored):
    copy = EDITS[edit](photos[0])
    copy = np.ascontiguousarray(copy[:, ::-1]) if mirrored else copy
    candidates = found([*photos[1:4], photos[0], copy, photos[5]])
    assert (3, 4, mirrored) in [(each.a, each.b, each.mirrored) for each in candidates]
    original = np.ascontiguousarray(photos[0][:, ::-1]) if mirrored else photos[0]
    assert likeness(original, copy).relation == "copy"


def test_other_photos_are_nothing_to_each_other(photos):
    for a, b in pairwise(photos):
        assert likeness(a, b).relation is None


def test_the_same_scene_shot_again_is_told_from_a_copy(shared_data):
    a, b = ((shared_data / "ccp" / "photos" / f"{key}.jpg").read_bytes() for key in ("0223", "0616"))
    alike = likeness(decode_image(a), decode_image(b))
    assert alike.relation == "scene"
    assert alike.inliers > 100


def test_other_people_at_the_same_place_are_nothing_to_each_other(shared_data):
    a, b = ((shared_data / "ccp" / "photos" / f"{key}.jpg").read_bytes() for key in ("0271", "0275"))
    alike = likeness(decode_image(a), decode_image(b))
    assert alike.relation is None
    assert alike.inliers > 40, "the houses are the same"


def test_a_photo_turned_on_its_side_is_no_copy(photos):
    assert likeness(photos[0], np.ascontiguousarray(np.rot90(photos[0]))).relation is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3, 3), (300, 400)])
def test_photos_without_a_corner_have_no_keypoints_and_are_like_nothing(shape):
    blank = np.full((*shape, 3), 90, np.uint8)
    assert [side.shape for side in records(blank)] == [(0, RECORD)] * 2
    assert likeness(blank, blank).relation is None
    assert found([blank, blank]) == []


def test_records_and_likeness_are_the_same_each_time(photos):
    one, two = (records(photos[0]) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert 0 < len(one[0]) <= KEYPOINTS
    assert likeness(photos[0], EDITS["cropped"](photos[0])) == likeness(photos[0], EDITS["cropped"](photos[0]))


def test_pixels_are_hashed_with_their_shape():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert pixel_hash(image) == pixel_hash(np.asfortranarray(image))
    assert pixel_hash(image) != pixel_hash(image.reshape(4, 2, 3))


def made_up(count, copies):
    """Random keypoints; photo b of (a, b) has those of a, with one bit in ten turned."""
    draw = np.random.default_rng(0)
    sides = draw.integers(0, 256, (count, 2, KEYPOINTS, RECORD), np.uint8)
    for a, b in copies:
        noise = np.packbits(draw.random((KEYPOINTS, RECORD * 8)) < 0.02, axis=1)
        sides[b, 0] = sides[a, 0] ^ noise
        sides[b, 0, :, -1] = sides[a, 0, :, -1]
    return sides


@pytest.mark.parametrize("most", [50, 6_000_000])
def test_candidates_are_the_same_however_many_are_sorted_at_once(monkeypatch, most):
    monkeypatch.setattr("segdata.quality.candidates._MOST_SORTED", most * KEYPOINTS)
    copies = [(3, 90), (7, 8), (7, 60)]
    sides = made_up(100, copies)
    with KeypointStore(100) as store:
        for number, (upright, mirrored) in enumerate(sides):
            store.put(number, upright, mirrored)
        assert [(each.a, each.b) for each in store.candidates()] == [(3, 90), (7, 8), (7, 60), (8, 60)]


def test_keypoints_that_are_turned_do_not_meet():
    sides = made_up(2, [(0, 1)])
    sides[1, 0, :, -1] += np.uint8(64)
    with KeypointStore(2) as store:
        for number, each in enumerate(sides):
            store.put(number, *each)
        assert store.candidates() == []


def test_no_photos_have_no_candidates():
    with KeypointStore(0) as store:
        assert store.candidates() == []
    with KeypointStore(3) as store:
        assert store.candidates() == []


@pytest.mark.parametrize(
    ("facts", "relation"),
    [
        ((16, 0.15, 0.2, 0.9), "copy"),
        ((16, 0.15, 0.2, 0.89), "scene"),
        ((16, 0.15, 0.2, 0.7), "scene"),
        ((16, 0.15, 0.2, 0.69), None),
        ((15, 1.0, 1.0, 1.0), None),
        ((900, 0.14, 1.0, 1.0), None),
        ((900, 1.0, 0.19, 1.0), None),
        ((900, 1.0, 1.0, -1.0), None),
    ],
)
def test_what_two_photos_are_follows_from_what_they_share(facts, relation):
    assert Likeness(*facts).relation == relation


def test_a_photo_is_wholly_like_itself(photos):
    alike = likeness(photos[0], photos[0])
    assert alike.inliers > 500
    assert (alike.share, alike.overlap, alike.correlation) == pytest.approx((1, 1, 1), abs=0.01)
    negative = likeness(photos[0], 255 - photos[0])
    assert negative.correlation <= 0


@pytest.mark.parametrize("part", [0.5, 0.75])
def test_the_overlap_is_the_share_of_the_smaller_photo_that_both_show(photos, part):
    width = photos[0].shape[1]
    left, right = photos[0][:, : int(width * 0.75)], photos[0][:, int(width * 0.75 * (1 - part)) :]
    smaller = min(left.shape[1], right.shape[1])
    shared = left.shape[1] + right.shape[1] - width
    for one, other in ((left, right), (right, left)):
        alike = likeness(np.ascontiguousarray(one), np.ascontiguousarray(other))
        assert alike.overlap == pytest.approx(shared / smaller, abs=0.03)
        assert alike.correlation > 0.95


def test_a_hash_of_pixels_has_sixteen_bytes():
    assert len({pixel_hash(np.full((2, 3, 3), value, np.uint8)) for value in range(256)}) == 256
    assert len(pixel_hash(np.zeros((2, 3, 3), np.uint8))) == 16
