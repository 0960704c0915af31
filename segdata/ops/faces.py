"""Faces: whose of a photo's decides its domain, and where one is that has no box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from segdata.detect.base import Box, Face
from segdata.ops.poses import size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segdata.sample import Person

_COMPARABLE = 0.1

_PARTS = ("nose", "left eye", "right eye", "left ear", "right ear")
_WIDTHS = {
    ("nose", "left eye"): 0.37,
    ("nose", "right eye"): 0.37,
    ("left eye", "right eye"): 0.44,
    ("nose", "left ear"): 0.93,
    ("nose", "right ear"): 0.93,
    ("left eye", "left ear"): 0.71,
    ("right eye", "right ear"): 0.71,
    ("left eye", "right ear"): 0.88,
    ("right eye", "left ear"): 0.88,
    ("left ear", "right ear"): 1.03,
}
"""Distances between parts of a face over its width, at the turn of the head that shows them longest."""
_HEIGHT = 1.1
_DROP = 0.08  # from the middle of the labelled parts down to that of the face, over its width


def dominant_face(faces: Sequence[Face], persons: Sequence[Person] = ()) -> Face | None:
    """Give the dominant person's face, or None where it shows none.

    Without `persons`, or where none of them has a box, that is the face with the largest area times score. With them,
    a face belongs to the person in whose box its middle lies, nearest to the top. The dominant person is the largest,
    by mask area or else by box area; where it shows no face, persons of at least a tenth of its size are tried in turn,
    so that one who is seen from behind, or cut off at the border, does not decide for a group. Crowds do not count.

    >>> from segdata.sample import Person
    >>> near, far = Face((40, 10, 20, 20), 0.9), Face((90, 10, 5, 5), 0.9)
    >>> dominant_face([near, far]) == near
    True
    >>> dominant_face([near], [Person(box=(80, 0, 100, 200))]) is None
    True
    """
    boxes = [(size_of(person), person.box) for person in persons if person.box is not None and not person.crowd]
    if not boxes:
        return max(faces, key=_weight, default=None)
    boxes.sort(key=lambda entry: -entry[0])
    least = _COMPARABLE * boxes[0][0]
    owners = [_owner(face, [box for _, box in boxes]) for face in faces]
    for number, (area, _) in enumerate(boxes):
        own = [face for face, owner in zip(faces, owners, strict=True) if owner == number]
        if area >= least and own:
            return max(own, key=_weight)
    return None


def face_from_keypoints(keypoints: NDArray[np.float32]) -> Box | None:
    """Give the box of a face, x, y, width, height in pixels, from a person's nose, eyes and ears.

    `keypoints` is float32 (17, 3) of x, y, visibility in COCO's order; points of visibility 0 are not labelled. The
    width is the largest that a distance between two labelled parts stands for; the height is 1.1 times that, from the
    hairline to the chin. Both were fitted to `segdata.detect`'s boxes on 258 faces of COCO: half of the widths are
    within 8 % of them, nine tenths within 19 %. The box may leave the photo.

    None where fewer than two of the five are labelled, where those are in one place, or where they are the ears alone,
    as on the back of a head.

    >>> person = np.zeros((17, 3), np.float32)
    >>> person[:3] = (50, 50, 2), (60, 40, 2), (40, 40, 2)
    >>> [round(value, 1) for value in face_from_keypoints(person)]
    [27.3, 23.6, 45.5, 50.0]
    """
    parts = {
        name: point[:2] for name, point in zip(_PARTS, np.asarray(keypoints, np.float64), strict=False) if point[2] > 0
    }
    if not {"nose", "left eye", "right eye"} & set(parts):
        return None
    widths = [math.dist(parts[a], parts[b]) / _WIDTHS[a, b] for a, b in combinations(parts, 2)]
    width = max(widths, default=0.0)
    if width == 0:
        return None
    points = np.array(list(parts.values()))
    x, y = ((points.min(axis=0) + points.max(axis=0)) / 2).tolist()
    height = _HEIGHT * width
    return x - width / 2, y + _DROP * width - height / 2, width, height


def _owner(face: Face, boxes: list[Box]) -> int | None:
    """Give the number of the box that holds the middle of the face nearest to its top."""
    x, y = face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2
    holding = [
        (y - box[1], number)
        for number, box in enumerate(boxes)
        if box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
    ]
    return min(holding)[1] if holding else None


def _weight(face: Face) -> float:
    return face.box[2] * face.box[3] * face.score
