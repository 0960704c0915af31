"""Reading a large COCO file: segdata's index against pycocotools' COCO(), time and memory.

With --large N it then reads a file of N images within bounds of memory: once the libraries are loaded, the address
space may grow by no more than the bound. 1,850,000 images are 4 GB, written below --work.

python benchmarks/reading.py
python benchmarks/reading.py --large 1850000 --work /var/tmp/reading
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
BOUNDED = """
import resource
from segdata.formats.coco import CocoFile
from segdata.memory import bytes_of
size = [int(l.split()[1]) * 1024 for l in open('/proc/self/status') if l.startswith('VmSize')][0]
resource.setrlimit(resource.RLIMIT_AS, (size + bytes_of(sys.argv[2]),) * 2)
start()
coco = CocoFile(sys.argv[1], memory=sys.argv[2])
for task in coco:
    pass
assert task.number + 1 == int(sys.argv[3])
"""
LEAST, USUAL, AMPLE = "150MB", "500MB", "8GB"


def main() -> None:
    options = arguments(__doc__, images=COCO_IMAGES, repeats=5, large=0)
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
    runs = [
        (measured(BOUNDED, path, LEAST, options.images), measured(BOUNDED, path, AMPLE, options.images))
        for _ in range(options.repeats)
    ]
    times = statistics.median(least["seconds"] / ample["seconds"] for least, ample in runs)
    print(f"index and all images in {LEAST}: {times:.2f}x the time in {AMPLE}")
    if options.large:
        path = coco_file(options.data / "coco" / "instances.json", options.large, options.work)
        print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB, {options.large:,} images")
        for memory in (LEAST, USUAL, AMPLE):
            run = measured(BOUNDED, path, memory, options.large)
            print(f"index and all images in {memory}: {run['seconds']:.1f} s, peak {run['peak']:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
