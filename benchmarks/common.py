"""What the benchmarks share: real data, a large COCO file made of it, and honest clocks."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
COCO_IMAGES = 64_115  # as many images as show a person in COCO's train2017


def arguments(description: str, **defaults: Any) -> argparse.Namespace:
    """Read the options of a benchmark: one a keyword, with its default."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in {"data": SHARED_DATA, "work": Path("/dev/shm/segdata-benchmark"), **defaults}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def coco_file(source: Path, images: int, folder: Path) -> Path:
    """Write a COCO file that repeats a real one with new ids, annotations in another order than images."""
    path = folder / f"coco_{images}.json"
    if path.exists():
        return path
    coco = json.loads(source.read_bytes())
    by_image: dict[int, list[str]] = {}
    for annotation in coco["annotations"]:
        text = json.dumps({**annotation, "id": "@id", "image_id": "@image_id"})
        by_image.setdefault(annotation["image_id"], []).append(text)
    originals = coco["images"]
    records = [json.dumps({**image, "id": "@id", "file_name": f"@part/{image['file_name']}"}) for image in originals]
    part = path.with_suffix(".part")
    with part.open("w") as file:
        head = {name: coco[name] for name in ("info", "licenses", "categories")}
        file.write(json.dumps(head)[:-1] + ', "images": [')
        for number in range(images):
            repeat, original = divmod(number, len(originals))
            text = records[original].replace('"@id"', str(number + 1)).replace("@part", f"{repeat:05d}")
            file.write(", " * (number > 0) + text)
        file.write('], "annotations": [')
        count = 0
        # Images in strides, so that those of one image do not stand together with those of its neighbours.
        for number in (index for start in range(7) for index in range(start, images, 7)):
            for text in by_image.get(originals[number % len(originals)]["id"], ()):
                count += 1
                record = text.replace('"@id"', str(count)).replace('"@image_id"', str(number + 1))
                file.write(", " * (count > 1) + record)
        file.write("]}")
    part.rename(path)
    return path


def clock(function: Callable[[], Any]) -> float:
    """Time one call in seconds."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def ratio(peer: Callable[[], Any], ours: Callable[[], Any], repeats: int = 5) -> tuple[float, float, float]:
    """Time two functions in turns; give the median of the ratios of neighbours, and the median times in seconds."""
    pairs = [(clock(peer), clock(ours)) for _ in range(repeats)]
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    return statistics.median(slow / fast for slow, fast in pairs), medians[0], medians[1]


def measured(code: str, *values: object) -> dict[str, float]:
    """Run code in a fresh Python and give its seconds and its peak memory in MB (its own, and its workers' largest).

    The code sees `values` as sys.argv[1:] and times what it does between `start()` and its end.
    """
    frame = (
        "import resource, sys, time\n"
        "def start():\n    global _t\n    _t = time.perf_counter()\n"
        "if __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in code.strip().splitlines())
        + "    _s = time.perf_counter() - _t\n"
        "    _m = [int(l.split()[1]) / 1024 for l in open('/proc/self/status') if l.startswith('VmHWM')][0]\n"
        "    print(_s, _m, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    script = Path("/dev/shm") / f"segdata-measured-{abs(hash(frame))}.py"  # workers import it again: it must be a file
    script.write_text(frame)
    try:
        done = subprocess.run(
            [sys.executable, str(script), *map(str, values)], check=True, capture_output=True, text=True
        )
    finally:
        script.unlink()
    seconds, own, children = map(float, done.stdout.splitlines()[-1].split())
    return {"seconds": seconds, "peak": own, "workers": children}
