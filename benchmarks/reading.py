"""Reading a large COCO file: segdata's index against pycocotools' COCO(), time and memory.

python benchmarks/reading.py
"""

from __future__ import annotations

import statistics

from common import COCO_IMAGES, arguments, coco_file, measured

OURS = """
from segdata.formats.coco import CocoFile
start()
coco = CocoFile(sys.argv[1])
assert len(coco) == int(sys.argv[2])
"""
PEER = """
import contextlib, io
from pycocotools.coco import COCO
start()
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(sys.argv[1])
assert len(coco.imgs) == int(sys.argv[2])
"""
DECODED = """
import msgspec
from segdata.formats.coco import CocoFile, parse_annotation
start()
coco = CocoFile(sys.argv[1])
for task in coco:
    image = coco.image(task)
    for span in task.annotations:
        parse_annotation(coco.read(*span), sys.argv[1], image)
"""


def main() -> None:
    options = arguments(__doc__, images=COCO_IMAGES, repeats=5)
    path = coco_file(options.data / "coco" / "instances.json", options.images, options.work)
    size = path.stat().st_size / 1e6
    print(f"{path.name}: {size:.0f} MB, {options.images:,} images")
    runs = [
        (measured(PEER, path, options.images), measured(OURS, path, options.images)) for _ in range(options.repeats)
    ]
    times = statistics.median(peer["seconds"] / ours["seconds"] for peer, ours in runs)
    memory = statistics.median(ours["peak"] / peer["peak"] for peer, ours in runs)
    for name, number in (("pycocotools COCO()", 0), ("segdata CocoFile", 1)):
        seconds = statistics.median(run[number]["seconds"] for run in runs)
        peak = statistics.median(run[number]["peak"] for run in runs)
        print(f"{name:20} {seconds:6.2f} s  {peak:6.0f} MB")
    every = measured(DECODED, path)
    print(f"{'... every record':20} {every['seconds']:6.2f} s  {every['peak']:6.0f} MB")
    print(f"reading: {times:.1f}x as fast as pycocotools, with {memory:.2f} of its memory")


if __name__ == "__main__":
    main()
