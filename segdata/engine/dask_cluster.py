"""The engine that runs batches of tasks on the workers of a Dask cluster."""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice, takewhile
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic
from uuid import uuid4

from segdata.engine.base import Lost, R, T
from segdata.engine.dask_worker import Done, end, keep, run_alone, run_batch
from segdata.errors import InputError, SegdataError

if TYPE_CHECKING:
    from distributed import Client, Future

_SECONDS_A_BATCH = 1.0
_LARGEST_BATCH = 512
_BATCHES_A_WORKER = 2  # one at work and one that waits there, so that no worker waits for us
_HELD_A_WORKER = 16  # batches in flight, and done ones that wait for an earlier one
_LATE = 5.0  # seconds after which a batch is behind a straggler, where the scheduler may leave it
_COUNT_WORKERS_EVERY = 2.0
_SECONDS_TO_ANSWER = 10.0
_SECONDS_WITHOUT_SCHEDULER = 300.0
_SECONDS_TO_END = 10.0
_LOSSES_IN_A_ROW = 5
_DEATHS_OF_INNOCENTS = 3


class DaskCluster:
    """Run tasks on the workers of the Dask cluster whose scheduler is at an address such as ``tcp://host:8786``.

    Tasks travel in batches of about a second of work. Twice as many batches as there are workers are in flight, beside
    those that are late, and up to eight times that are held while the results of an earlier one are awaited, so memory
    does not depend on how many tasks there are. The batches of a worker that dies are run again; a batch that ends each
    worker it is given to (as often as the scheduler's setting allowed-failures says) is taken apart, and the task that
    ends its worker alone, and twice more when it is tried again, comes back as `Lost`. Where the scheduler is gone for
    up to five minutes, what was in flight is handed to the one that comes back.

    The function and its tasks are importable on the workers, which see the same files; relative paths are those of the
    calling process. One batch at a time runs in a worker's process, however
    many threads it has: start workers with one.

    Raises `InputError` where no scheduler answers, where it or a worker has another version of segdata, or none, and
    where distributed is not installed.
    """

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        self.lost_workers = False
        client = connect(scheduler)
        try:
            _require_same_version(client)
        finally:
            client.close()

    def for_large_tasks(self) -> DaskCluster:
        """Give this one, which finds by the clock how many tasks go into a batch."""
        return self

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R | Lost[T], None, None]:
        """Yield the result of each task in the order of the tasks.

        Raises `SegdataError` where the scheduler does not come back.
        """
        run: _Run[T, R] = _Run(self.scheduler, function)
        try:
            yield from run.results(iter(tasks))
        finally:
            self.lost_workers |= run.lost_workers
            run.end()


def connect(scheduler: str) -> Client:
    """Connect to a scheduler. Raises `InputError` where none answers, and where distributed is not installed."""
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, and takes a second
        from distributed.comm import get_address_host_port, normalize_address  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"distributed", "dask"}:
            raise
        raise InputError(f"the dask engine needs {error.name}", "pip install 'segdata[cluster]'") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it shows tracebacks of what is done again here
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        get_address_host_port(normalize_address(scheduler))
    except ValueError as error:
        raise InputError(f"{scheduler!r} is not the address of a scheduler", "give one like tcp://host:8786") from error
    try:
        return Client(scheduler, timeout=_SECONDS_TO_ANSWER, set_as_default=False, name="segdata")
    except (OSError, ImportError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler}", "check the address, or start one: dask scheduler"
        ) from error


def _require_same_version(client: Client) -> None:
    """Refuse a cluster that would fail at each batch, or do it as another version does."""
    ours = version("segdata")
    found = {f"the worker {name}": theirs for name, theirs in client.run(version, "segdata", on_error="return").items()}
    try:
        found["the scheduler"] = client.run_on_scheduler(version, "segdata")
    except PackageNotFoundError as error:
        found["the scheduler"] = error
    for name, theirs in found.items():
        if isinstance(theirs, PackageNotFoundError):
            raise InputError(f"{name} has no segdata", f"install version {ours} there")
        if isinstance(theirs, str) and theirs != ours:
            raise InputError(f"{name} has segdata {theirs}, and this is {ours}", "install one version on all")


