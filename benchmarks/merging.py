"""Merging persons and writing masks on a memory file system: segdata against the usual loop; scale and workers.

python benchmarks/merging.py
python benchmarks/merging.py --large 500000
"""

from __future__ import annotations

import shutil
import statistics

from common import COCO_IMAGES, arguments, coco_file, measured

LOOP = """
import contextlib, io, os
import numpy as np
from PIL import Image
from pycocotools.coco import COCO
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(sys.argv[1])
os.makedirs(sys.argv[2])
start()
for number, image in coco.imgs.items():
    mask = np.zeros((image["height"], image["width"]), np.uint8)
    for annotation in coco.imgToAnns[number]:
        mask = np.maximum(mask, coco.annToMask(annotation))
    Image.fromarray(mask * 255).save(f"{sys.argv[2]}/{number}.png")
"""
OURS = """
from segdata.engine import Processes
from segdata.formats.coco import CocoFile
from segdata.ops.merge_coco import merge_coco
start()
report = merge_coco(sys.argv[1], out=sys.argv[2], encoding=sys.argv[3], engine=Processes(int(sys.argv[4])))
assert report.failed == 0
"""


def main() -> None:
    options = arguments(__doc__, small=2_000, images=COCO_IMAGES, large=0, repeats=3)
    source = options.data / "coco" / "instances.json"
    out = options.work / "masks"

    def run(code: str, images: int, *values: object) -> dict[str, float]:
        shutil.rmtree(out, ignore_errors=True)
        path = coco_file(source, images, options.work)
        result = measured(code, path, out, *values)
        shutil.rmtree(out, ignore_errors=True)
        return result

    for encoding in ("8bit", "1bit"):
        pairs = [(run(LOOP, options.small), run(OURS, options.small, encoding, 1)) for _ in range(options.repeats)]
        times = statistics.median(loop["seconds"] / ours["seconds"] for loop, ours in pairs)
        rates = [options.small / statistics.median(pair[side]["seconds"] for pair in pairs) for side in (0, 1)]
        print(
            f"{encoding}: {times:.1f}x as fast as annToMask + maximum + PIL "
            f"({rates[1]:,.0f} against {rates[0]:,.0f} images/s, one process, reading the file included)"
        )
    sizes = [1_000, options.images, *([options.large] if options.large else [])]
    for images in sizes:
        results = [run(OURS, images, "8bit", 1) for _ in range(options.repeats if images < 100_000 else 1)]
        each = statistics.median(result["seconds"] for result in results) / images * 1e3
        peak = max(result["peak"] for result in results)
        print(f"{images:>7,} images, one process: {each:.3f} ms an image, peak memory {peak:.0f} MB")
    pairs = [
        (run(OURS, options.images, "8bit", 1), run(OURS, options.images, "8bit", 2)) for _ in range(options.repeats)
    ]
    print(f"two workers: {statistics.median(one['seconds'] / two['seconds'] for one, two in pairs):.2f}x one")


if __name__ == "__main__":
    main()
