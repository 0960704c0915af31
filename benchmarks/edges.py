"""Edge labels against scikit-image's `find_boundaries`, on real masks: ratios measured in one run.

Usage: python benchmarks/edges.py FOLDER_OF_MASK_PNGS [how many]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import sobel
from skimage.segmentation import find_boundaries

from segdata.choices import EdgeKind
from segdata.ops.edges import edge_label

Mask = NDArray[np.bool_]
REPEATS = 7


def milliseconds(work: Callable[[Mask], Mask], mask: Mask) -> float:
    """Give the median time of one call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work(mask)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def peer(kind: EdgeKind, mask: Mask) -> Mask:
    """Mark the same edge with scikit-image."""
    if kind == "sobel":
        return np.asarray(sobel(mask.astype(float)) != 0)  # type: ignore[no-untyped-call]
    return np.asarray(find_boundaries(mask, mode=kind))  # type: ignore[no-untyped-call]


def main() -> None:
    """Print for each kind the peer's time over ours: smallest, median and largest over the masks."""
    cv2.setNumThreads(1)
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20
    masks = [np.asarray(Image.open(file)) > 0 for file in sorted(folder.glob("*.png"))[:count]]
    if not masks:
        sys.exit(f"there is no PNG mask in {folder}")
    print(f"{len(masks)} masks, median of {REPEATS} repeats each")
    same_as_peer: list[tuple[EdgeKind, int]] = [("inner", 1), ("outer", 1), ("thick", 2), ("sobel", 1)]
    for kind, width in same_as_peer:
        ours, theirs = partial(edge_label, kind=kind, width=width), partial(peer, kind)
        if not all(np.array_equal(ours(mask), theirs(mask)) for mask in masks):
            sys.exit(f"the {kind} edges differ from scikit-image's")
        times = [milliseconds(ours, mask) for mask in masks]
        ratios = [milliseconds(theirs, mask) / time for mask, time in zip(masks, times, strict=True)]
        print(
            f"{kind} {width} px: {min(ratios):.0f}x to {max(ratios):.0f}x, median {statistics.median(ratios):.0f}x"
            f" the speed of scikit-image ({statistics.median(times):.2f} ms a mask)"
        )


if __name__ == "__main__":
    main()
