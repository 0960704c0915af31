"""The table from BlazePose to COCO names the joints that mediapipe names."""

import pytest

from segdata.detect.landmarks import COCO_KEYPOINTS

COCO_ORDER = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)


def test_the_table_is_in_cocos_order() -> None:
    assert tuple(COCO_KEYPOINTS) == COCO_ORDER


def test_no_landmark_is_taken_twice() -> None:
    assert len(set(COCO_KEYPOINTS.values())) == 17
    assert all(0 <= landmark < 33 for landmark in COCO_KEYPOINTS.values())


@pytest.mark.parametrize("name", COCO_ORDER)
def test_mediapipe_calls_the_landmark_by_the_same_name(name: str) -> None:
    solutions = getattr(pytest.importorskip("mediapipe"), "solutions", None)
    if solutions is None:
        pytest.skip("this mediapipe has no table of its landmarks' names")
    assert solutions.pose.PoseLandmark[name.upper()].value == COCO_KEYPOINTS[name]
