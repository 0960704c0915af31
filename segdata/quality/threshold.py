"""From probability maps to masks: scores at many thresholds from one pass, and the threshold that serves best.

ALiSNet, section 5.3, chooses the threshold by the mean IoU on a validation set.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segdata.errors import InputError, SampleError
from segdata.quality.overlap import Overlap
from segdata.quality.packed import Mask

THRESHOLDS = tuple(step / 20 for step in range(1, 20))


class BestThreshold(msgspec.Struct, frozen=True, gc=False):
    """A threshold and the mean IoU it reaches."""

    threshold: float
    iou: float


def threshold_counts(
    probability: NDArray[np.float32],
    gt: Mask,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    void: Mask | None = None,
) -> list[Overlap]:
    """Give the overlap with the ground truth at each threshold; its `iou` is that of the thresholded map.

    `probability` is float32 (H, W) in [0, 1]; `gt` and `void` are bool (H, W), void pixels count nowhere.
    Foreground is where the probability is at least the threshold, both as float32: the 51 of an 8-bit map is
    foreground at 0.2. A NaN is background. The counts are those of thresholding once per threshold, in any
    precision of the map. The map is read once, and only pixels between the first and the last threshold, which are
    few around a person, are sorted into bins.

    Raises `SampleError` where the sizes differ, `InputError` for other types or thresholds that do not rise.

    >>> import numpy as np
    >>> probability = np.array([[0.1, 0.6, 0.9]], np.float32)
    >>> [counts.iou for counts in threshold_counts(probability, np.array([[False, False, True]]), [0.3, 0.6, 0.7])]
    [0.5, 0.5, 1.0]
    """
    edges = np.asarray(thresholds, np.float32)
    if edges.ndim != 1 or not edges.size or not (np.diff(edges) > 0).all():
        raise InputError("the thresholds do not rise", "give at least one, in rising order")
    if probability.dtype != np.float32 or gt.dtype != np.bool_ or (void is not None and void.dtype != np.bool_):
        raise InputError(
            f"the probability map is {probability.dtype} and the ground truth {gt.dtype}, not float32 and bool"
        )
    if probability.shape != gt.shape or (void is not None and void.shape != gt.shape):
        raise SampleError(
            "size-mismatch",
            f"the probability map has the shape {probability.shape}, the ground truth {gt.shape}",
            "predict at the size of the photo, or scale the map to it",
        )
    gt = gt.view(np.uint8) != 0  # Pillow's 1-bit masks are bool with bytes of 255, unsafe as an index
    if void is not None:
        probability, gt = probability[~void], gt[~void]
    above = probability >= edges[-1]
    between = np.flatnonzero((probability >= edges[0]) & ~above)
    bins = np.searchsorted(edges, probability.ravel()[between], side="right")
    inside = np.bincount(bins[gt.ravel()[between]], minlength=len(edges) + 1)
    anywhere = np.bincount(bins, minlength=len(edges) + 1)
    inside[-1] = np.count_nonzero(above & gt)
    anywhere[-1] = np.count_nonzero(above)
    # A pixel of bin i passes the first i thresholds: sum from the highest bin down.
    tp = inside[::-1].cumsum()[::-1][1:].tolist()
    pred = anywhere[::-1].cumsum()[::-1][1:].tolist()
    area = int(np.count_nonzero(gt))
    return [Overlap(hit, size - hit, area - hit) for hit, size in zip(tp, pred, strict=True)]


def best_threshold(ious: ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> BestThreshold:
    """Give the threshold with the highest mean IoU over samples; of equal ones that nearest 0.5, then the lower.

    `ious` is (N, T): a row a sample, a column a threshold. Raises `InputError` where it is not, or has no row.

    >>> best_threshold([[0.5, 0.9, 0.9], [0.7, 0.8, 0.8]], [0.2, 0.4, 0.5])
    BestThreshold(threshold=0.5, iou=0.8500000000000001)
    """
    table = np.asarray(ious, np.float64)
    if table.ndim != 2 or table.shape[1] != len(thresholds) or not table.size:
        raise InputError(f"IoUs of shape {table.shape} are not samples x {len(thresholds)} thresholds")
    means = table.mean(axis=0).tolist()
    # Distances are rounded, for 0.5 lies equally far from 0.3 and 0.7 in decimals alone.
    choice = min(range(len(means)), key=lambda i: (-means[i], round(abs(thresholds[i] - 0.5), 9), thresholds[i]))
    return BestThreshold(thresholds[choice], means[choice])
