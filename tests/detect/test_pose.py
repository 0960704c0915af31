"""Poses of real photos, as COCO's keypoints."""

from pathlib import Path

import numpy as np
import pytest

from segdata.detect import pose_detector
from segdata.detect.landmarks import COCO_KEYPOINTS
from segdata.pixels import decode_image

pytestmark = pytest.mark.usefixtures("mediapipe")


@pytest.fixture(scope="module")
def mediapipe() -> None:
    pytest.importorskip("mediapipe")


def _rows(keypoints: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(COCO_KEYPOINTS, keypoints, strict=True))


def test_a_standing_person_has_all_joints_in_order(shared_data: Path) -> None:
    image = decode_image((shared_data / "ccp/photos/0035.jpg").read_bytes())
    (pose,) = pose_detector().detect(image)
    rows = _rows(pose.keypoints)
    assert pose.keypoints.dtype == np.float32
    assert set(pose.keypoints[:, 2]) <= {1, 2}
    column = [rows[name][1] for name in ("nose", "left_shoulder", "left_hip", "left_knee", "left_ankle")]
    assert column == sorted(column)
    assert rows["left_shoulder"][0] > rows["right_shoulder"][0], "left is the person's own left"
    assert 0.5 < pose.score <= 1


def test_joints_outside_the_photo_are_not_labelled(shared_data: Path) -> None:
    image = decode_image((shared_data / "ccp/photos/0035.jpg").read_bytes())
    (pose,) = pose_detector().detect(image[: image.shape[0] // 2].copy())
    rows = _rows(pose.keypoints)
    assert rows["left_ankle"].tolist() == rows["right_ankle"].tolist() == [0, 0, 0]
    assert rows["nose"][2] == 2
    x, y, width, height = pose.box
    assert min(x, y) >= 0
    assert x + width <= image.shape[1]
    assert y + height <= image.shape[0] // 2


def test_a_photo_without_a_person_has_no_pose() -> None:
    assert pose_detector().detect(np.full((240, 320, 3), 128, np.uint8)) == []


def test_a_pose_is_the_same_after_any_other(shared_data: Path) -> None:
    images = [decode_image((shared_data / "ccp/photos" / name).read_bytes()) for name in ("0035.jpg", "0018.jpg")]
    forwards = [pose_detector().detect(image)[0].keypoints for image in images]
    backwards = [pose_detector().detect(image)[0].keypoints for image in reversed(images)]
    assert np.array_equal(forwards, backwards[::-1])
