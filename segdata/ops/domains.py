"""Domains: photos sorted by how much of them the dominant person's face fills.

The six domains and their thresholds are those of md_trisenet.txt, equation 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from segdata.detect.base import Box, Face
from segdata.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segdata.sample import Person

_LEAST_RATIO = {"head shot": 0.3, "close shot": 0.1, "half body": 0.05, "whole body": 0.005, "far shot": 0.0}
DOMAINS = (*_LEAST_RATIO, "no face")
"""The six domains, from the largest face to none."""

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


def face_ratio(box: Box | None, shape: tuple[int, ...]) -> float:
    """Give the share of a photo that a face box covers, in [0, 1]; 0.0 for no box.

    `box` is x, y, width, height in pixels; what lies outside the photo does not count. `shape` is the photo's, height
    first. Raises `InputError` for a photo without pixels.

    >>> face_ratio((10, 10, 30, 20), (100, 200, 3)), face_ratio(None, (100, 200, 3))
    (0.03, 0.0)
    """
    height, width = shape[:2]
    if height < 1 or width < 1:
        raise InputError(f"a photo of {width} x {height} pixels has no face ratio", "leave out empty photos")
    if box is None:
        return 0.0
    x, y, box_width, box_height = box
    columns = min(x + box_width, width) - max(x, 0)
    rows = min(y + box_height, height) - max(y, 0)
    return max(0.0, columns) * max(0.0, rows) / (height * width)


def domain_of(ratio: float) -> str:
    """Give the domain of a face ratio, one of `DOMAINS`; a threshold belongs to the domain above it.

    head shot from 0.3, close shot from 0.1, half body from 0.05, whole body from 0.005, far shot above 0, no face at 0
    (md_trisenet.txt, equation 5). Raises `InputError` for a ratio outside [0, 1].

    >>> [domain_of(ratio) for ratio in (0.3, 0.29, 0.05, 0.005, 0.001, 0)]
    ['head shot', 'close shot', 'half body', 'whole body', 'far shot', 'no face']
    """
    if not 0 <= ratio <= 1:
        raise InputError(f"the face ratio {ratio} is not in [0, 1]", "divide the face's area by the photo's")
    if ratio == 0:
        return "no face"
    return next(name for name, least in _LEAST_RATIO.items() if ratio >= least)


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
    boxes = [(_area(person), person.box) for person in persons if person.box is not None and not person.crowd]
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


def _area(person: Person) -> float:
    if person.area is not None:
        return person.area
    return person.box[2] * person.box[3] if person.box else 0.0


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
