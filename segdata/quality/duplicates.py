"""How alike two photos are: the same bytes, the same pixels, an edited copy, the same scene.

Copies are recognised by local features: ORB keypoints (Rublee et al., "ORB: an efficient alternative to SIFT or SURF",
ICCV 2011) survive what a hash of the whole photo does not, above all a crop. Mirrored copies are found by looking at
the mirrored photo too. The bounds were chosen on real photos: docs/duplicates.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

KEYPOINTS = 200
RECORD = 32
_SIDE = 400
_COMPARED_SIDE = 640
_COMPARED_KEYPOINTS = 1000
_SCALE = 1.1
_LEVELS = 14
_LEAST_SIDE = 32
_REACH = 3.0
LEAST_INLIERS = 16
LEAST_SHARE = 0.15
COPY_CORRELATION = 0.9
SCENE_CORRELATION = 0.7
_LEAST_OVERLAP = 0.2
_SMALL = 128

Relation = Literal["bytes", "pixels", "copy", "scene"]
"""How two photos are alike.

``bytes`` and ``pixels`` are equal; a ``copy`` was edited; a ``scene`` was shot again within seconds. Another person at
the same place is none of these.
"""

Grey = npt.NDArray[np.uint8]
Records = npt.NDArray[np.uint8]


class Likeness(NamedTuple):
    """What two photos share.

    `inliers` is the number of keypoints that one affine map carries from the first to the second, `share` that over
    those that were matched at all, `overlap` the share of the smaller photo that both show, and `correlation` that of
    their grey values there, in [-1, 1].
    """

    inliers: int
    share: float
    overlap: float
    correlation: float

    @property
    def relation(self) -> Relation | None:
        """What they are, or None for photos that have nothing to do with each other."""
        if self.inliers < LEAST_INLIERS or self.share < LEAST_SHARE or self.overlap < _LEAST_OVERLAP:
            return None
        if self.correlation >= COPY_CORRELATION:
            return "copy"
        return "scene" if self.correlation >= SCENE_CORRELATION else None


def pixel_hash(image: npt.NDArray[np.uint8]) -> bytes:
    """Hash the pixels of a photo, uint8 (H, W, 3), to 16 bytes: equal for photos that were stored again without loss.

    >>> pixel_hash(np.zeros((2, 3, 3), np.uint8)) == pixel_hash(np.zeros((3, 2, 3), np.uint8))
    False
    """
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def records(image: npt.NDArray[np.uint8]) -> tuple[Records, Records]:
    """Describe the keypoints of a photo, uint8 (H, W, 3), and those of the photo mirrored: uint8 (N, 32) each.

    A record is 31 bytes of the keypoint's ORB descriptor and its angle in 256ths of a turn; there are at most 200 of
    either, the strongest. A photo without texture has none.
    """
    grey = _grey(image, _SIDE)
    return _records(grey), _records(np.ascontiguousarray(grey[:, ::-1]))


def _records(grey: Grey) -> Records:
    keypoints, descriptors = _detect(grey, KEYPOINTS)
    found = np.zeros((len(keypoints), RECORD), np.uint8)
    found[:, :-1] = descriptors[:, :-1]
    found[:, -1] = [int(keypoint.angle * 256 / 360) % 256 for keypoint in keypoints]
    return found


def _detect(grey: Grey, count: int) -> tuple[Sequence[Any], Records]:
    """Give the strongest keypoints and their descriptors; none where the photo is too small to scale it down."""
    if min(grey.shape) < _LEAST_SIDE:
        return (), np.zeros((0, RECORD), np.uint8)
    keypoints, descriptors = _detector(count).detectAndCompute(grey, None)
    return keypoints[:count], np.zeros((0, RECORD), np.uint8) if descriptors is None else descriptors[:count]


@cache
def _detector(count: int) -> Any:
    return cv2.ORB_create(count, _SCALE, _LEVELS, edgeThreshold=15, patchSize=31, fastThreshold=10)  # type: ignore[attr-defined]


def _grey(image: npt.NDArray[np.uint8], side: int) -> Grey:
    """Give a photo in grey, its longer side scaled to `side` pixels, so that resized copies look alike."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8)


def likeness(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Likeness:
    """Compare two photos, uint8 (H, W, 3): find the affine map that carries one onto the other, and what it shows.

    For a mirrored copy, mirror one of them first. The same photos always give the same result.

    >>> likeness(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)).relation is None
    True
    """
    nothing = Likeness(0, 0.0, 0.0, 0.0)
    greys = [_grey(image, _COMPARED_SIDE) for image in (a, b)]
    (points_a, described_a), (points_b, described_b) = map(_described, greys)
    if len(points_a) < LEAST_INLIERS or len(points_b) < LEAST_INLIERS:
        return nothing
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(described_a, described_b)
    if len(matches) < LEAST_INLIERS:
        return nothing
    froms = points_a[[match.queryIdx for match in matches]]
    tos = points_b[[match.trainIdx for match in matches]]
    found, kept = cv2.estimateAffine2D(
        froms, tos, method=cv2.RANSAC, ransacReprojThreshold=_REACH, maxIters=2000, confidence=0.995
    )
    matrix = None if found is None else np.asarray(found, np.float64)
    if matrix is None or not _plausible(matrix):
        return nothing
    inliers = int(np.count_nonzero(kept))
    overlap, correlation = _overlap(greys[0], greys[1], matrix)
    return Likeness(inliers, inliers / len(matches), overlap, correlation)


def _described(grey: Grey) -> tuple[npt.NDArray[np.float32], Records]:
    keypoints, descriptors = _detect(grey, _COMPARED_KEYPOINTS)
    return np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2), descriptors


def _plausible(matrix: npt.NDArray[np.float64]) -> bool:
    """Tell whether a map is one that editing makes: scaled by up to four, at most a little turned or sheared."""
    (a, b), (c, d) = matrix[:, :2]
    sizes = np.hypot(a, c), np.hypot(b, d)
    if min(sizes) < 0.25 or max(sizes) > 4 or a <= 0 or d <= 0:
        return False
    return bool(max(sizes) / min(sizes) < 1.6 and abs(c) < 0.35 * sizes[0] and abs(b) < 0.35 * sizes[1])


def _overlap(a: Grey, b: Grey, matrix: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Give the share of the smaller photo that both show, and the correlation of what they show there."""
    height, width = b.shape
    warped = cv2.warpAffine(a, matrix, (width, height), flags=cv2.INTER_AREA)
    seen = cv2.warpAffine(np.full_like(a, 255), matrix, (width, height), flags=cv2.INTER_NEAREST)
    scale = _SMALL / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    one, two, mask = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (warped, b, seen))
    inside = mask == 255
    shared = np.count_nonzero(seen) / min(b.size, a.size * abs(np.linalg.det(matrix[:, :2])))
    if np.count_nonzero(inside) < 16:
        return 0.0, 0.0
    x, y = (each[inside].astype(np.float64) for each in (one, two))
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(min(1.0, shared)), float(x @ y / spread) if spread else 0.0
