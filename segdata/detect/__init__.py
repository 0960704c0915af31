"""Detectors of faces and poses behind one small protocol each (`base`), mediapipe's models by default.

`face_detector` and `pose_detector` give a detector by name, made on first use and then kept for the process. A further
detector is one file and one line in `FACES` or `POSES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

from segdata.detect.base import Face, FaceDetector, Pose, PoseDetector
from segdata.detect.face import MultiPassFaces, SinglePassFaces
from segdata.detect.pose import BlazePoses
from segdata.errors import InputError

__all__ = [
    "FACES",
    "POSES",
    "Face",
    "FaceDetector",
    "Pose",
    "PoseDetector",
    "face_detector",
    "pose_detector",
]

FACES: dict[str, Callable[[], FaceDetector]] = {
    "multi-pass": MultiPassFaces,
    "full-range": lambda: SinglePassFaces("full"),
    "short-range": lambda: SinglePassFaces("short"),
}
POSES: dict[str, Callable[[], PoseDetector]] = {"blazepose": BlazePoses}


def face_detector(name: str = "multi-pass") -> FaceDetector:
    """Give this process's face detector of that name, one of `FACES`.

    Raises `InputError` for an unknown name and where the detector's package or model is missing.

    >>> face_detector("hog")
    Traceback (most recent call last):
        ...
    segdata.errors.InputError: there is no face detector 'hog': choose multi-pass, full-range or short-range
    """
    return _face_detector(_known(name, FACES, "face"), os.getpid())


def pose_detector(name: str = "blazepose") -> PoseDetector:
    """Give this process's pose detector of that name, one of `POSES`; errors as in `face_detector`."""
    return _pose_detector(_known(name, POSES, "pose"), os.getpid())


# The process id is part of the key: a forked worker must not use its parent's detector, whose threads it lacks.
@cache
def _face_detector(name: str, _process: int) -> FaceDetector:
    return FACES[name]()


@cache
def _pose_detector(name: str, _process: int) -> PoseDetector:
    return POSES[name]()


def _known(
    name: str, table: dict[str, Callable[[], FaceDetector]] | dict[str, Callable[[], PoseDetector]], of: str
) -> str:
    if name not in table:
        *names, last = table
        raise InputError(
            f"there is no {of} detector {name!r}", f"choose {', '.join(names)} or {last}" if names else f"choose {last}"
        )
    return name
