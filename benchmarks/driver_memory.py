"""Memory of a command's own process, by the number of samples: metadata alone, made on the fly.

A step whose work gives the row of its sample and does nothing else is run by the inline engine: for the first time,
once more when nothing is to be done, with every row new, with every second sample gone, and with every sample left out
as asked. The process is watched from outside: its peak of anonymous memory (RssAnon), and of all its memory (VmHWM),
which counts pages of libraries too. Needs Linux, and 3 GB of disk for 10 million samples.

python benchmarks/driver_memory.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from common import arguments

SIZES = "64000,1000000,10000000"
RUNS = "first run,nothing to do,every row new,every second gone,all left out"
CODE = """
import sys
from pathlib import Path
from segdata.steps import Result, SkipError, run_step, unchanged, updated

count, run, out = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
mark = "b" if run == "every row new" else "a"

def work(key, number, previous):
    if run == "all left out":
        raise SkipError("left-out", f"{key} is left out")
    if unchanged(previous, "made", mark, out, ()):
        return Result(previous, fresh=False)
    return Result(updated(previous, "made", mark, {"key": key, "width": 640, "height": 480}), fresh=True)

step = 2 if run == "every second gone" else 1
report = run_step("made", out, work, ((f"{n:08d}", n) for n in range(0, count, step)), total=count // step)
assert report.done + report.reused + report.skipped == count // step
"""


def watched(*arguments: object) -> tuple[float, float, float]:
    """Run the code; give its seconds and its peaks of anonymous and of all memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", CODE, *map(str, arguments)])
    status = Path(f"/proc/{process.pid}/status")
    anonymous = everything = 0.0
    while process.poll() is None:
        facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "RssAnon" in facts:  # not at its very end
            anonymous = max(anonymous, int(facts["RssAnon"].split()[0]) / 1024)
            everything = max(everything, int(facts["VmHWM"].split()[0]) / 1024)
        time.sleep(0.01)
    if process.returncode:
        sys.exit("the run failed")
    return time.perf_counter() - started, anonymous, everything


def main() -> None:
    options = arguments(__doc__, work=Path("driver-memory"), sizes=SIZES, runs=RUNS)
    out = options.work / "data"
    for count in map(int, options.sizes.split(",")):
        shutil.rmtree(out, ignore_errors=True)
        for run in options.runs.split(","):
            seconds, anonymous, everything = watched(count, run, out)
            print(
                f"{count:>10,} samples, {run:17}: {anonymous:5.1f} MB anonymous, {everything:5.1f} MB in all, "
                f"{seconds:6.1f} s ({seconds / count * 1e6:.0f} us a sample)",
                flush=True,
            )
    shutil.rmtree(options.work)


if __name__ == "__main__":
    main()
