"""What a worker of a Dask cluster does for `DaskCluster`: functions that are sent to it by name.

Functions and tasks travel as bytes, so that the scheduler, which they pass through, need not know what is in them.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from segdata.engine.worker import become_worker
from segdata.errors import InputError

_Work: TypeAlias = tuple[str, Callable[[Any], Any]]

TRIES_ALONE = 3  # whoever kills workers from outside may hit one that is innocent


class Done(NamedTuple):
    """The pickled results of a batch, and how many seconds they took; no results: it ended its worker each time."""

    seconds: float
    results: bytes | None


class _State:
    """What this process knows of runs: the work of the latest, the one at work, and those that were ended."""

    work: tuple[str, _Work] | None = None
    at_work: str | None = None
    ended: set[str] = set()  # noqa: RUF012 - one for the process


_alone = threading.Lock()
"""Held by the batch at work: functions expect a process to themselves, whatever the threads of the worker."""


def keep(data: bytes) -> bytes:
    """Give `data`. As the result of a task it reaches each worker once, and is made again where its holder is lost."""
    return data


def run_batch(work: bytes, run: str, tasks: bytes) -> Done:
    """Run the tasks of a batch in the folder that their paths are of; `work` is that folder and the function, pickled.

    Where nobody waits for the results any more, for the run was ended or this worker lost its scheduler, the rest of
    the tasks is left to whoever has been given them since.
    """
    from distributed import Reschedule, Status, get_worker  # noqa: PLC0415 - of an extra

    worker = get_worker()
    results = []
    with _alone:
        become_worker(beside_others=True)
        folder, function = _work(work, run)
        with suppress(OSError):  # a worker may lack it where all is addressed in full
            os.chdir(folder)
        _State.at_work = run
        try:
            started = time.perf_counter()
            for task in pickle.loads(tasks):  # noqa: S301 - our own
                if run in _State.ended or worker.status in (Status.closing, Status.closed):
                    raise Reschedule
                results.append(function(task))
            return Done(time.perf_counter() - started, pickle.dumps(results))
        finally:
            _State.at_work = None


def run_alone(work: bytes, run: str, tasks: bytes, name: str) -> Done:
    """Run a batch of one task that may be the end of this worker, unless it has been that of others.

    The scheduler keeps how often the task was begun and did not end; `name` is what it is called there.
    """
    from distributed import get_worker  # noqa: PLC0415 - of an extra
    from distributed.utils import sync  # noqa: PLC0415

    worker: Any = get_worker()
    begun = sync(worker.loop, worker.scheduler.get_metadata, keys=[name], default=0)
    if begun >= TRIES_ALONE:
        return Done(0.0, None)
    sync(worker.loop, worker.scheduler.set_metadata, keys=[name], value=begun + 1)
    try:
        return run_batch(work, run, tasks)
    finally:
        sync(worker.loop, worker.scheduler.set_metadata, keys=[name], value=0)


async def end(run: str, patience: float) -> None:
    """Begin no further task of a run, and wait up to `patience` seconds for the one at work."""
    _State.ended.add(run)
    last = time.monotonic() + patience
    while _State.at_work == run and time.monotonic() < last:
        await asyncio.sleep(0.01)


def _work(data: bytes, run: str) -> _Work:
    if _State.work is None or _State.work[0] != run:
        try:
            _State.work = (run, pickle.loads(data))  # noqa: S301 - our own
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"a worker of the cluster cannot load the work ({error})",
                "install the same on all of them; segdata engine check compares them",
            ) from error
    return _State.work[1]
