"""What other tools print under the same name, on the same masks.

pip install torchmetrics scikit-learn faster-coco-eval vos-benchmark mmsegmentation mmengine mmcv-lite ftfy ImageHash
python benchmarks/other_tools.py

The masks are the pairs of the reference figures that have no void pixels (`golden/`), and small ones that are empty or
fill the image. Tools that are not installed are left out with a word. docs/definitions.md says why figures differ.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from common import arguments
from numpy.typing import NDArray

from segdata.masks import mask_to_rle
from segdata.quality.average_precision import Photo, average_precision
from segdata.quality.bootstrap import paired_bootstrap
from segdata.quality.boundary_iou import boundary_iou
from segdata.quality.contour import contour_accuracy
from segdata.quality.duplicates import likeness
from segdata.quality.overlap import iou, precision, recall
from segdata.quality.scores import score, summarise

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "quality"))

Mask = NDArray[np.bool_]
Pairs = list[tuple[Mask, Mask]]
SQUARE = np.pad(np.ones((30, 30), bool), 35)
EMPTY, FULL = np.zeros_like(SQUARE), np.ones_like(SQUARE)
EDGES: dict[str, tuple[Mask, Mask]] = {
    "both empty": (EMPTY, EMPTY),
    "nothing predicted": (EMPTY, SQUARE),
    "nobody there": (SQUARE, EMPTY),
    "both full": (FULL, FULL),
    "empty against full": (EMPTY, FULL),
}


def row(tool: str, what: str, figures: Callable[[], list[float]]) -> None:
    """Print a row of a table, or that the tool is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cells = [f"{figure:.4f}" for figure in figures()]
    except ImportError as error:
        cells = [f"not installed ({error.name})"]
    print(f"| {tool} | {what} | {' | '.join(cells)} |", flush=True)


def torch_pair(pred: Mask, gt: Mask) -> list:  # type: ignore[type-arg]
    """Give both masks as tensors (1, H, W) of class indices."""
    import torch

    return [torch.from_numpy(mask.astype(np.int64))[None] for mask in (pred, gt)]


def mmseg_miou(pairs: Pairs) -> list[float]:
    """Give mmsegmentation's mIoU and its IoU of the person."""
    # The package refuses the newer mmcv that pip brings; the metric does not need it.
    import mmcv
    import mmengine  # noqa: F401
    import torch

    mmcv.__version__ = "2.1.0"
    from mmseg.evaluation.metrics import IoUMetric

    results = [
        IoUMetric.intersect_and_union(torch.from_numpy(pred.astype(int)), torch.from_numpy(gt.astype(int)), 2, 255)
        for pred, gt in pairs
    ]
    areas = [sum(each) for each in zip(*results, strict=True)]
    found = IoUMetric.total_area_to_metrics(*areas, metrics=["mIoU"])["IoU"]
    return [float(np.nanmean(found)), float(found[1])]


def davis(pairs: Pairs) -> float:
    """Give the mean F of vos-benchmark, which holds the code of DAVIS 2017."""
    from vos_benchmark.evaluator import Evaluator

    figures = []
    for pred, gt in pairs:
        frame = Evaluator()
        frame.feed_frame(pred.astype(np.uint8), gt.astype(np.uint8))
        figures.append(float(frame.boundary_f[1][0]) if frame.boundary_f else float("nan"))
    return float(np.mean(figures))


def coco_boundary(pairs: Pairs) -> list[float]:
    """Give faster-coco-eval's boundary IoU of each pair, which is that of the authors' own API."""
    from faster_coco_eval.core import mask as masks

    figures = []
    for pair in pairs:
        rles = ({"size": list(rle.size), "counts": rle.counts} for rle in map(mask_to_rle, pair))
        pred, gt = ([masks.rleToBoundary(rle)] for rle in rles)
        figures.append(float(masks.iou(pred, gt, [0])[0][0]))
    return figures


