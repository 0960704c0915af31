"""Where wheels of all that segdata needs are: each extra on each system with each Python, resolved and not installed.

Prints a table: a tick, or the package that has no wheel there. Needs uv (pip install uv), which resolves for systems
other than its own.

Usage: python benchmarks/wheels.py [--python 3.11 3.14] [--system windows] [--extra core train]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux arm64": "aarch64-manylinux_2_28",
    "Linux x86-64, musl": "x86_64-unknown-linux-musl",
    "macOS 14, arm64": "aarch64-apple-darwin",
    "macOS 14, x86-64": "x86_64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
    "Windows arm64": "aarch64-pc-windows-msvc",
}
EXTRAS = ("core", "review", "report", "cluster", "formats", "detect", "train", "executorch")
_LACKS = re.compile(
    r"\b([\w.-]+?)(?:[<>=!][^ ]*)? has no (?:wheels|usable wheels)|no matching distribution for ([\w.-]+)"
)


def missing(extra: str, python: str, system: str) -> str:
    """Give the package that has no wheel, or nothing."""
    extras = [] if extra == "core" else ["--extra", extra]
    command = ["uv", "pip", "compile", "-q", "pyproject.toml", *extras, "--python-version", python]
    command += ["--python-platform", system, "--only-binary", ":all:"]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    told = " ".join(done.stderr.split())
    found = _LACKS.search(told)
    if found is None:
        sys.exit(told)
    return found[1] or found[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12", "3.13", "3.14"])
    parser.add_argument("--system", nargs="+", default=list(SYSTEMS), help="as the table says, or as uv calls it")
    parser.add_argument("--extra", nargs="+", default=list(EXTRAS), choices=EXTRAS)
    options = parser.parse_args()
    print("| system | Python |", " | ".join(options.extra), "|")
    print("|---|---|" + "---|" * len(options.extra))
    for system in options.system:
        for python in options.python:
            lacks = [missing(extra, python, SYSTEMS.get(system, system)) for extra in options.extra]
            print(
                f"| {system} | {python} |", " | ".join(f"no {each}" if each else "✓" for each in lacks), "|", flush=True
            )


if __name__ == "__main__":
    main()
