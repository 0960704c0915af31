"""What a process becomes that works for another one, whichever engine started it."""

from __future__ import annotations

import multiprocessing
import uuid

_works = False
_mark = ""


def become_worker(*, beside_others: bool = False) -> None:
    """Let OpenCV use one thread in this process: the workers fill the cores.

    With `beside_others`, another worker may be given the same task while this one is still at it.
    """
    import cv2  # noqa: PLC0415 - this module is imported where no picture is read

    global _works, _mark  # noqa: PLW0603 - a process is a worker or is none
    if not _works:
        cv2.setNumThreads(1)
        _works = True
    if beside_others and not _mark:
        _mark = f".{uuid.uuid4().hex[:8]}"


def mark_of_writer() -> str:
    """Give what goes into the names of files that are not finished, so that no other worker writes to the same."""
    return _mark


def is_worker() -> bool:
    """Tell whether this process is one of several that share the cores."""
    return _works or multiprocessing.parent_process() is not None
