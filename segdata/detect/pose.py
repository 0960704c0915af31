"""Poses: BlazePose's landmarks as COCO's 17 keypoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segdata.detect.base import Pose
from segdata.detect.landmarks import COCO_KEYPOINTS
from segdata.detect.mediapipe_models import blazepose

if TYPE_CHECKING:
    from segdata.detect.base import Image

_VISIBLE = 0.5


class BlazePoses:
    """BlazePose (full) on the whole photo: its most prominent person, one at most.

    A keypoint outside the photo has visibility 0; inside it is 2 where the model's visibility is 0.5 or more, else 1.
    `Pose.box` spans all 33 landmarks, clipped to the photo; `Pose.score` is the mean visibility of the 17 keypoints.

    Raises `InputError` where mediapipe or its model file is missing.
    """

    def __init__(self) -> None:
        self._model = blazepose()

    def detect(self, image: Image) -> list[Pose]:
        """Give the pose in an upright uint8 (H, W, 3) RGB photo, as a list of one, or an empty list."""
        landmarks = self._model(image)
        if landmarks is None:
            return []
        size = np.array(image.shape[1::-1], np.float32)
        corners = np.clip(landmarks[:, :2], 0, 1) * size
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        joints = landmarks[list(COCO_KEYPOINTS.values())]
        inside = ((joints[:, :2] >= 0) & (joints[:, :2] < 1)).all(axis=1)
        keypoints = np.zeros((len(joints), 3), np.float32)
        keypoints[:, :2] = joints[:, :2] * size
        keypoints[:, 2] = np.where(joints[:, 3] >= _VISIBLE, 2, 1)
        keypoints[~inside] = 0
        return [Pose(keypoints, (left, top, right - left, bottom - top), float(joints[:, 3].mean()))]
