"""Region measures: intersection over union (Jaccard index), precision and recall of the pixels."""

from __future__ import annotations

import msgspec

from segdata.quality.packed import Mask, PackedPair, count, pack_pair


class Overlap(msgspec.Struct, frozen=True, gc=False):
    """Pixels of a prediction inside the ground truth (tp), outside of it (fp), and those it misses (fn).

    Overlaps add up: the sum over samples has the pooled measures.

    >>> (Overlap(3, 1, 0) + Overlap(1, 0, 3)).iou
    0.5
    """

    tp: int
    fp: int
    fn: int

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def union(self) -> int:
        """The pixels of either mask."""
        return self.tp + self.fp + self.fn

    @property
    def iou(self) -> float:
        """The share of the union that both have; 1 where both are empty."""
        return self._share(self.union)

    @property
    def precision(self) -> float:
        """The share of the prediction that is right; of an empty one 1 where the ground truth is empty, else 0."""
        return self._share(self.tp + self.fp)

    @property
    def recall(self) -> float:
        """The share of the ground truth that is found; of an empty one 1 where nothing is predicted, else 0."""
        return self._share(self.tp + self.fn)

    def _share(self, whole: int) -> float:
        return self.tp / whole if whole else float(self.union == 0)


def overlap(pair: PackedPair) -> Overlap:
    """Count what the two masks of a pair share and do not share."""
    pred, gt = pair.bits
    tp = count(pred & gt)
    return Overlap(tp, count(pred) - tp, count(gt) - tp)


def iou(pred: Mask, gt: Mask, void: Mask | None = None) -> float:
    """Give the intersection over union of two masks, in [0, 1] (ALiSNet, equation 1, of one sample).

    `pred`, `gt` and `void` are bool (H, W); void pixels are left out of both masks. Two empty masks: 1; one empty:
    0. Raises `SampleError` where the sizes differ, `InputError` where an array is not bool (H, W).

    >>> import numpy as np
    >>> iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    return overlap(pack_pair(pred, gt, void)).iou


def precision(pred: Mask, gt: Mask, void: Mask | None = None) -> float:
    """Give the share of predicted pixels that the ground truth has, in [0, 1]; takes and raises what `iou` does.

    Two empty masks: 1. One empty: 0, also for an empty prediction, whose precision is 0 / 0: a predictor must not
    gain by predicting nothing.

    >>> import numpy as np
    >>> precision(np.array([[True, True, False, False]]), np.array([[False, True, True, True]]))
    0.5
    """
    return overlap(pack_pair(pred, gt, void)).precision


def recall(pred: Mask, gt: Mask, void: Mask | None = None) -> float:
    """Give the share of the ground truth's pixels that are predicted, in [0, 1]; takes and raises what `iou` does.

    Two empty masks: 1. One empty: 0, also for an empty ground truth, whose recall is 0 / 0.

    >>> import numpy as np
    >>> recall(np.array([[True, True, False, False]]), np.array([[False, True, True, True]]))
    0.3333333333333333
    """
    return overlap(pack_pair(pred, gt, void)).recall
