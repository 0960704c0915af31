"""Persons of a row, and keypoints of those in a photo that has no annotated ones, detected once and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.errors import SampleError
from segdata.files import fingerprint
from segdata.sample import Person

DETECTOR = "blazepose"

# The last photo's entry: the crops of several persons of one photo follow each other.
_latest: dict[str, dict[str, Any]] = {}


def persons_of(row: Row) -> list[Person]:
    """Give the persons of a row. Raises `SampleError` (``bad-persons``) where they cannot be read."""
    try:
        return msgspec.convert(row.get("persons") or [], list[Person])
    except msgspec.ValidationError as error:
        raise SampleError(
            "bad-persons", f"the persons of {row['key']} cannot be read ({error})", "mend its row in metadata.jsonl"
        ) from error


def size_of(person: Person) -> float:
    """Give the area of a person's mask, or else of the box, in pixels; 0.0 where neither is known."""
    if person.area is not None:
        return person.area
    return person.box[2] * person.box[3] if person.box else 0.0


def annotated_keypoints(row: Row) -> list[Any]:
    """Give the keypoints (K, 3) of the persons who have labelled ones; crowds have none."""
    annotated = [person.keypoints for person in persons_of(row) if person.keypoints and not person.crowd]
    return [points for points in annotated if any(seen for _, _, seen in points)]


def wants_poses(row: Row) -> bool:
    """Tell whether keypoints are to be detected: nobody has annotated any, or said that the photo is empty.

    Not so for a row that cannot be read.
    """
    if row.get("persons") == []:
        return False
    with suppress(SampleError):
        return not annotated_keypoints(row)
    return False


def dominant_person(persons: Sequence[Person]) -> int | None:
    """Give the number of the largest person, by mask area or else by box area; crowds do not count.

    >>> dominant_person([Person(box=(0, 0, 9, 9)), Person(box=(0, 0, 5, 5), area=90), Person(area=99, crowd=True)])
    1
    """
    areas = {number: size_of(person) for number, person in enumerate(persons) if not person.crowd}
    return max(areas, key=lambda number: areas[number], default=None)


def dominant_keypoints(row: Row, poses: dict[str, Any] | None) -> list[npt.NDArray[np.float32]]:
    """Give the keypoints (17, 3) of the dominant person of a photo alone; none where that person has none.

    They are annotated, or those of `poses` (what the column of that name holds) that lie on the person; of a photo
    whose persons nobody listed, those of the pose with the largest box.
    """
    persons = persons_of(row)
    number = dominant_person(persons)
    if poses is None:
        keypoints = None if number is None else persons[number].keypoints
        labelled = keypoints is not None and any(seen for _, _, seen in keypoints)
        return [np.array(keypoints, np.float32)] if labelled else []
    found = list(zip(detected_keypoints(poses), (pose["box"] for pose in poses["found"]), strict=True))
    if number is not None:
        found = [each for each in found if owner_of(each[0], persons) == number]
    return [points for points, _ in sorted(found, key=lambda each: -each[1][2] * each[1][3])[:1]]


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


def owner_of(keypoints: npt.NDArray[np.float32], persons: Sequence[Person]) -> int | None:
    """Give the number of the person whom detected keypoints (K, 3) belong to; crowds own none.

    It is the one in whose box most of the labelled keypoints lie, of several the one with the smallest box. None where
    no box holds more than half of them. A person who is alone and has no box owns every pose.

    >>> left, right = Person(box=(0, 0, 9, 9)), Person(box=(10, 0, 9, 9))
    >>> owner_of(np.array([[12, 1, 2], [15, 8, 1], [8, 8, 2]], np.float32), [left, right])
    1
    """
    counted = [number for number, person in enumerate(persons) if not person.crowd]
    if len(counted) == 1 and persons[counted[0]].box is None:
        return counted[0]
    points = keypoints[keypoints[:, 2] > 0, :2]
    held: list[tuple[int, float, int]] = []
    for number in counted:
        if (box := persons[number].box) is not None:
            inside = ((points >= box[:2]) & (points <= np.add(box[:2], box[2:]))).all(axis=1)
            held.append((int(inside.sum()), -box[2] * box[3], number))
    most, _, owner = max(held, default=(0, 0.0, -1))
    return owner if 2 * most > len(points) else None