def regions(pairs: Pairs) -> None:
    """Print the IoU of several tools."""
    ours = summarise(score(pred, gt) for pred, gt in pairs)
    print(f"\n{len(pairs)} pairs\n\n| tool | what it prints | figure |\n|---|---|---|")
    row("segdata", "IoU, mean", lambda: [ours.iou.mean])
    row("segdata", "IoU, std", lambda: [ours.iou.std])
    row("segdata", "IoU, pooled", lambda: [ours.pooled.iou])

    def sklearn(**options: object) -> list[float]:
        from sklearn.metrics import jaccard_score

        pred, gt = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
        return [jaccard_score(gt, pred, **options)]

    row("scikit-learn", "jaccard_score of all pixels", sklearn)
    row("scikit-learn", "jaccard_score(average='macro')", lambda: sklearn(average="macro"))

    def torchmetrics(name: str, **options: object) -> list[float]:
        import torchmetrics.classification as metrics

        metric = getattr(metrics, name)(**options)
        for pred, gt in pairs:
            metric.update(*torch_pair(pred, gt))
        return [float(metric.compute())]

    row("torchmetrics", "BinaryJaccardIndex over batches", lambda: torchmetrics("BinaryJaccardIndex"))
    row("torchmetrics", "MulticlassJaccardIndex(2)", lambda: torchmetrics("MulticlassJaccardIndex", num_classes=2))

    def mean_iou(**options: object) -> list[float]:
        from torchmetrics.segmentation import MeanIoU

        metric = MeanIoU(num_classes=2, input_format="index", **options)
        for pred, gt in pairs:
            metric.update(*torch_pair(pred, gt))
        return [float(metric.compute())]

    row("torchmetrics", "segmentation.MeanIoU(2)", mean_iou)
    row("torchmetrics", "the same, include_background=False", lambda: mean_iou(include_background=False))

    row("mmsegmentation", "mIoU", lambda: mmseg_miou(pairs)[:1])
    row("mmsegmentation", "IoU of the person", lambda: mmseg_miou(pairs)[1:])
    row("numpy", "std with ddof=1, as torch.std", lambda: [float(np.std([iou(*pair) for pair in pairs], ddof=1))])
    row("segdata", "contour accuracy, mean", lambda: [ours.contour_accuracy.mean])
    row("vos-benchmark (DAVIS 2017)", "F, mean", lambda: [davis(pairs)])
    row("segdata", "boundary IoU, mean", lambda: [ours.boundary_iou.mean])
    row("faster-coco-eval", "boundary IoU, mean", lambda: [float(np.mean(coco_boundary(pairs)))])


def edges() -> None:
    """Print what tools give where a mask is empty or fills the image."""
    print(f"\n| tool | what it prints | {' | '.join(EDGES)} |\n|---|---|{'---|' * len(EDGES)}")

    def all_of(measure: Callable[[Mask, Mask], float]) -> Callable[[], list[float]]:
        return lambda: [float(measure(pred, gt)) for pred, gt in EDGES.values()]

    row("segdata", "IoU", all_of(iou))
    row("segdata", "precision", all_of(precision))
    row("segdata", "recall", all_of(recall))

    def sklearn(name: str) -> Callable[[Mask, Mask], float]:
        def measure(pred: Mask, gt: Mask) -> float:
            from sklearn import metrics

            return float(getattr(metrics, name)(gt.ravel(), pred.ravel()))

        return measure

    def torchmetrics(name: str) -> Callable[[Mask, Mask], float]:
        def measure(pred: Mask, gt: Mask) -> float:
            import torchmetrics.functional.classification as functional

            return float(getattr(functional, name)(*torch_pair(pred, gt)))

        return measure

    for name in ("jaccard_score", "precision_score", "recall_score"):
        row("scikit-learn", name, all_of(sklearn(name)))
    for name in ("binary_jaccard_index", "binary_precision", "binary_recall"):
        row("torchmetrics", name, all_of(torchmetrics(name)))
    row("mmsegmentation", "IoU of the person", all_of(lambda pred, gt: mmseg_miou([(pred, gt)])[1]))
    row("segdata", "contour accuracy", all_of(contour_accuracy))
    row("vos-benchmark (DAVIS 2017)", "F", all_of(lambda pred, gt: davis([(pred, gt)])))
    row("segdata", "boundary IoU", all_of(boundary_iou))
    row("faster-coco-eval", "boundary IoU", all_of(lambda pred, gt: coco_boundary([(pred, gt)])[0]))


