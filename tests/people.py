"""What tests of crops, saliency maps and domains share: real photos with keypoints, and detectors that count calls."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segdata.dataset import Dataset
from segdata.detect import Face, Pose
from segdata.ops.merge_coco import merge_coco


def keypoints_file(shared_data: Path, path: Path, count: int) -> Path:
    """Write a COCO file with the persons of the first `count` photos, their keypoints and crowds."""
    whole = json.loads((shared_data / "coco" / "person_keypoints.json").read_bytes())
    whole["images"] = whole["images"][:count]
    ids = {image["id"] for image in whole["images"]}
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    path.write_text(json.dumps(whole))
    return path


def merged_people(shared_data: Path, folder: Path, count: int, **settings: Any) -> Path:
    """Make a data set of COCO photos with keypoints."""
    annotations = keypoints_file(shared_data, folder / "people.json", count)
    merge_coco(annotations, out=folder / "data", images=shared_data / "coco" / "images", **settings)
    return folder / "data"


def change_rows(data: Path, **columns: Any) -> None:
    """Set columns of every row, as a person or another tool would."""
    dataset = Dataset(data)
    dataset.rewrite({**row, **columns} for row in list(dataset.rows()))


@dataclass
class CountingPoses:
    """Finds one person whose joints fill the middle of the photo, and counts how often it is asked."""

    calls: int = 0

    def detect(self, image: NDArray[np.uint8]) -> list[Pose]:
        self.calls += 1
        height, width = image.shape[:2]
        points = np.zeros((17, 3), np.float32)
        points[5], points[16] = (0.25 * width, 0.25 * height, 2), (0.75 * width, 0.75 * height, 1)
        return [Pose(points, (0.25 * width, 0.25 * height, 0.5 * width, 0.5 * height), 0.9)]


@dataclass
class CountingFaces:
    """Finds a face in the upper left quarter of the photo, and counts how often it is asked."""

    calls: int = 0

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        self.calls += 1
        height, width = image.shape[:2]
        return [Face((0.0, 0.0, width / 2, height / 2), 0.75)]


def count_poses(monkeypatch: pytest.MonkeyPatch) -> CountingPoses:
    """Put a counting detector in the place of the pose detector."""
    detector = CountingPoses()
    monkeypatch.setattr("segdata.detect.pose_detector", lambda name: detector)
    monkeypatch.setattr("segdata.ops.poses._latest", {})
    return detector


def count_faces(monkeypatch: pytest.MonkeyPatch) -> CountingFaces:
    """Put a counting detector in the place of the face detector."""
    detector = CountingFaces()
    monkeypatch.setattr("segdata.ops.grade_domains.face_detector", lambda name: detector)
    return detector


def no_mediapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mediapipe be missing, in this process."""
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setattr("segdata.detect.os.getpid", lambda: -2)  # no detector that was made before
