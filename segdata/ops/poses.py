"""Keypoints of the persons in a photo that has no annotated ones, detected once and kept in the metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.files import fingerprint

DETECTOR = "blazepose"


def poses_entry(row: Row, image: npt.NDArray[np.uint8], data: bytes) -> dict[str, Any]:
    """Give what the column `poses` holds: the detector, the photo's fingerprint, and the persons that were found.

    It is taken from the row where it has one of this photo, and detected otherwise. `data` are the bytes of the
    photo's file.
    """
    entry: dict[str, Any] = row.get("poses") or {}
    photo = fingerprint(data)
    if entry.get("photo") == photo and entry.get("detector") == DETECTOR:
        return entry
    from segdata.detect import pose_detector  # noqa: PLC0415 - brings mediapipe

    found = [
        {"keypoints": pose.keypoints.tolist(), "box": pose.box, "score": pose.score}
        for pose in pose_detector(DETECTOR).detect(image)
    ]
    return {"detector": DETECTOR, "photo": photo, "found": found}


def detected_keypoints(entry: dict[str, Any]) -> list[npt.NDArray[np.float32]]:
    """Give the keypoints of each person of an entry: float32 (17, 3)."""
    return [np.array(pose["keypoints"], np.float32) for pose in entry["found"]]
