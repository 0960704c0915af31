"""Grading by detected faces and saliency from detected poses, end to end, against the detectors' own time.

Usage: python benchmarks/detecting.py [--photos 60] [--repeats 3]

The detector alone runs on photos that are decoded already; the steps read and decode them as well, so that time is
measured too and taken off. Detectors are warm on both sides.

One and two workers are timed in fresh processes, saliency on four times the photos. Their start counts: one worker is
one process that loads mediapipe, two are three, for the first one sees beforehand that it can be loaded. That two cores
were free must be seen to; processor time shows what workers cost where they were not.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
from common import arguments, measured

from segdata.detect import face_detector, pose_detector
from segdata.ops.grade_domains import grade_domains
from segdata.ops.saliency import saliency
from segdata.pixels import decode_image

MANY = 4  # poses are found four times as fast as faces
CODE = {
    "grade-domains": """
from segdata.engine import Processes
from segdata.ops.grade_domains import grade_domains
start()
grade_domains(sys.argv[1], out=sys.argv[2] + "/grades.csv", engine=Processes(int(sys.argv[3])))
""",
    "saliency": """
from segdata.engine import Processes
from segdata.ops.saliency import saliency
start()
saliency(sys.argv[1], keypoints="pose", out=sys.argv[2] + "/maps", engine=Processes(int(sys.argv[3])))
""",
}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Give the seconds by the clock and of this process's processors."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def fresh(folder: Path) -> Path:
    """Give the folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Print the ratios, medians of the repeats."""
    options = arguments(str(__doc__), photos=60, repeats=3)
    cv2.setNumThreads(1)
    out = options.work / "out"
    photos, many = (copied(options, folder, times) for folder, times in (("photos", 1), ("many", MANY)))
    files = sorted(photos.iterdir())
    images = [decode_image(file.read_bytes()) for file in files]
    faces, poses = face_detector(), pose_detector()
    ends: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "grade-domains": (
            lambda: [faces.detect(image) for image in images],
            lambda: grade_domains(photos, out=fresh(out) / "grades.csv"),
        ),
        "saliency": (
            lambda: [poses.detect(image) for image in images],
            lambda: saliency(photos, keypoints="pose", out=fresh(out)),
        ),
    }
    print(f"{len(files)} photos, median of {options.repeats} repeats")
    for name, (detect, step) in ends.items():
        ratios, cpu_ratios, alone = [], [], []
        for _ in range(options.repeats):
            decoding = timed(lambda: [decode_image(file.read_bytes()) for file in files])
            detecting = timed(detect)
            whole = timed(step)
            alone.append(1e3 * detecting[0] / len(files))
            ratios.append((whole[0] - decoding[0]) / detecting[0])
            cpu_ratios.append((whole[1] - decoding[1]) / detecting[1])
        print(
            f"{name}: {statistics.median(ratios):.2f}x the detector's own time without reading and decoding"
            f" ({statistics.median(cpu_ratios):.2f}x of processor time; the detector takes"
            f" {statistics.median(alone):.0f} ms a photo)"
        )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the workers start")
    for name, code in CODE.items():
        seconds: dict[int, list[float]] = {1: [], 2: []}
        processor: dict[int, list[float]] = {1: [], 2: []}
        memory = 0.0
        for _ in range(options.repeats):
            for workers in (1, 2):
                used = processor_seconds()
                result = measured(code, many if name == "saliency" else photos, fresh(out), workers)
                seconds[workers].append(result["seconds"])
                processor[workers].append(processor_seconds() - used)
                memory = max(memory, result["peak"], result["workers"])
        (one, two), (cpu_one, cpu_two) = map(medians, (seconds, processor))
        print(
            f"{name}: two workers {one / two:.2f}x as fast as one ({one:.1f} s and {two:.1f} s), for"
            f" {cpu_two / cpu_one:.2f}x the processor time ({cpu_one:.1f} s and {cpu_two:.1f} s);"
            f" {memory:.0f} MB the largest process"
        )


def copied(options: argparse.Namespace, folder: str, times: int) -> Path:
    """Copy so many times the photos that are asked for, or all there are, to a folder of their own."""
    photos = fresh(options.work / folder)
    for path in sorted((options.data / "coco" / "images").iterdir())[: times * options.photos]:
        shutil.copy(path, photos)
    return photos


def medians(runs: dict[int, list[float]]) -> list[float]:
    """Give the median of each list."""
    return [statistics.median(values) for values in runs.values()]


def processor_seconds() -> float:
    """Give the processor time of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
