"""The dominant person's face decides."""

import numpy as np
import pytest

from segdata.detect.base import Face
from segdata.ops.faces import dominant_face, face_from_keypoints
from segdata.sample import Person

SMALL, LARGE = Face((10, 10, 10, 10), 0.9), Face((100, 10, 30, 30), 0.9)


def test_without_persons_the_largest_face_is_dominant() -> None:
    assert dominant_face([SMALL, LARGE]) == LARGE
    assert dominant_face([]) is None


def test_a_doubtful_face_yields_to_a_sure_one_of_about_its_size() -> None:
    doubtful = Face((0, 0, 31, 31), 0.55)
    assert dominant_face([doubtful, LARGE]) == LARGE


def test_the_largest_person_decides_whatever_the_faces() -> None:
    persons = [Person(box=(90, 0, 60, 60)), Person(box=(0, 0, 50, 300))]
    assert dominant_face([SMALL, LARGE], persons) == SMALL


def test_a_mask_area_goes_before_the_box() -> None:
    persons = [Person(box=(90, 0, 60, 60), area=3000), Person(box=(0, 0, 50, 300), area=1000)]
    assert dominant_face([SMALL, LARGE], persons) == LARGE


def test_a_face_belongs_to_the_box_it_is_nearest_to_the_top_of() -> None:
    behind, child = Person(box=(0, 0, 300, 300)), Person(box=(90, 5, 60, 60))
    assert dominant_face([LARGE], [behind, child]) is None, "the child is under a tenth of the person behind"
    smaller = Face((20, 20, 20, 20), 0.9)
    assert dominant_face([LARGE, smaller], [behind, child]) == smaller


def test_a_person_seen_from_behind_does_not_decide_for_a_group() -> None:
    persons = [Person(box=(0, 0, 90, 300)), Person(box=(95, 0, 90, 200))]
    assert dominant_face([LARGE], persons) == LARGE


def test_passers_by_and_crowds_are_not_dominant() -> None:
    turned_away = Person(box=(0, 0, 90, 900))
    assert dominant_face([LARGE], [turned_away, Person(box=(95, 0, 40, 60))]) is None
    assert dominant_face([LARGE], [turned_away, Person(box=(95, 0, 90, 900), crowd=True)]) is None


def test_persons_without_boxes_are_as_good_as_none() -> None:
    assert dominant_face([SMALL, LARGE], [Person()]) == LARGE


def _person(**parts: tuple[float, float]) -> np.ndarray:
    keypoints = np.zeros((17, 3), np.float32)
    for name, point in parts.items():
        keypoints[("nose", "left_eye", "right_eye", "left_ear", "right_ear").index(name)] = (*point, 2)
    return keypoints


def test_a_frontal_face_is_as_wide_as_its_ears_are_apart() -> None:
    box = face_from_keypoints(
        _person(nose=(50, 52), left_eye=(58, 42), right_eye=(42, 42), left_ear=(70, 45), right_ear=(30, 45))
    )
    assert box is not None
    x, y, width, height = box
    assert 38 <= width <= 42
    assert height == pytest.approx(1.1 * width)
    assert x + width / 2 == pytest.approx(50, abs=1)
    assert y < 35, "above the eyes is the forehead"
    assert y + height > 62, "below the nose are mouth and chin"


def test_a_profile_has_about_the_size_of_the_frontal_face() -> None:
    frontal = face_from_keypoints(_person(nose=(50, 52), left_eye=(58, 42), right_eye=(42, 42)))
    profile = face_from_keypoints(_person(nose=(50, 52), left_eye=(54, 42), left_ear=(80, 45)))
    assert frontal is not None
    assert profile is not None
    assert profile[2] == pytest.approx(frontal[2], rel=0.25)


@pytest.mark.parametrize(
    "keypoints",
    [
        _person(),
        _person(nose=(50, 50)),
        _person(left_ear=(70, 45), right_ear=(30, 45)),
        _person(nose=(50, 50), left_eye=(50, 50)),
    ],
    ids=["nothing labelled", "one point", "ears alone: a back of a head", "two points in one place"],
)
def test_too_few_points_give_no_face(keypoints: np.ndarray) -> None:
    assert face_from_keypoints(keypoints) is None


def test_points_that_are_not_labelled_do_not_count() -> None:
    keypoints = _person(nose=(50, 52), left_eye=(58, 42), right_eye=(42, 42))
    plain = face_from_keypoints(keypoints)
    keypoints[3] = (900, 900, 0)
    assert face_from_keypoints(keypoints) == plain
