"""The Dask engine against the process pool, each with the same number of workers, and two workers against one.

The step is merge-coco of real annotations, repeated under new names, with start and end of the engine; the cluster of
one or two worker processes on this machine is there before. Folders are on a memory file system.

python benchmarks/engines.py
python benchmarks/engines.py --images 8000 --repeats 7
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import arguments, clock, coco_file

from segdata.engine import DaskCluster, Engine, Processes
from segdata.ops.merge_coco import merge_coco

DASK = Path(sys.executable).with_name("dask")


@contextmanager
def cluster(workers: int) -> Iterator[DaskCluster]:
    """Start a scheduler and its workers, and end them."""
    from distributed import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    commands = [["scheduler", "--host", "127.0.0.1", "--port", str(port)]]
    commands += [["worker", address, "--nthreads", "1"] for _ in range(workers)]
    processes = [
        subprocess.Popen([DASK, *command, "--no-dashboard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=300)
        yield DaskCluster(address)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def main() -> None:
    options = arguments(__doc__, images=4000, repeats=5)
    annotations = coco_file(options.data / "coco" / "instances.json", options.images, options.work)
    out = options.work / "merged"

    def seconds(engine: Engine) -> float:
        shutil.rmtree(out, ignore_errors=True)
        return clock(lambda: merge_coco(annotations, out=out, engine=engine))

    print(f"merge-coco of {options.images:,} images, median of {options.repeats} pairs, load {os.getloadavg()[0]:.1f}")
    with cluster(1) as one, cluster(2) as two:
        for engine in (one, two):  # workers import what they need once
            seconds(engine)
        for workers, engine in ((1, one), (2, two)):
            pairs = [(seconds(engine), seconds(Processes(workers))) for _ in range(options.repeats)]
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            times = [statistics.median(column) for column in zip(*pairs, strict=True)]
            print(
                f"{workers} workers: dask {ratio:.2f}x the time of processes "
                f"({times[0]:.2f} s against {times[1]:.2f} s)"
            )
        pairs = [(seconds(one), seconds(two)) for _ in range(options.repeats)]
        print(f"two dask workers: {statistics.median(a / b for a, b in pairs):.2f}x as fast as one")
    shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
