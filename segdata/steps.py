"""Run one step over the samples of a data set: journal, resume, outcomes, and the new metadata at the end.

A step keeps a journal of finished rows beside metadata.jsonl while it runs. A run that was killed finds in it what is
already done; so does a later run in the rows themselves, where each step leaves a fingerprint of what it worked from.
Metadata and outcomes are put in place in one move when every sample has been seen, in the order of the input, so that
the result is the same however often the run was interrupted and whichever engine ran it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from segdata.dataset import METADATA, OUTCOMES, Row
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError, SegdataError
from segdata.files import fingerprint, has_content, held, make_folder, storage_error
from segdata.journal import Done, Journal, Report, Task, journal_name
from segdata.remote_records import RemoteRecords
from segdata.sample import Outcome, encode
from segdata.shards import WriteShard, remove_shards_from
from segdata.storage import is_url, join_path

FINGERPRINTS = "fingerprints"


class Result(NamedTuple):
    """The row of a processed sample, whether it was made now or found to be up to date, and a word to be counted."""

    row: Row
    fresh: bool
    note: str = ""


class Work(Protocol):
    """The work on one sample, picklable.

    `previous` is the row that an earlier run of the step left, if any; in place, it is at least the row as it stands.
    Raises `SampleError` for a sample that cannot be processed and `SkipError` for one that is left out as asked.
    """

    def __call__(self, key: str, payload: Any, previous: Row | None) -> Result:
        """Process one sample."""
        ...


class BatchWork(Protocol):
    """The work on several samples at once, picklable; each is the key, payload and previous row that `Work` takes.

    Gives for each in turn what `Work` returns, or the exception that it raises.
    """

    def __call__(self, samples: list[tuple[str, Any, Row | None]]) -> list[Result | Exception]:
        """Process the samples."""
        ...


class SkipError(SampleError):
    """The sample is left out because the user asked for it."""


class Progress(Protocol):
    """Hears of each sample that is finished."""

    def begin(self, step: str, total: int | None) -> None:
        """A step of `total` samples starts; None where the number is not known."""
        ...

    def advance(self) -> None:
        """One more sample is finished."""
        ...


def unchanged(previous: Row | None, step: str, mark: str, root: str, columns: Iterable[str]) -> bool:
    """Tell whether an earlier run left this result: the same fingerprint, and the files of `columns` in place."""
    if previous is None or (previous.get(FINGERPRINTS) or {}).get(step) != mark:
        return False
    return all(has_content(join_path(root, previous[column])) for column in columns if previous.get(column))


def updated(previous: Row | None, step: str, mark: str, columns: Row) -> Row:
    """Give a row with new columns, keeping those that other steps or people added."""
    old = previous or {}
    marks = {**(old.get(FINGERPRINTS) or {}), step: mark}
    return {**old, **columns, FINGERPRINTS: marks}


def mark_of(settings: msgspec.Struct, *inputs: bytes) -> str:
    """Give the fingerprint of what a sample's output is made from: the settings and the bytes that go in."""
    return fingerprint(encode(settings), *inputs)


class _Worker(msgspec.Struct, frozen=True):
    """Wraps the work so that rows travel as bytes, and a sample's error as its outcome."""

    step: str
    work: Work

    def __call__(self, task: Task | Outcome) -> Done | Outcome:
        if isinstance(task, Outcome):
            return task
        return _end_of(task.key, self.step, _attempt(self.work, *_sample_of(task)))


class _BatchWorker(msgspec.Struct, frozen=True):
    """Wraps work on several samples in the same way."""

    step: str
    work: BatchWork

    def __call__(self, tasks: list[Task | Outcome]) -> list[Done | Outcome]:
        begun = [task for task in tasks if isinstance(task, Task)]
        results = iter(self.work([_sample_of(task) for task in begun]))
        return [task if isinstance(task, Outcome) else _end_of(task.key, self.step, next(results)) for task in tasks]


def _sample_of(task: Task) -> tuple[str, Any, Row | None]:
    return task.key, task.payload, None if task.previous is None else msgspec.json.decode(task.previous)


def _end_of(key: str, step: str, result: Result | Exception) -> Done | Outcome:
    """Give what goes home; an error that is not this sample's alone is raised."""
    if isinstance(result, Result):
        return Done(encode(result.row), result.fresh, result.note)
    if isinstance(result, SampleError):
        status = "skipped" if isinstance(result, SkipError) else "failed"
        return Outcome(key, step, status, result.code, str(result))
    if isinstance(result, SegdataError):
        raise result
    logging.getLogger("segdata").debug("%s failed on %s", step, key, exc_info=result)
    return Outcome(key, step, "failed", "internal-error", f"{key}: {type(result).__name__}: {result}")


