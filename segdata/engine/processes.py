"""The engine that runs batches of tasks in a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from segdata.engine.base import Lost, R, T
from segdata.engine.worker import become_worker
from segdata.errors import InputError

_Result = TypeVar("_Result")

_BATCH = 16
_BATCHES_A_WORKER = 3
_PATIENCE = 5.0
_TRIES_ALONE = 2  # whoever kills workers from outside may hit one that is innocent


class Processes:
    """Run tasks in `workers` processes, started afresh (spawn), so that it works alike on every system.

    At most 48 tasks a worker are in flight, so memory does not depend on how many there are. A worker that dies
    (killed, out of memory) is replaced and its tasks are run again, each alone; the one that ends a worker alone, and
    once more when it is tried again, comes back as `Lost`, and the rest goes on. Workers end when the process that
    started them is gone. For one worker, or fewer than 16 tasks, no process is started.

    Scripts that use this guard their entry with ``if __name__ == "__main__":``, as multiprocessing asks.
    Raises `InputError` for fewer than one worker, or when no worker can be started.
    """

    lost_workers = False  # whoever does its task again replaces what it had begun

    def __init__(self, workers: int | None = None) -> None:
        self.workers = _cores() if workers is None else workers
        self._batch = _BATCH
        if self.workers < 1:
            raise InputError(f"{self.workers} workers cannot do anything", "ask for one or more")

    def for_large_tasks(self) -> Processes:
        """Give an engine that hands out one task at a time, and starts processes for as few as two."""
        engine = Processes(self.workers)
        engine._batch = 1
        return engine

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R | Lost[T], None, None]:
        """Yield the result of each task in the order of the tasks."""
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            sys.exit(1)  # a worker that runs an unguarded script again: the process that started it says so
        return self._map(function, tasks)

    def _map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R | Lost[T], None, None]:
        remaining = iter(tasks)
        first = list(islice(remaining, self._batch))
        if len(first) < self._batch or self.workers == 1:
            yield from map(function, first)
            yield from map(function, remaining)
            return
        with _Pool(self.workers, function) as pool:
            waiting = deque([(first, pool.submit(first))])
            while waiting:
                while len(waiting) < self.workers * _BATCHES_A_WORKER and (
                    batch := list(islice(remaining, self._batch))
                ):
                    waiting.append((batch, pool.submit(batch)))
                batch, future = waiting.popleft()
                try:
                    yield from pool.result(future)
                except BrokenProcessPool:
                    yield from pool.run_alone(batch)
                    waiting = deque((batch, _rerun(pool, batch, future)) for batch, future in waiting)


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rerun(pool: _Pool[T, R], batch: list[T], future: Future[list[R]]) -> Future[list[R]]:
    """Submit a batch again unless it was done before its pool broke."""
    return future if future.done() and future.exception() is None else pool.submit(batch)


class _Pool(Generic[T, R]):
    """A process pool that is started again after it broke."""

    def __init__(self, workers: int, function: Callable[[T], R]) -> None:
        self.workers = workers
        self.function = function
        self.worked = False
        self.executor = self._start(workers)

    def _start(self, size: int) -> ProcessPoolExecutor:
        self.size = size
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(size, context, initializer=_prepare_worker)
        with _interrupts_later(), suppress(BrokenProcessPool):
            for _ in range(size):  # all of them now: a pool of Python 3.11 stumbles if it grows while a worker dies
                executor.submit(os.getpid)
        return executor

    def __enter__(self) -> _Pool[T, R]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.executor.shutdown()
            return
        processes = list((self.executor._processes or {}).values())
        manager: Any = self.executor._executor_manager_thread
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:  # do not wait for what nobody will collect
            process.terminate()
        if manager is not None:  # an interpreter that ends before this thread does would stumble over it
            manager.join(_PATIENCE)

    def submit(self, batch: list[T]) -> Future[list[R]]:
        try:
            return self.executor.submit(_run_batch, self.function, batch)
        except BrokenProcessPool:
            self._restart(self.size)
        try:
            return self.executor.submit(_run_batch, self.function, batch)
        except BrokenProcessPool as error:
            future: Future[list[R]] = Future()
            future.set_exception(error)
            return future

    def _restart(self, size: int) -> None:
        self.executor.shutdown(wait=False)
        self.executor = self._start(size)

    def result(self, future: Future[_Result]) -> _Result:
        """Wait for a result, but not for one that the pool lost track of while it broke."""
        while True:
            try:
                return future.result(_PATIENCE)
            except TimeoutError:
                if future.done():
                    raise
                if self.executor._broken:
                    raise BrokenProcessPool from None

    def run_alone(self, batch: list[T]) -> Iterator[R | Lost[T]]:
        """Run the tasks of a batch one at a time with nothing else in flight, to tell which of them is fatal."""
        self._restart(1)
        for task in batch:
            yield self._run_one(task)
        self._restart(self.workers)

    def _run_one(self, task: T) -> R | Lost[T]:
        for _ in range(_TRIES_ALONE):
            try:
                [result] = self.result(self.submit([task]))
            except BrokenProcessPool as error:
                if not self.worked and not self._can_work():
                    raise InputError(
                        "worker processes end as soon as they start",
                        'in a script, put the call under if __name__ == "__main__":, or use one worker',
                    ) from error
            else:
                self.worked = True
                return result
        return Lost(task)

    def _can_work(self) -> bool:
        self._restart(1)
        try:
            self.result(self.executor.submit(os.getpid))
        except BrokenProcessPool:
            return False
        self.worked = True
        return True


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: a worker started meanwhile inherits that, and does not die of it while it starts.

    Systems without signal masks do without.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_batch(function: Callable[[T], R], batch: list[T]) -> list[R]:
    return [function(task) for task in batch]


def _prepare_worker() -> None:
    become_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when its parent is gone, even if the parent was killed."""
    wait([sentinel])
    os._exit(1)
