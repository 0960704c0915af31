"""A model that knows more than the photo gets what its row says, and what is detected where it says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from people import count_poses, no_mediapipe

from segdata.errors import InputError
from segdata.ops.knowledge import Knowledge, require_knowledge
from segdata.ops.saliency_map import saliency_map

PHOTO = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
KEYPOINTS = [*[[0.0, 0.0, 0.0]] * 5, [30, 20, 2], [50, 20, 2], *[[0.0, 0.0, 0.0]] * 4, [32, 60, 2], [48, 60, 2]]
PERSON: dict[str, Any] = {"area": 9, "keypoints": [*KEYPOINTS, *[[0.0, 0.0, 0.0]] * 4]}
ROW = {"key": "a", "file_name": "a.png", "domain": "half body", "persons": [PERSON], "poses": {}, "split": "test"}


@pytest.mark.parametrize(
    ("knowledge", "columns"),
    [
        (Knowledge(saliency=False, domain=False), {"key", "file_name"}),
        (Knowledge(saliency=True, domain=False), {"key", "file_name", "persons", "poses"}),
        (Knowledge(saliency=False, domain=True), {"key", "file_name", "domain"}),
        (Knowledge(saliency=True, domain=True), {"key", "file_name", "persons", "poses", "domain"}),
    ],
)
def test_of_a_row_there_is_what_the_model_uses_and_no_more(knowledge: Knowledge, columns: set[str]) -> None:
    assert knowledge.of(ROW) == {column: ROW[column] for column in columns}
    assert knowledge.of(dict.fromkeys(ROW) | {"key": "a"}) == {"key": "a"}


def test_a_model_that_uses_no_map_gets_the_photo_itself() -> None:
    assert Knowledge(saliency=False, domain=True).joined(PHOTO, b"photo", ROW) is PHOTO


def test_the_fourth_channel_is_the_map_of_the_dominant_person_in_255_steps() -> None:
    other = {"area": 8, "keypoints": [[x + 60, y, seen] for x, y, seen in PERSON["keypoints"]]}
    seen = Knowledge(saliency=True, domain=False).joined(PHOTO, b"photo", {"key": "a", "persons": [other, PERSON]})
    assert seen.shape == (80, 120, 4)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen[..., :3], PHOTO)
    expected = saliency_map([np.array(PERSON["keypoints"])], (80, 120))
    np.testing.assert_array_equal(seen[..., 3], np.rint(expected * 255))
    assert len(np.unique(seen[..., 3])) > 10


def test_poses_are_detected_where_nobody_is_annotated_and_not_where_it_is_known_that_nobody_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = count_poses(monkeypatch)
    knowledge = Knowledge(saliency=True, domain=False)
    (pose,) = detector.detect(PHOTO)
    expected = np.rint(saliency_map([pose.keypoints], (80, 120)) * 255)
    np.testing.assert_array_equal(knowledge.joined(PHOTO, b"photo", {"key": "a"})[..., 3], expected)
    assert expected.any()
    assert detector.calls == 2
    assert not knowledge.joined(PHOTO, b"photo", {"key": "a", "persons": []})[..., 3].any()
    assert detector.calls == 2


def test_the_detector_is_asked_for_only_where_a_photo_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    no_mediapipe(monkeypatch)
    require_knowledge(Knowledge(saliency=False, domain=True), [{"key": "a"}])
    require_knowledge(Knowledge(saliency=True, domain=True), [ROW, {"key": "b", "persons": []}])
    with pytest.raises(InputError, match="mediapipe"):
        require_knowledge(Knowledge(saliency=True, domain=False), [ROW, {"key": "b"}])
