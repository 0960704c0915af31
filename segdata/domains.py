"""Domains: photos sorted by how much of them the dominant person's face fills (md_trisenet.txt, equation 5)."""

from __future__ import annotations

from segdata.errors import InputError

_LEAST_RATIO = {"head shot": 0.3, "close shot": 0.1, "half body": 0.05, "whole body": 0.005, "far shot": 0.0}
DOMAINS = (*_LEAST_RATIO, "no face")
"""The six domains, from the largest face to none."""


def face_ratio(box: tuple[float, float, float, float] | None, shape: tuple[int, ...]) -> float:
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