def instances(photos: list[Photo]) -> None:
    """Print the average precision of several tools, with scores that differ and with one score for all."""
    from independent import cocoeval

    print("\n| tool | what it prints | scores differ | one score for all |\n|---|---|---|---|")
    one = [photo._replace(scores=[1.0] * len(photo.found)) for photo in photos]
    sets = photos, one
    row("segdata", "AP", lambda: [average_precision(each).mean for each in sets])
    row("segdata", "AP50", lambda: [average_precision(each).at[0.5] for each in sets])
    row("segdata", "AP90", lambda: [average_precision(each).at[0.9] for each in sets])

    def coco(**params: object) -> list[float]:
        return [float(cocoeval(each, **params).eval["precision"][:, :, 0, 0, -1].mean()) for each in sets]

    row("COCOeval", "AP, all areas, any number", coco)
    row("COCOeval", "AP, 100 detections a photo", lambda: coco(maxDets=[1, 10, 100]))
    row("COCOeval", "AP, 1 detection a photo", lambda: coco(maxDets=[1]))
    row("COCOeval", "AP of small ones (below 32 x 32)", lambda: coco(areaRng=[[0, 32**2]], areaRngLbl=["small"]))
    row("COCOeval", "AP of large ones (above 96 x 96)", lambda: coco(areaRng=[[96**2, 1e10]], areaRngLbl=["large"]))
    row("COCOeval", "AP of medium ones (32 x 32 to 96 x 96)",
        lambda: coco(areaRng=[[32**2, 96**2]], areaRngLbl=["medium"]))  # fmt: skip


def intervals(pairs: Pairs) -> None:
    """Print intervals of the difference of two predictors, one of them a little grown."""
    from random_pairs import disturbed
    from scipy import stats

    rng = np.random.default_rng(0)
    a = np.array([iou(*pair) for pair in pairs])
    b = np.array([iou(disturbed(rng, pred), gt) for pred, gt in pairs])
    print("\n| tool | what it prints | low | high |\n|---|---|---|---|")
    ours = paired_bootstrap(a, b)
    row("segdata", "paired bootstrap, percentile", lambda: [ours.low, ours.high])

    def scipy(method: str) -> list[float]:
        interval = stats.bootstrap((a - b,), np.mean, n_resamples=10_000, method=method, rng=0).confidence_interval
        return [float(interval.low), float(interval.high)]

    row("scipy", "bootstrap, method='percentile'", lambda: scipy("percentile"))
    row("scipy", "bootstrap, its default BCa", lambda: scipy("BCa"))
    test = stats.ttest_rel(a, b).confidence_interval()
    row("scipy", "ttest_rel", lambda: [float(test.low), float(test.high)])


def copies(photos: Path) -> None:
    """Print the distance that hashes of whole photos give to strangers, and to two kinds of copies."""
    from PIL import Image, ImageOps

    images = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*.jpg"))[:40]]
    crops = [each.crop((each.width // 5, each.height // 5, *each.size)) for each in images]
    mirrored = [ImageOps.mirror(each) for each in images]
    print("\n| tool | distance in bits of 64 | lowest | median | highest |\n|---|---|---|---|---|")

    def spread(pairs: list) -> list[float]:  # type: ignore[type-arg]
        import imagehash

        distances = [float(imagehash.phash(a) - imagehash.phash(b)) for a, b in pairs]
        return np.quantile(distances, (0, 0.5, 1)).tolist()

    row("ImageHash, phash", "other photos", lambda: spread(list(combinations(images, 2))))
    row("ImageHash, phash", "20 % cropped away", lambda: spread(list(zip(images, crops, strict=True))))
    row("ImageHash, phash", "mirrored", lambda: spread(list(zip(images, mirrored, strict=True))))
    alike = Counter(likeness(*map(np.asarray, each)).relation for each in zip(images[:10], crops[:10], strict=True))
    print(f"segdata: {alike['copy']} of 10 crops are copies")


def main() -> None:
    """Print all tables."""
    from independent import random_photos
    from mask_pairs import golden_pairs

    data = arguments(__doc__).data.resolve()
    os.chdir(tempfile.mkdtemp())  # some tools write logs where they stand
    pairs = [(pair.pred, pair.gt) for pair in golden_pairs(data) if pair.void is None]
    regions(pairs)
    edges()
    rng = np.random.default_rng(0)
    instances([photo for _ in range(40) for photo in random_photos(rng, [gt for _, gt in pairs], longest=300)])
    intervals(pairs)
    copies(data / "ccp" / "photos")


if __name__ == "__main__":
    main()
