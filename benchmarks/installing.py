"""How long it takes from nothing to the first mask, and how large each extra is: fresh environments, pip's cache off.

Prints, for each Python that is named, the seconds for an environment with segdata in it, for the first mask after
that, whether the source distribution installs too, and the size on disk; then what each extra adds to the first one's.
Packages come from the index that pip is configured for, at its speed.

Usage: python benchmarks/installing.py [--python python3.11 python3.13] [--extra report detect]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PHOTO = "import cv2, skimage.data; cv2.imwrite('photos/a.png', skimage.data.astronaut()[..., ::-1])"


def clock(function: Callable[[], object]) -> str:
    """Time one call: its seconds, and those that the processor worked on it, which another load does not lengthen."""
    started, before = time.perf_counter(), os.times()
    function()
    seconds, after = time.perf_counter() - started, os.times()
    worked = sum(after[place] - before[place] for place in range(4))
    return f"{seconds:.1f} s ({worked:.1f} s of processor time)"


def run(*command: object, folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(map(str, command), cwd=folder, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def megabytes(folder: Path) -> float:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir()) / 1e6


class Environment:
    """A fresh environment in a folder of its own, thrown away in the end."""

    def __init__(self, python: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="installing-"))
        (self.folder / "photos").mkdir()
        run(python, "-m", "venv", ".venv", folder=self.folder)
        self.programs = self.folder / ".venv" / ("Scripts" if os.name == "nt" else "bin")

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def install(self, *what: object) -> None:
        run(self.programs / "python", "-m", "pip", "install", "-q", "--no-cache-dir", *what, folder=self.folder)

    def python(self, code: str) -> None:
        run(self.programs / "python", "-c", code, folder=self.folder)

    def segdata(self, *arguments: object) -> None:
        run(self.programs / "segdata", *arguments, folder=self.folder)

    @property
    def size(self) -> float:
        return megabytes(self.folder / ".venv")


def from_nothing(python: str, source: Path) -> float:
    made: list[Environment] = []

    def install() -> None:
        made.append(Environment(python))
        made[0].install(ROOT)

    seconds = clock(install)
    with made[0] as environment:
        size = environment.size
        environment.python(_PHOTO)
        first = clock(lambda: environment.segdata("annotate", "photos", "--out", "preds"))
        if not (environment.folder / "preds" / "masks" / "a.png").exists():
            sys.exit("there is no mask")
        environment.segdata("doctor")
        run(environment.programs / "python", "-m", "pip", "uninstall", "-qy", "segdata", folder=environment.folder)
        environment.install("--no-deps", source)
        environment.segdata("demo", "first-steps")
    print(f"{python}: installed in {seconds}, first mask {first} later, {size:.0f} MB; its sdist works too", flush=True)
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to make environments of")
    parser.add_argument("--extra", nargs="*", default=["review", "report", "cluster", "formats", "detect"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with Environment(options.python[0]) as environment:
            environment.install("build")
            run(environment.programs / "python", "-m", "build", "-q", "--sdist", "-o", folder, ROOT, folder=ROOT)
        (source,) = Path(folder).glob("*.tar.gz")
        print(f"sdist {source.stat().st_size / 1e6:.1f} MB")
        sizes = [from_nothing(python, source) for python in options.python]
    for extra in options.extra:
        with Environment(options.python[0]) as environment:
            environment.install(f"{ROOT}[{extra}]")
            print(f"{extra}: {environment.size - sizes[0]:.0f} MB more")


if __name__ == "__main__":
    main()
