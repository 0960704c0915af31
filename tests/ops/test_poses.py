"""Whose detected keypoints are whose, which person is the dominant one, and when a photo is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from people import CountingPoses, count_poses, no_mediapipe

from segdata.errors import InputError, SampleError
from segdata.files import fingerprint
from segdata.ops.poses import (
    annotated_keypoints,
    dominant_keypoints,
    dominant_person,
    owner_of,
    persons_of,
    poses_entry,
    require_poses,
    size_of,
    wants_poses,
)
from segdata.sample import Person

Box = tuple[float, float, float, float]
PHOTO = np.zeros((40, 60, 3), np.uint8)


def labelled(x: float, y: float, seen: float = 2) -> list[list[float]]:
    """Seventeen keypoints of which the nose is labelled."""
    return [[x, y, seen], *[[0.0, 0.0, 0.0]] * 16]


def points(*each: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(each, np.float32)


def poses(*found: tuple[Box, list[list[float]]]) -> dict[str, Any]:
    """What the column `poses` holds of these boxes and keypoints."""
    return {"detector": "blazepose", "found": [{"box": box, "keypoints": of, "score": 0.9} for box, of in found]}


def row(*persons: dict[str, Any]) -> dict[str, Any]:
    return {"key": "a", "persons": list(persons)}


class TestPersons:
    def test_a_row_that_says_nothing_of_persons_has_none(self) -> None:
        assert persons_of({"key": "a"}) == persons_of({"key": "a", "persons": None}) == persons_of(row()) == []

    def test_persons_that_cannot_be_read_are_named_with_their_row(self) -> None:
        with pytest.raises(SampleError, match=r"the persons of a cannot be read .*box") as caught:
            persons_of(row({"box": "wide"}))
        assert (caught.value.code, caught.value.hint) == ("bad-persons", "mend its row in metadata.jsonl")

    @pytest.mark.parametrize(
        ("person", "size"),
        [
            (Person(), 0.0),
            (Person(box=(50, 60, 3, 7)), 21.0),
            (Person(box=(50, 60, 3, 7), area=5), 5),
            (Person(box=(50, 60, 3, 7), area=0), 0),
            (Person(area=8), 8),
        ],
    )
    def test_the_size_is_the_masks_area_or_else_the_boxs(self, person: Person, size: float) -> None:
        assert size_of(person) == size

    def test_the_largest_who_is_no_crowd_is_dominant_and_of_equals_the_first(self) -> None:
        assert dominant_person([]) is None
        assert dominant_person([Person(area=9, crowd=True)]) is None
        assert dominant_person([Person(area=99, crowd=True), Person(area=1), Person(area=3), Person(area=2)]) == 2
        assert dominant_person([Person(area=1), Person(area=3), Person(area=3)]) == 1
        assert dominant_person([Person()]) == 0


class TestAnnotatedKeypoints:
    def test_are_those_of_persons_with_a_labelled_one_who_are_no_crowd(self) -> None:
        hidden, none = labelled(3, 4, seen=1), labelled(3, 4, seen=0)
        found = annotated_keypoints(
            row(
                {"keypoints": labelled(1, 2)},
                {"keypoints": hidden},
                {"keypoints": none},
                {"keypoints": None},
                {"keypoints": labelled(5, 6), "crowd": True},
            )
        )
        assert [[list(point) for point in each] for each in found] == [labelled(1, 2), hidden]

    def test_where_there_are_none_a_photo_is_looked_at_unless_it_is_empty_or_cannot_be_read(self) -> None:
        assert wants_poses({"key": "a"})
        assert wants_poses(row({"box": [0, 0, 1, 1]}))
        assert wants_poses(row({"keypoints": labelled(1, 2), "crowd": True}))
        assert not wants_poses(row({"keypoints": labelled(1, 2)}))
        assert not wants_poses(row())
        assert not wants_poses(row({"box": "wide"}))


class TestTheDominantPersonsKeypoints:
    def test_annotated_ones_are_those_of_the_largest_person_or_none(self) -> None:
        small, large = {"keypoints": labelled(1, 2), "area": 5}, {"keypoints": labelled(3, 4), "area": 6}
        (found,) = dominant_keypoints(row(small, large), None)
        np.testing.assert_array_equal(found, np.array(labelled(3, 4), np.float32))
        assert found.dtype == np.float32
        assert dominant_keypoints(row(small, {"area": 6}), None) == []
        assert dominant_keypoints(row(small, {"keypoints": labelled(3, 4, seen=0), "area": 6}), None) == []
        assert dominant_keypoints(row(), None) == []

    def test_of_photos_whose_persons_nobody_listed_the_pose_with_the_largest_box_counts(self) -> None:
        # Farther right, farther down, wider, higher and with a longer outline than the one of 10 x 10.
        found = poses(
            ((90, 95, 49, 2), labelled(1, 1)), ((95, 90, 2, 49), labelled(2, 2)), ((1, 1, 10, 10), labelled(3, 3))
        )
        (keypoints,) = dominant_keypoints({"key": "a"}, found)
        np.testing.assert_array_equal(keypoints, np.array(labelled(3, 3), np.float32))
        assert dominant_keypoints({"key": "a"}, poses()) == []

    def test_otherwise_those_that_lie_on_the_largest_person(self) -> None:
        persons = {"box": [0, 0, 30, 30]}, {"box": [40, 0, 10, 10]}
        on_small, on_large, larger = (
            ((40, 0, 90, 90), labelled(45, 5)),
            ((0, 0, 8, 9), labelled(5, 5)),
            ((0, 0, 9, 9), labelled(6, 6)),
        )
        (keypoints,) = dominant_keypoints(row(*persons), poses(on_small, on_large, larger))
        np.testing.assert_array_equal(keypoints, np.array(labelled(6, 6), np.float32))
        assert dominant_keypoints(row(*persons), poses(on_small)) == []


class TestTheOwnerOfAPose:
    BOX = Person(box=(10, 20, 4, 6))

    @pytest.mark.parametrize("place", [(10, 20), (14, 20), (10, 26), (14, 26), (12, 23)])
    def test_points_on_the_edge_of_a_box_lie_in_it(self, place: tuple[float, float]) -> None:
        assert owner_of(points((*place, 2)), [self.BOX]) == 0

    @pytest.mark.parametrize("place", [(9.9, 23), (14.1, 23), (12, 19.9), (12, 26.1)])
    def test_points_beyond_it_do_not(self, place: tuple[float, float]) -> None:
        assert owner_of(points((*place, 2)), [self.BOX]) is None

    @pytest.mark.parametrize(
        ("within", "beyond", "owner"), [(1, 1, None), (2, 2, None), (2, 3, None), (3, 2, 0), (2, 1, 0)]
    )
    def test_more_than_half_of_the_labelled_points_lie_in_its_box(
        self, within: int, beyond: int, owner: int | None
    ) -> None:
        inside, outside, unlabelled = [(12.0, 23.0, 1.0)], [(90.0, 90.0, 2.0)], [(12.0, 23.0, 0.0)]
        assert owner_of(points(*inside * within, *outside * beyond, *unlabelled * 5), [self.BOX]) == owner

    def test_the_box_with_most_of_them_and_of_several_the_smallest(self) -> None:
        # By height, width or outline another would be the smallest of the three that hold both points.
        wide, high, least = Person(box=(0, 0, 60, 11)), Person(box=(0, 0, 11, 60)), Person(box=(0, 0, 25, 25))
        assert owner_of(points((1, 1, 2), (9, 9, 2)), [wide, least, high]) == 1
        assert owner_of(points((1, 1, 2), (9, 9, 2), (50, 9, 2)), [wide, least, high]) == 0

    def test_crowds_own_none(self) -> None:
        crowd = Person(box=(0, 0, 99, 99), crowd=True)
        assert owner_of(points((12, 23, 2)), [crowd]) is None
        assert owner_of(points((12, 23, 2)), [crowd, self.BOX]) == 1
        assert owner_of(points((12, 23, 2)), [crowd, Person()]) == 1

    def test_a_person_without_a_box_owns_every_pose_where_nobody_else_is(self) -> None:
        far = points((900, 900, 2))
        assert owner_of(far, [Person()]) == 0
        assert owner_of(far, [Person(), Person()]) is None
        assert owner_of(points((12, 23, 2)), [Person(), self.BOX]) == 1
        assert owner_of(far, []) is None

    def test_a_pose_without_a_labelled_point_is_no_ones(self) -> None:
        assert owner_of(points((12, 23, 0)), [self.BOX]) is None


class TestWhatIsKept:
    @pytest.fixture
    def detector(self, monkeypatch: pytest.MonkeyPatch) -> CountingPoses:
        return count_poses(monkeypatch)

    def test_an_entry_says_which_detector_saw_which_photo(self, detector: CountingPoses) -> None:
        entry = poses_entry(PHOTO, b"photo")
        (pose,) = detector.detect(PHOTO)
        assert entry == {
            "detector": "blazepose",
            "photo": fingerprint(b"photo"),
            "found": [{"keypoints": pose.keypoints.tolist(), "box": pose.box, "score": pose.score}],
        }

    def test_the_first_kept_entry_of_this_photo_and_detector_is_taken(self, detector: CountingPoses) -> None:
        photo = fingerprint(b"photo")
        this = {"detector": "blazepose", "photo": photo, "found": []}
        others: list[dict[str, Any] | None] = [None, {}, {**this, "photo": "other"}, {**this, "detector": "other"}]
        assert poses_entry(PHOTO, b"photo", *others, this, {**this, "found": [1]}) is this
        assert detector.calls == 0
        assert poses_entry(PHOTO, b"photo", *others)["found"]
        assert detector.calls == 1

    def test_one_photo_is_looked_at_once_for_several_persons(self, detector: CountingPoses) -> None:
        first = poses_entry(PHOTO, b"photo")
        assert poses_entry(PHOTO, b"photo") is first
        assert detector.calls == 1
        poses_entry(PHOTO, b"another")
        poses_entry(PHOTO, b"photo")
        assert detector.calls == 3, "only the last photo's is remembered"

    def test_the_detector_is_required_where_any_row_has_no_poses_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        no_mediapipe(monkeypatch)
        kept = {"poses": {"detector": "blazepose"}}
        require_poses([])
        require_poses([kept, kept])
        for lacking in ({}, {"poses": None}, {"poses": {"detector": "other"}}):
            with pytest.raises(InputError, match="mediapipe"):
                require_poses([kept, lacking])