class _Batch(Generic[T, R]):
    """Tasks that travel together, and what became of them; a suspect, a batch of one, has a name."""

    def __init__(self, tasks: list[T], name: str = "") -> None:
        self.tasks = tasks
        self.name = name
        self.deaths = 0
        self.given_out = 0.0
        self.results: list[R | Lost[T]] | BaseException | None = None


class _Run(Generic[T, R]):
    """One function over its tasks: `held` are the batches not yet given home, in order, `in_flight` those given out."""

    def __init__(self, scheduler: str, function: Callable[[T], R]) -> None:
        self.client = connect(scheduler)
        import cloudpickle  # noqa: PLC0415 - comes with distributed

        self.scheduler = scheduler
        self.work = cloudpickle.dumps((str(Path.cwd()), function))
        self.name = uuid4().hex
        self.suspects = count()
        self.size = 1
        self.failed = False
        self.lost_workers = False
        self.losses = 0
        self.held: deque[_Batch[T, R]] = deque()
        self.in_flight: dict[Future[Any], _Batch[T, R]] = {}
        self._share_work()
        self.workers = -1
        self.addresses: frozenset[str] = frozenset()
        self._count_workers()

    def results(self, tasks: Iterator[T]) -> Iterator[R | Lost[T]]:
        while True:
            self._hand_out(tasks)
            if not self.held:
                with suppress(Exception):  # all is done, whatever becomes of the cluster now
                    self.lost_workers |= not self.addresses <= frozenset(self.client.nthreads())
                return
            results = self.held[0].results
            if results is None:
                self._collect(wait=True)
                continue
            self.held.popleft()
            if isinstance(results, BaseException):
                raise results
            yield from results
            self._collect(wait=False)

    def end(self) -> None:
        """Leave no work behind: nothing more begins, and what a worker is at ends with its task."""

        def tidy() -> None:
            with suppress(Exception):  # a cluster that is gone
                if self.in_flight:
                    self.client.cancel(list(self.in_flight), force=True)
                    self.client.run(end, self.name, _SECONDS_TO_END)
            self.client.close(timeout=_SECONDS_TO_ANSWER)

        thread = Thread(target=tidy, daemon=True)
        thread.start()
        thread.join(2 * _SECONDS_TO_END)

    def _hand_out(self, tasks: Iterator[T]) -> None:
        now = time.monotonic()
        if now - self.counted > _COUNT_WORKERS_EVERY:
            self._count_workers()
        workers = self.workers or 1  # some clusters start workers when there is work
        late = sum(1 for _ in takewhile(lambda batch: now - batch.given_out > _LATE, self.in_flight.values()))
        while (
            not self.failed
            and len(self.in_flight) - late < workers * _BATCHES_A_WORKER
            and len(self.held) < workers * _HELD_A_WORKER
            and (batch := list(islice(tasks, self.size)))
        ):
            self.held.append(_Batch(batch))
            self._submit(self.held[-1])

    def _submit(self, batch: _Batch[T, R]) -> None:
        arguments = (self.shared, self.name, pickle.dumps(batch.tasks))
        if batch.name:
            future = self.client.submit(run_alone, *arguments, batch.name, pure=False)
        else:
            future = self.client.submit(run_batch, *arguments, pure=False)
        batch.given_out = time.monotonic()
        self.in_flight[future] = batch
        future.add_done_callback(self.ended.put)

    def _collect(self, *, wait: bool) -> None:
        """Take in what has ended; with `wait` there is something, or a little while has passed."""
        futures = list(_ready(self.ended, _COUNT_WORKERS_EVERY if wait else 0))
        if not futures:
            return
        try:
            if any(future.cancelled() for future in futures):
                raise ConnectionError
            errors = {future: future.exception() for future in futures if future.status == "error"}
            done = [future for future in futures if future not in errors]
            results = self.client.gather(done)
        except Exception:  # noqa: BLE001 - whatever it is, it is the cluster's: what the function raises is in `errors`
            self._start_again()
            return
        for future, result in zip(done, results, strict=True):
            self._take(self.in_flight.pop(future), result)
        for future, error in errors.items():
            self._take_error(self.in_flight.pop(future), error)

    def _take(self, batch: _Batch[T, R], done: Done) -> None:
        self.losses = 0
        if done.results is None:
            batch.results = [Lost(batch.tasks[0])]
            return
        batch.results = pickle.loads(done.results)  # noqa: S301 - our own
        if done.seconds < _SECONDS_A_BATCH / 2 and len(batch.tasks) >= self.size:
            self.size = min(2 * self.size, _LARGEST_BATCH)
        elif done.seconds > 2 * _SECONDS_A_BATCH and len(batch.tasks) <= self.size:
            self.size = max(self.size // 2, 1)
        batch.tasks = []  # results that wait for earlier ones are held alone

    def _take_error(self, batch: _Batch[T, R], error: BaseException) -> None:
        from distributed import KilledWorker  # noqa: PLC0415 - of an extra

        if not isinstance(error, KilledWorker):
            batch.results = error
            self.failed = True
        elif not batch.name:
            self._take_apart(batch)
        elif batch.deaths < _DEATHS_OF_INNOCENTS:  # beside others: what it is to blame for is counted where it runs
            batch.deaths += 1
            self._submit(batch)
        else:
            batch.results = SegdataError(
                f"workers of the Dask cluster at {self.scheduler} end before they begin their work",
                "see their logs; segdata engine check compares them",
            )
            self.failed = True

    def _take_apart(self, batch: _Batch[T, R]) -> None:
        place = self.held.index(batch)
        del self.held[place]
        for task in reversed(batch.tasks):
            suspect: _Batch[T, R] = _Batch([task], f"{self.name}-{next(self.suspects)}")
            self.held.insert(place, suspect)
            self._submit(suspect)

    def _count_workers(self) -> None:
        self.counted = time.monotonic()
        try:
            addresses = frozenset(self.client.nthreads())
        except Exception:  # noqa: BLE001 - a connection breaks in many ways
            self._start_again()
            return
        if not addresses and self.workers:
            _log().warning("no worker is with the Dask scheduler at %s: waiting for one", self.scheduler)
        self.lost_workers |= not self.addresses <= addresses
        self.addresses, self.workers = addresses, len(addresses)

    def _share_work(self) -> None:
        import dask  # noqa: PLC0415 - of an extra

        self.ended: SimpleQueue[Future[Any]] = SimpleQueue()
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):  # sent this once
            self.shared = self.client.submit(keep, self.work, pure=False)

    def _start_again(self) -> None:
        """Hand what is in flight to the scheduler that comes back."""
        self.losses += 1
        if self.losses > _LOSSES_IN_A_ROW:
            raise SegdataError(
                f"the Dask cluster at {self.scheduler} lost what it was given {self.losses} times in a row",
                "see the logs of its scheduler and workers, and run the same command again to go on",
            )
        _log().warning("lost the Dask scheduler at %s: handing out again what was in flight", self.scheduler)
        self._reconnect()
        self._share_work()
        batches = list(self.in_flight.values())
        self.in_flight.clear()
        for batch in batches:
            self._submit(batch)

    def _reconnect(self) -> None:
        """Wait for the client, which tries for a moment by itself and then closes, or have a new one."""
        last = time.monotonic() + _SECONDS_WITHOUT_SCHEDULER
        while self.client.status != "running":
            if self.client.status == "closed":
                with suppress(InputError):
                    self.client = connect(self.scheduler)
            if time.monotonic() > last:
                raise SegdataError(
                    f"the Dask scheduler at {self.scheduler} has not come back for "
                    f"{_SECONDS_WITHOUT_SCHEDULER / 60:.0f} minutes",
                    "start it, and run the same command again to go on",
                )
            time.sleep(0.1)


def _ready(queue: SimpleQueue[Future[Any]], patience: float) -> Iterator[Future[Any]]:
    """Take all there is out of a queue, waiting for the first."""
    with suppress(Empty):
        yield queue.get(timeout=patience) if patience else queue.get_nowait()
        while True:
            yield queue.get_nowait()


def _log() -> logging.Logger:
    return logging.getLogger("segdata")
