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


def test_the_middle_of_the_box_is_that_of_the_points_8_percent_of_the_width_lower() -> None:
    box = face_from_keypoints(_person(nose=(50, 50), left_eye=(60, 40), right_eye=(40, 40)))
    width = 20 / 0.44
    assert box == pytest.approx((50 - width / 2, 45 + 0.08 * width - 1.1 * width / 2, width, 1.1 * width))


def test_persons_down_to_a_tenth_of_the_largest_are_tried() -> None:
    turned_away = Person(box=(0, 0, 90, 100))
    for area, expected in ((900, LARGE), (899, None)):
        assert dominant_face([LARGE], [turned_away, Person(box=(95, 0, 40, 60), area=area)]) == expected


@pytest.mark.parametrize(
    ("box", "holds"),
    [
        ((115.5, 20.5, 50, 50), True),
        ((65.5, 20.5, 50, 50), True),
        ((115.5, 0.5, 50, 20), True),
        ((65.5, 0.5, 50, 20), True),
        ((115.6, 0, 50, 50), False),
        ((65.4, 0, 50, 50), False),
        ((90, 20.6, 50, 50), False),
        ((90, 0, 50, 20.4), False),
    ],
)
def test_a_face_belongs_to_a_box_that_its_middle_lies_in_or_on_the_edge_of(
    box: tuple[float, float, float, float], holds: bool
) -> None:
    face = Face((100, 10, 31, 21), 0.9)
    assert dominant_face([face], [Person(box=box)]) == (face if holds else None)


def test_without_persons_area_times_score_decides_not_a_side_or_the_place() -> None:
    wide, high, far = Face((0, 0, 90, 2), 0.9), Face((0, 0, 2, 90), 0.9), Face((900, 900, 14, 14), 0.9)
    assert dominant_face([wide, high, Face((0, 0, 15, 15), 0.9), far]) == Face((0, 0, 15, 15), 0.9)
    assert dominant_face([Face((0, 0, 15, 15), 0.5), far]) == far


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


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("nose", "left_eye", 0.37),
        ("nose", "right_eye", 0.37),
        ("left_eye", "right_eye", 0.44),
        ("nose", "left_ear", 0.93),
        ("nose", "right_ear", 0.93),
        ("left_eye", "left_ear", 0.71),
        ("right_eye", "right_ear", 0.71),
        ("left_eye", "right_ear", 0.88),
        ("right_eye", "left_ear", 0.88),
    ],
)
def test_each_distance_between_two_parts_is_its_share_of_the_width(one: str, other: str, share: float) -> None:
    box = face_from_keypoints(_person(**{one: (40, 50), other: (40 + 100 * share, 50)}))
    assert box is not None
    assert box[2] == pytest.approx(100)


def test_a_mirrored_person_has_the_mirrored_box() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        keypoints = np.zeros((17, 3))
        keypoints[:5] = np.column_stack([rng.uniform(0, 60, (5, 2)), rng.integers(0, 3, 5)])
        mirrored = keypoints[[0, 2, 1, 4, 3]] * (-1, 1, 1) + (60, 0, 0)
        box, other = face_from_keypoints(keypoints), face_from_keypoints(mirrored)
        assert (box is None) == (other is None)
        if box is not None:
            assert other == pytest.approx((60 - box[0] - box[2], *box[1:]))
