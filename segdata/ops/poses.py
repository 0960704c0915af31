"""Keypoints of the persons in a photo that has no annotated ones, detected once and kept in the metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.files import fingerprint
from segdata.sample import Person

DETECTOR = "blazepose"

# The last photo's entry: the crops of several persons of one photo follow each other.
_latest: dict[str, dict[str, Any]] = {}


def require_poses(rows: Iterable[Row]) -> None:
    """Make sure, before any work, that the detector is there if any of the rows has no poses yet.

    Raises `InputError` that says what to install.
    """
    if any((row.get("poses") or {}).get("detector") != DETECTOR for row in rows):
        from segdata.detect import pose_detector  # noqa: PLC0415 - brings mediapipe

        pose_detector(DETECTOR)


def poses_entry(image: npt.NDArray[np.uint8], data: bytes, *kept: dict[str, Any] | None) -> dict[str, Any]:
    """Give what the column `poses` holds: the detector, the photo's fingerprint, and the persons that were found.

    It is one of `kept`, what rows hold already, where that is of this photo, and detected otherwise. `data` are the
    bytes of the photo's file.
    """
    photo = fingerprint(data)
    for entry in (*kept, _latest.get(photo)):
        if entry and entry.get("photo") == photo and entry.get("detector") == DETECTOR:
            return entry
    from segdata.detect import pose_detector  # noqa: PLC0415 - brings mediapipe

    found = [
        {"keypoints": pose.keypoints.tolist(), "box": pose.box, "score": pose.score}
        for pose in pose_detector(DETECTOR).detect(image)
    ]
    _latest.clear()
    _latest[photo] = {"detector": DETECTOR, "photo": photo, "found": found}
    return _latest[photo]


def detected_keypoints(entry: dict[str, Any]) -> list[npt.NDArray[np.float32]]:
    """Give the keypoints of each person of an entry: float32 (17, 3)."""
    return [np.array(pose["keypoints"], np.float32) for pose in entry["found"]]


def owner_of(keypoints: npt.NDArray[np.float32], persons: list[Person]) -> Person | None:
    """Give the person whom detected keypoints (K, 3) belong to: in whose box most of the labelled ones lie.

    Of several, it is the one with the smallest box. None where no box holds half of them; a person who is alone and
    has no box owns every pose.

    >>> left, right = Person(id=1, box=(0, 0, 9, 9)), Person(id=2, box=(10, 0, 9, 9))
    >>> owner_of(np.array([[12, 1, 2], [15, 8, 1], [8, 8, 2]], np.float32), [left, right]).id
    2
    """
    if len(persons) == 1 and persons[0].box is None:
        return persons[0]
    points = keypoints[keypoints[:, 2] > 0, :2]
    best, owner = (0.5 * len(points), 0.0), None
    for person in persons:
        if person.box is None:
            continue
        x, y, width, height = person.box
        inside = float(((points >= (x, y)) & (points <= (x + width, y + height))).all(axis=1).sum())
        if (inside, -width * height) > best or (owner is None and inside >= max(best[0], 1)):
            best, owner = (inside, -width * height), person
    return owner
