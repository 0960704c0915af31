"""`segdata evaluate` from end to end, against decoding the same files alone.

python benchmarks/evaluating.py
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import cv2
import numpy as np
from common import arguments, measured

DECODE = """
import io
from pathlib import Path
import numpy as np
from PIL import Image
paths = sorted(Path(sys.argv[1]).glob("*.png"))
start()
for path in paths:
    for folder in sys.argv[1:3]:
        np.asarray(Image.open(Path(folder) / path.name))
"""
OURS = """
import subprocess
start()
subprocess.run(["segdata", "evaluate", sys.argv[2], sys.argv[1], "--workers", sys.argv[3], "--json"],
               check=True, stdout=subprocess.DEVNULL)
"""


def masks(source: Path, work: Path, copies: int) -> tuple[Path, Path]:
    """Write copies of real masks as ground truth, and the same moved and blurred at the outline as predictions."""
    gt, preds = work / "evaluate-gt", work / "evaluate-preds"
    for folder in (gt, preds):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        moved = np.roll(mask, (number % 5 - 2, number % 7 - 3), axis=(0, 1))
        pred = np.where(cv2.GaussianBlur(moved, (0, 0), 3) > 127, np.uint8(255), np.uint8(0))
        for copy in range(copies):
            cv2.imwrite(str(gt / f"{path.stem}-{copy}.png"), mask)
            cv2.imwrite(str(preds / f"{path.stem}-{copy}.png"), pred)
    return gt, preds


def main() -> None:
    options = arguments(__doc__, copies=5, repeats=3)
    gt, preds = masks(options.data / "coco_more" / "masks", options.work, options.copies)
    count = len(list(gt.iterdir()))
    for workers in (1, 2):
        runs = [(measured(DECODE, gt, preds), measured(OURS, gt, preds, workers)) for _ in range(options.repeats)]
        times = statistics.median(ours["seconds"] / decode["seconds"] for decode, ours in runs)
        decode, ours = (statistics.median(run[side]["seconds"] for run in runs) for side in (0, 1))
        print(
            f"evaluate, workers {workers}: {ours / count * 1e3:.2f} ms a pair of files, start included; "
            f"decoding alone {decode / count * 1e3:.2f} ms: {times:.2f}x ({count:,} pairs)"
        )


if __name__ == "__main__":
    main()
