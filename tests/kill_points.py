"""Kill a run at each operation on its files in turn, and print how the run after it ends. Run as a script.

Each run is a fork of this process, which counts what Python announces before it opens, renames or removes a file in
the data set, and kills itself, as SIGKILL does, at the operation asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from running import tree

from segdata.ops.edges import edges
from segdata.ops.merge_coco import merge_coco
from segdata.ops.split import split

OPERATIONS = {"open", "os.mkdir", "os.remove", "os.rename", "os.truncate"}


def run(work: Callable[[Path], object], out: Path, kill_at: int | None = None) -> bool:
    """Do the work in a fork; tell whether it was killed."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in OPERATIONS and str(out) in str(arguments[0]):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work(out)
    os._exit(0)


def copy(before: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if before.exists():
        shutil.copytree(before, out)


def try_all(work: Callable[[Path], object], before: Path, scratch: Path) -> tuple[int, list[int]]:
    """Kill the work that starts from the folder `before` at every operation; give how many, and where it went wrong."""
    copy(before, scratch / "whole")
    run(work, scratch / "whole")
    wanted, wrong, point = tree(scratch / "whole"), [], 0
    out = scratch / "out"
    while True:
        point += 1
        copy(before, out)
        if not run(work, out, point):
            return point - 1, wrong
        run(work, out, 1 + point // 3)  # and once more, earlier or not at all
        run(work, out)
        if tree(out) != wanted:
            wrong.append(point)


def main() -> None:
    first, second, photos, scratch = map(Path, sys.argv[1:])
    base = scratch / "base"

    def merge(annotations: Path) -> Callable[[Path], object]:
        return lambda out: merge_coco(annotations, images=photos, out=out)

    results = {"merge": try_all(merge(first), base, scratch)}
    run(merge(first), base)
    results["merge changed annotations"] = try_all(merge(second), base, scratch)
    results["edges"] = try_all(edges, base, scratch)
    run(edges, base)
    results["split"] = try_all(lambda out: split(out, lists=True), base, scratch)
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
