"""How likely a stored mask is wrong, from what a model sees in the photo: for ranking what to look at first.

A model is wrong more often than a careful annotator, and knows where it is not sure. So its doubts are left out: what
counts is where it is sure of the contrary, over more than the width of a contour's tolerance, and where it sees a sharp
contour that the mask does not have; and this counts the more the surer the model is of the photo as a whole.
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from segdata.errors import SampleError
from segdata.masks import Mask
from segdata.quality.certainty import confidence
from segdata.quality.contour import TOLERANCE, boundary_map, contour_tolerance

SURE = 0.9
"""The probability from which on the model is sure of a person, and 1 less it of the background."""
_THRESHOLD = 0.5
_LEAST_DOUBT = 0.02
_CONTOUR_WEIGHT = 2.0


class Disagreement(msgspec.Struct, frozen=True, gc=False):
    """What contradicts a mask: `score`, from 0 on, and what it is made of, in [0, 1].

    `lacking` is the share of pixels that the mask leaves out and the model is sure are a person, `surplus` that of
    those it holds and the model is sure are background; both of the larger of the mask's and the model's area.
    `contour` is how much of the model's contour is sharp and further from the mask's than the tolerance.
    """

    score: float
    lacking: float
    surplus: float
    contour: float


def disagreement(mask: Mask, probability: npt.NDArray[np.float32], *, void: Mask | None = None) -> Disagreement:
    """Measure how far a model contradicts a mask, bool (H, W), with its probability map, float32 (H, W) in [0, 1].

    Pixels of `void`, bool (H, W), count nowhere. With u the model's doubt of the whole photo, 1 less the
    confidence in it that `annotate` states too, ::

        score = (lacking + surplus) / (u + 0.02) + 2 contour

    Areas narrower than twice the tolerance of contour accuracy (0.8 % of the diagonal) do not count: outlines may
    differ by so much. The sharpness of the model's contour is by how much its probability rises within the tolerance.
    A mask and a map that both know nobody agree: 0.

    The form and the constants were chosen by benchmarks/label_errors.py, which tells other measures too. Raises
    `SampleError` where the sizes differ.

    >>> mask = np.zeros((100, 100), bool)
    >>> mask[20:80, 30:70] = True
    >>> disagreement(mask, mask.astype(np.float32)).score
    0.0
    >>> lost = mask.copy()
    >>> lost[20:40] = False
    >>> disagreement(lost, mask.astype(np.float32)).lacking > 0.3
    True
    """
    if mask.shape != probability.shape:
        raise SampleError(
            "size-mismatch",
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the map {probability.shape[1]} x "
            f"{probability.shape[0]}",
            "annotate the photos of this data set",
        )
    if void is not None:
        mask = mask & ~void
        probability = np.where(void, np.float32(0), probability)
    tolerance = contour_tolerance(mask.shape, TOLERANCE)
    mask, probability = _cropped(mask, probability, 2 * tolerance + 2)
    found = probability >= np.float32(_THRESHOLD)
    area = max(int(np.count_nonzero(mask)), int(np.count_nonzero(found)), 1)
    lacking = _broad(~mask & (probability >= np.float32(SURE)), tolerance) / area
    surplus = _broad(mask & (probability <= np.float32(1 - SURE)), tolerance) / area
    contour = _missed_contour(mask, probability, found, tolerance)
    doubt = 1 - confidence(probability, _THRESHOLD)
    score = (lacking + surplus) / (doubt + _LEAST_DOUBT) + _CONTOUR_WEIGHT * contour
    return Disagreement(score, lacking, surplus, contour)


def _cropped(mask: Mask, probability: npt.NDArray[np.float32], margin: int) -> tuple[Mask, npt.NDArray[np.float32]]:
    """Cut both to where there is something in either, with a margin."""
    used = (mask | (probability > 0)).view(np.uint8)
    x, y, width, height = cv2.boundingRect(used)
    if not width:
        return mask[:1, :1], probability[:1, :1]
    rows = slice(max(y - margin, 0), y + height + margin)
    columns = slice(max(x - margin, 0), x + width + margin)
    return mask[rows, columns], probability[rows, columns]


def _broad(area: Mask, radius: int) -> int:
    """Count the pixels of those parts of an area that a disc of so many pixels fits into."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return int(np.count_nonzero(cv2.morphologyEx(area.astype(np.uint8), cv2.MORPH_OPEN, disc)))


def _missed_contour(mask: Mask, probability: npt.NDArray[np.float32], found: Mask, tolerance: int) -> float:
    """Give the mean, over the contour of what the model found, of its sharpness where the mask has no contour near."""
    contour = boundary_map(found)
    if not contour.any():
        return 0.0
    square = np.ones((2 * tolerance + 1, 2 * tolerance + 1), np.uint8)
    rise = cv2.dilate(probability, square) - cv2.erode(probability, square)
    own = boundary_map(mask)
    far = contour
    if own.any():
        distance = cv2.distanceTransform((~own).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        far = contour & (distance > tolerance)
    return float(rise[far].sum(dtype=np.float64)) / int(np.count_nonzero(contour))