def run_step(
    step: str,
    out: Path,
    work: Work | BatchWork,
    samples: Iterable[tuple[str, Any] | Outcome],
    *,
    batch: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    total: int | None = None,
    in_place: bool = False,
    records: Path | None = None,
    shards: int | None = None,
) -> Report:
    """Process samples and put the new metadata.jsonl and outcomes.jsonl in place.

    `samples` yields (key, payload) or, for what cannot even be begun, an `Outcome`. With `in_place` they are the
    samples of the data set at `out`, and the row of one that fails stays as it is; otherwise samples that this step
    once added to the data set and that are no longer among them are removed from it, with their files. With `batch`,
    `work` is a `BatchWork` and gets so many samples at once. `records` is the folder of metadata.jsonl and
    outcomes.jsonl where `out`, which the rows' files lie in, is no data set. With `shards` the files are put in so many
    archives, each the work of one task; `work` then has a member `out`, and `total` tells how many samples there are.

    Raises `InputError` when `out` is no folder, when another command is changing it, and without `in_place` when it
    holds something that this step has not begun; `StorageError` when the place takes no more.
    """
    chosen: Engine = engine or Inline()
    home = records or out
    if shards is not None and shards < 1:
        raise InputError(f"{shards} shards hold nothing", "ask for 1 or more")
    if str(out).startswith("memory:") and not isinstance(chosen, Inline):
        raise InputError(f"{out} is in the memory of one process alone", "use the engine inline")
    with ExitStack() as stack:
        try:
            _make_folder(out)
            _make_folder(home)
            stack.enter_context(held(out))
            remote = RemoteRecords(home, (METADATA, OUTCOMES), journal_name(step)) if is_url(home) else None
            journal = Journal(step, out, stack.enter_context(remote) if remote else home, in_place=in_place)
            stack.enter_context(journal)
            if remote is not None:
                remote.begin()
        except OSError as error:
            raise storage_error(out, error) from error
        folder = f"{step}-shards" if in_place else "shards"
        if shards is None:
            results = _map(chosen, step, work, journal.tasks(samples), batch)
        else:
            write = WriteShard(work, str(out), folder, batch, whole=not in_place)
            results = _map_shards(chosen, step, write, _dealt(journal.tasks(samples), shards, total or 0))
        stack.enter_context(closing(results))
        if progress is not None:
            progress.begin(step, total)
        _take_in(results, journal, remote, progress)
        journal.interrupted |= chosen.lost_workers
        report = journal.finish(home)
        if shards is not None:
            remove_shards_from(out, folder, shards)
        if remote is not None:
            remote.finish()
        return report


def _take_in(
    results: Iterable[Done | Outcome | Lost[Any]],
    journal: Journal,
    remote: RemoteRecords | None,
    progress: Progress | None,
) -> None:
    try:
        for result in results:
            journal.add(result)
            if remote is not None:
                remote.keep(journal.flushed())
            if progress is not None:
                progress.advance()
    except BaseException:
        if remote is not None:
            with suppress(SegdataError):  # what went wrong first is told
                remote.keep(journal.flushed(), at_once=True)
        raise


class _Shard(NamedTuple):
    """The samples of one archive."""

    number: int
    tasks: list[Task | Outcome]


class _ShardWorker(msgspec.Struct, frozen=True):
    """Wraps work on the samples of a shard in the same way."""

    step: str
    write: WriteShard

    def __call__(self, shard: _Shard) -> list[Done | Outcome]:
        begun = [_sample_of(task) for task in shard.tasks if isinstance(task, Task)]
        results = iter(self.write(shard.number, begun, _attempt))
        return [
            task if isinstance(task, Outcome) else _end_of(task.key, self.step, next(results)) for task in shard.tasks
        ]


def _attempt(work: Work, *sample: Any) -> Result | Exception:
    try:
        return work(*sample)
    except Exception as error:  # noqa: BLE001 - told apart by `_end_of`
        return error


def _dealt(tasks: Iterator[Task | Outcome], shards: int, total: int) -> Iterator[_Shard]:
    size = max(1, -(-total // shards))
    for number in range(shards):
        last = number == shards - 1  # it takes what nobody had counted
        if found := list(tasks if last else islice(tasks, size)):
            yield _Shard(number, found)


def _map(
    engine: Engine, step: str, work: Any, tasks: Iterator[Task | Outcome], batch: int | None
) -> Generator[Done | Outcome | Lost[Any], None, None]:
    if batch is None:
        worker: Callable[[Task | Outcome], Done | Outcome] = _Worker(step, work)
        return engine.map(worker, tasks)
    batch_worker: Callable[[list[Task | Outcome]], list[Done | Outcome]] = _BatchWorker(step, work)
    return _one_by_one(engine.map(batch_worker, iter(lambda: list(islice(tasks, batch)), [])))


def _map_shards(
    engine: Engine, step: str, write: WriteShard, shards: Iterator[_Shard]
) -> Generator[Done | Outcome | Lost[Any], None, None]:
    worker: Callable[[_Shard], list[Done | Outcome]] = _ShardWorker(step, write)
    return _one_by_one(engine.for_large_tasks().map(worker, shards))


def _one_by_one(
    batches: Generator[list[Done | Outcome] | Lost[Any], None, None],
) -> Generator[Done | Outcome | Lost[Any], None, None]:
    with closing(batches):
        for results in batches:
            if isinstance(results, Lost):
                yield from map(Lost, results.task.tasks if isinstance(results.task, _Shard) else results.task)
            else:
                yield from results


def _make_folder(out: Path) -> None:
    try:
        make_folder(out)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{out} cannot be made, for a file has that name", "choose another folder") from error
