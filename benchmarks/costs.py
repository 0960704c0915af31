"""What each command takes for a photo, in one process with files on this machine, and what 10^8 photos take by that.

Real photos of COCO. The time for half of them is subtracted from the time for all, so that the start of a command, its
imports and its model do not count. Processor time: what other programs do meanwhile does not count either.

python benchmarks/costs.py
python benchmarks/costs.py --photos 391 --repeats 5
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
from common import arguments

import segdata
from segdata.engine import Inline

PHOTOS = 10**8
WORKERS = (10, 100, 1000)


def first(source: Path, count: int, folder: Path) -> Path:
    """Write a COCO file of the first photos."""
    whole = json.loads(source.read_bytes())
    whole["images"] = whole["images"][:count]
    ids = {image["id"] for image in whole["images"]}
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    path = folder / f"{count}.json"
    path.write_text(json.dumps(whole))
    return path


def chain(source: Path, count: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Give the commands, each of which needs those before it."""
    coco = first(source / "person_keypoints.json", count, folder)
    data, preds, crops, inline = folder / "data", folder / "preds", folder / "crops", Inline()
    return {
        "merge-coco": lambda: segdata.merge_coco(coco, images=source / "images", out=data, engine=inline),
        "edges": lambda: segdata.edges(data, kind="thick", width=4, engine=inline),
        "saliency": lambda: segdata.saliency(data, keypoints="annotations", engine=inline),
        "crop": lambda: segdata.crop(data, sources=["mask"], out=crops, engine=inline),
        "annotate": lambda: segdata.annotate(data, out=preds, engine=inline),
        "evaluate": lambda: segdata.evaluate(preds, data, engine=inline),
        "validate": lambda: segdata.validate(data, engine=inline),
    }


def seconds(source: Path, count: int, work: Path) -> dict[str, float]:
    """Give what each command takes for so many photos."""
    folder = work / f"costs-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    taken = {}
    for name, command in chain(source, count, folder).items():
        start = time.process_time()
        command()
        taken[name] = time.process_time() - start
    shutil.rmtree(folder)
    return taken


def main() -> None:
    given = arguments(__doc__ or "", photos=200, repeats=3)
    cv2.setNumThreads(1)
    found: dict[str, list[float]] = {}
    for _ in range(given.repeats):
        half, whole = (seconds(given.data / "coco", count, given.work) for count in (given.photos // 2, given.photos))
        for name, taken in whole.items():
            found.setdefault(name, []).append((taken - half[name]) / (given.photos - given.photos // 2))
    print(f"{'':12}{'ms a photo':>12}" + "".join(f"{f'{each:,} workers':>18}" for each in WORKERS))
    for name, each in found.items():
        cost = statistics.median(each)
        hours = "".join(f"{PHOTOS * cost / workers / 3600:>16,.2f} h" for workers in WORKERS)
        print(f"{name:12}{1000 * cost:>12.2f}{hours}")


if __name__ == "__main__":
    main()
