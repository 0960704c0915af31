"""What tests of whole runs share: a small COCO file of real photos, the `segdata` command, the bytes of a folder."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEGDATA = str(Path(sys.executable).with_name("segdata"))
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


def coco_subset(shared_data: Path, path: Path, count: int) -> Path:
    """Write a COCO file of the first `count` photos, crowds and people included."""
    whole = json.loads((shared_data / "coco" / "instances.json").read_bytes())
    whole["images"] = whole["images"][:count]
    ids = {image["id"] for image in whole["images"]}
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    path.write_text(json.dumps(whole))
    return path


def segdata(*arguments: object, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    command = [SEGDATA, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=ENV, check=False, **options)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the installed command in a process group of its own."""
    return subprocess.Popen(
        [SEGDATA, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        start_new_session=True,
    )


def kill_after(seconds: float, *arguments: object) -> bool:
    """Start the command and kill it without a chance to tidy up; tell whether it was still at work."""
    process = start(*arguments)
    with process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL


def tree(folder: Path) -> dict[str, str]:
    """Give the hash of every file in a folder, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    """Give the time of last change of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """Read a .jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Give the ids of the running processes that a process started (Linux)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
