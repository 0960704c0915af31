"""What every detector gives and takes: two frozen results, two protocols of one method each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a photo.

    `box` is x, y, width, height in pixels of the photo, clipped to it; it reaches from the hairline to the chin and
    from ear to ear. `score` lies in [0, 1].

    >>> Face((10.0, 20.0, 30.0, 40.0), 0.9).box
    (10.0, 20.0, 30.0, 40.0)
    """

    box: Box
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person of a photo, as joints.

    `keypoints` is float32 (17, 3): x, y in pixels of the photo and visibility, rows in COCO's order; visibility 0
    (with x = y = 0): outside the photo, 1: inside and hidden, 2: visible. `box` is the x, y, width, height in pixels
    of what the detector found of the person, `score` in [0, 1] its confidence.
    """

    keypoints: NDArray[np.float32]
    box: Box
    score: float


class FaceDetector(Protocol):
    """Finds faces. An object is for one process and one thread, and keeps nothing from one photo to the next."""

    def detect(self, image: Image) -> list[Face]:
        """Give the faces of an upright uint8 (H, W, 3) RGB photo, largest first; an empty list where there is none."""


class PoseDetector(Protocol):
    """Finds the joints of persons. An object is for one process and one thread, and keeps nothing between photos."""

    def detect(self, image: Image) -> list[Pose]:
        """Give the poses in an upright uint8 (H, W, 3) RGB photo, best first; an empty list where there is none."""
