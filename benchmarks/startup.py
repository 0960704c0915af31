"""How long `import segdata` and `segdata --help` take, beside a Python that does nothing.

Usage: python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from common import arguments, clock


def main() -> None:
    options = arguments(__doc__, repeats=21)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import segdata": [sys.executable, "-c", "import segdata"],
        "segdata --help": ["segdata", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            times[name].append(clock(lambda command=command: subprocess.run(command, check=True, capture_output=True)))
    nothing, *more = (statistics.median(values) for values in times.values())
    print(f"python -c pass {nothing:.3f} s")
    for name, seconds in zip(list(commands)[1:], more, strict=True):
        print(f"{name} {seconds:.3f} s: {1000 * (seconds - nothing):.0f} ms more, {seconds / nothing:.1f}x")


if __name__ == "__main__":
    main()
