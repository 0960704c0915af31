"""All measures of one sample at once, and their mean, spread and pooled value over many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
import numpy as np

from segdata.errors import InputError
from segdata.quality.boundary_iou import DILATION, band_iou, band_width
from segdata.quality.contour import TOLERANCE, contour_f, contour_tolerance
from segdata.quality.overlap import Overlap, overlap
from segdata.quality.packed import Mask, pack_pair


class Scores(msgspec.Struct, frozen=True, gc=False):
    """The measures of one sample as fractions in [0, 1], and the pixel counts that pooled measures sum up."""

    iou: float
    contour_accuracy: float
    boundary_iou: float
    precision: float
    recall: float
    intersection: int
    union: int
    pred_area: int
    gt_area: int


class Scored(Protocol):
    """What `summarise` reads of a sample: `Scores`, or anything that has the same members."""

    @property
    def intersection(self) -> int: ...
    @property
    def pred_area(self) -> int: ...
    @property
    def gt_area(self) -> int: ...


class Spread(msgspec.Struct, frozen=True, gc=False):
    """The mean of a measure over samples and its standard deviation: of these samples, with divisor N."""

    mean: float
    std: float


class Pooled(msgspec.Struct, frozen=True, gc=False):
    """The region measures of all samples' pixels taken together: large persons count for more."""

    iou: float
    precision: float
    recall: float


class Summary(msgspec.Struct, frozen=True, gc=False):
    """The measures over `samples` samples. `iou.mean` is the mIoU of ALiSNet, equation 1, as a fraction."""

    samples: int
    iou: Spread
    contour_accuracy: Spread
    boundary_iou: Spread
    precision: Spread
    recall: Spread
    pooled: Pooled


def score(
    pred: Mask, gt: Mask, *, tolerance: float = TOLERANCE, dilation: float = DILATION, void: Mask | None = None
) -> Scores:
    """Give every measure of a predicted mask against its ground truth, sharing the work they have in common.

    `pred`, `gt` and `void` are bool (H, W). Each measure is what its own function gives: `iou`, `precision`,
    `recall`, `contour_accuracy` (with `tolerance`) and `boundary_iou` (with `dilation`); empty cases and errors are
    described there. Areas are in pixels that are not void.

    >>> import numpy as np
    >>> gt = np.zeros((100, 100), bool)
    >>> gt[20:80, 30:70] = True
    >>> scores = score(np.roll(gt, 8, axis=1), gt)
    >>> round(scores.iou, 3), scores.contour_accuracy, scores.intersection
    (0.667, 0.37, 1920)
    """
    pair = pack_pair(pred, gt, void)
    regions = overlap(pair)
    return Scores(
        iou=regions.iou,
        contour_accuracy=contour_f(pair, contour_tolerance(pair.shape, tolerance)),
        boundary_iou=band_iou(pair, band_width(pair.shape, dilation)),
        precision=regions.precision,
        recall=regions.recall,
        intersection=regions.tp,
        union=regions.union,
        pred_area=regions.tp + regions.fp,
        gt_area=regions.tp + regions.fn,
    )


def summarise(scores: Iterable[Scored]) -> Summary:
    """Give the mean and standard deviation of each measure, and the pooled region measures.

    The standard deviation has divisor N, numpy's default, as published scores have. Raises `InputError` where there
    is no sample.

    >>> one, other = Scores(0.5, 1, 1, 1, 0.5, 1, 2, 1, 2), Scores(1, 1, 1, 1, 1, 6, 6, 6, 6)
    >>> summary = summarise([one, other])
    >>> summary.iou, summary.pooled.iou
    (Spread(mean=0.75, std=0.25), 0.875)
    """
    rows = list(scores)
    if not rows:
        raise InputError("there is no scored sample to summarise", "check that predictions and ground truth match")

    def spread(measure: str) -> Spread:
        values = np.array([getattr(row, measure) for row in rows], np.float64)
        return Spread(float(values.mean()), float(values.std()))

    tp = sum(row.intersection for row in rows)
    total = Overlap(tp, sum(row.pred_area for row in rows) - tp, sum(row.gt_area for row in rows) - tp)
    return Summary(
        samples=len(rows),
        iou=spread("iou"),
        contour_accuracy=spread("contour_accuracy"),
        boundary_iou=spread("boundary_iou"),
        precision=spread("precision"),
        recall=spread("recall"),
        pooled=Pooled(total.iou, total.precision, total.recall),
    )
