"""What a process becomes that works for another one, whichever engine started it."""

from __future__ import annotations

import multiprocessing

_works = False


def become_worker() -> None:
    """Let OpenCV use one thread in this process: the workers fill the cores."""
    import cv2  # noqa: PLC0415 - this module is imported where no picture is read

    global _works  # noqa: PLW0603 - a process is a worker or is none
    if not _works:
        cv2.setNumThreads(1)
        _works = True


def is_worker() -> bool:
    """Tell whether this process is one of several that share the cores."""
    return _works or multiprocessing.parent_process() is not None
