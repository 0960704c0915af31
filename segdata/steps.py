"""Run one step over the samples of a data set: journal, resume, outcomes, and the new metadata at the end.

A step keeps a journal of finished rows beside metadata.jsonl while it runs. A run that was killed finds in it what is
already done; so does a later run in the rows themselves, where each step leaves a fingerprint of what it worked from.
Metadata and outcomes are put in place in one move when every sample has been seen, in the order of the input, so that
the result is the same however often the run was interrupted and whichever engine ran it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from segdata.dataset import METADATA, OUTCOMES, UNREADABLE, Row, RowIndex, hash_key, write_lines
from segdata.disk_index import Column, Lines
from segdata.engine import Engine, Inline, Lost
from segdata.errors import InputError, SampleError, SegdataError
from segdata.files import fingerprint, has_content, held, make_folder, part_of, remove_file, storage_error
from segdata.remote_records import RemoteRecords
from segdata.sample import Outcome, encode, key_of
from segdata.shards import WriteShard, remove_shards_from
from segdata.storage import files_below, is_url, join_path, names_in, store_of

FINGERPRINTS = "fingerprints"
EXPORTED = "exported_files"  # in the rows of an export: every file of the sample, however it is named
_HEADER = b'{"begun_on":'
_FAILURES_SHOWN = 5


class Report(msgspec.Struct, frozen=True):
    """What a step did: how many samples it processed, found already done, left out as asked, and failed on.

    `outcomes` is the file with a row for each that was left out or failed; `failures` holds the first messages;
    `notes` counts what the step says of its samples, such as crops that were clipped.
    """

    step: str
    out: str
    done: int = 0
    reused: int = 0
    skipped: int = 0
    failed: int = 0
    outcomes: str | None = None
    failures: tuple[str, ...] = ()
    notes: dict[str, int] = {}


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


class _Task(NamedTuple):
    key: str
    payload: Any
    previous: bytes | None


class _Done(NamedTuple):
    row: bytes
    fresh: bool
    note: str


class _Worker(msgspec.Struct, frozen=True):
    """Wraps the work so that rows travel as bytes, and a sample's error as its outcome."""

    step: str
    work: Work

    def __call__(self, task: _Task | Outcome) -> _Done | Outcome:
        if isinstance(task, Outcome):
            return task
        return _end_of(task.key, self.step, _attempt(self.work, *_sample_of(task)))


class _BatchWorker(msgspec.Struct, frozen=True):
    """Wraps work on several samples in the same way."""

    step: str
    work: BatchWork

    def __call__(self, tasks: list[_Task | Outcome]) -> list[_Done | Outcome]:
        begun = [task for task in tasks if isinstance(task, _Task)]
        results = iter(self.work([_sample_of(task) for task in begun]))
        return [task if isinstance(task, Outcome) else _end_of(task.key, self.step, next(results)) for task in tasks]


def _sample_of(task: _Task) -> tuple[str, Any, Row | None]:
    return task.key, task.payload, None if task.previous is None else msgspec.json.decode(task.previous)


def _end_of(key: str, step: str, result: Result | Exception) -> _Done | Outcome:
    """Give what goes home; an error that is not this sample's alone is raised."""
    if isinstance(result, Result):
        return _Done(encode(result.row), result.fresh, result.note)
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
            remote = RemoteRecords(home, (METADATA, OUTCOMES), _journal_name(step)) if is_url(home) else None
            journal = _Journal(step, out, stack.enter_context(remote) if remote else home, in_place=in_place)
            stack.enter_context(journal)
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
    results: Iterable[_Done | Outcome | Lost[Any]],
    journal: _Journal,
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
    tasks: list[_Task | Outcome]


class _ShardWorker(msgspec.Struct, frozen=True):
    """Wraps work on the samples of a shard in the same way."""

    step: str
    write: WriteShard

    def __call__(self, shard: _Shard) -> list[_Done | Outcome]:
        begun = [_sample_of(task) for task in shard.tasks if isinstance(task, _Task)]
        results = iter(self.write(shard.number, begun, _attempt))
        return [
            task if isinstance(task, Outcome) else _end_of(task.key, self.step, next(results)) for task in shard.tasks
        ]


def _attempt(work: Work, *sample: Any) -> Result | Exception:
    try:
        return work(*sample)
    except Exception as error:  # noqa: BLE001 - told apart by `_end_of`
        return error


def _dealt(tasks: Iterator[_Task | Outcome], shards: int, total: int) -> Iterator[_Shard]:
    size = max(1, -(-total // shards))
    for number in range(shards):
        last = number == shards - 1  # it takes what nobody had counted
        if found := list(tasks if last else islice(tasks, size)):
            yield _Shard(number, found)


def _map(
    engine: Engine, step: str, work: Any, tasks: Iterator[_Task | Outcome], batch: int | None
) -> Generator[_Done | Outcome | Lost[Any], None, None]:
    if batch is None:
        worker: Callable[[_Task | Outcome], _Done | Outcome] = _Worker(step, work)
        return engine.map(worker, tasks)
    batch_worker: Callable[[list[_Task | Outcome]], list[_Done | Outcome]] = _BatchWorker(step, work)
    return _one_by_one(engine.map(batch_worker, iter(lambda: list(islice(tasks, batch)), [])))


def _map_shards(
    engine: Engine, step: str, write: WriteShard, shards: Iterator[_Shard]
) -> Generator[_Done | Outcome | Lost[Any], None, None]:
    worker: Callable[[_Shard], list[_Done | Outcome]] = _ShardWorker(step, write)
    return _one_by_one(engine.for_large_tasks().map(worker, shards))


def _one_by_one(
    batches: Generator[list[_Done | Outcome] | Lost[Any], None, None],
) -> Generator[_Done | Outcome | Lost[Any], None, None]:
    with closing(batches):
        for results in batches:
            if isinstance(results, Lost):
                yield from map(Lost, results.task.tasks if isinstance(results.task, _Shard) else results.task)
            else:
                yield from results


def _journal_name(step: str) -> str:
    return f".{METADATA}.{step}.part"


def _make_folder(out: Path) -> None:
    try:
        make_folder(out)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{out} cannot be made, for a file has that name", "choose another folder") from error


class _InFlight(NamedTuple):
    key: str
    previous: bytes | None = None
    place: int | None = None
    old: bytes | None = None
    old_place: int | None = None


class _Journal:
    """The rows of a run, as they come in.

    `order` holds where each row of the new metadata is found: at an offset of the journal, or, as ~offset, of the
    old metadata. A journal that was begun on other metadata than there is now opens with nothing in it: its rows may
    lack what has been added since.
    """

    def __init__(self, step: str, out: Path, records: Path, *, in_place: bool) -> None:
        self.step, self.out, self.in_place = step, out, in_place
        self.metadata = records / METADATA
        self.outcomes_path = records / OUTCOMES
        self.path = records / _journal_name(step)
        self.order = Column(np.int64)
        self.seen = Column(np.uint64)
        self.in_flight: deque[_InFlight] = deque()
        self.outcomes = Lines()
        self.failures: list[str] = []
        self.superseded = Lines()
        self.done = self.reused = self.failed = 0
        self.notes: Counter[str] = Counter()

    def __enter__(self) -> _Journal:
        self.interrupted = self.path.exists()
        if not self.in_place and not self.interrupted:
            self._refuse_others()
        header = self._header()
        self.file = self.path.open("ab")
        if self._first_line() != header:
            self.file.truncate(0)
        self.old = RowIndex(self.metadata)
        self.left = RowIndex(self.path, torn=True)
        self.file.truncate(self.left.size)
        self.size = self.left.size
        if not self.size:
            self.file.write(header)
            self.size = len(header)
        self.begun_at = self.size
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk; rows that it did not take are made again
            self.file.close()
        self.old.close()
        self.left.close()

    def _header(self) -> bytes:
        if not self.metadata.exists():
            return b""
        with self.metadata.open("rb") as file:
            return _HEADER + encode(hashlib.file_digest(file, "blake2b").hexdigest()) + b"}\n"

    def _first_line(self) -> bytes:
        with self.path.open("rb") as file:
            line = file.readline()
        return line if line.startswith(_HEADER) else b""

    def _refuse_others(self) -> None:
        found = names_in(str(self.out)) if is_url(self.out) else sorted(path.name for path in self.out.iterdir())
        names = [name for name in found if not name.startswith(".")]
        if not names or (self.metadata.is_file() and self._is_ours()):
            return
        raise InputError(
            f"{self.out} holds something else, such as {names[0]}", "choose a folder that is empty or does not exist"
        )

    def _is_ours(self) -> bool:
        """Tell whether the metadata has a row of this step, or none at all."""
        with self.metadata.open("rb") as file:
            rows = (line for line in file if line.strip())
            first = next(rows, None)
            return first is None or self._has_mark(first) or any(map(self._has_mark, rows))

    def _has_mark(self, line: bytes) -> bool:
        with suppress(*UNREADABLE):
            return self.step in (msgspec.json.decode(line, type=_Marked).fingerprints or {})
        return False

    def tasks(self, samples: Iterable[tuple[str, Any] | Outcome]) -> Iterator[_Task | Outcome]:
        for sample in samples:
            if isinstance(sample, Outcome):
                in_old = self.old.find(sample.key) if self.in_place else None
                self.in_flight.append(_InFlight(sample.key, old_place=~in_old[0] if in_old else None))
                yield sample
                continue
            key, payload = sample
            in_old, in_left = self.old.find(key), self.left.find(key)
            old_place, old = (~in_old[0], in_old[1]) if in_old else (None, None)
            place, previous = in_left or (old_place, old)
            self.in_flight.append(_InFlight(key, previous, place, old, old_place))
            yield _Task(key, payload, previous)

    def add(self, result: _Done | Outcome | Lost[Any]) -> None:
        sample = self.in_flight.popleft()
        if isinstance(result, Lost):
            message = f"{sample.key} ended its worker process each time (out of memory?)"
            self.interrupted = True
            result = Outcome(sample.key, self.step, "failed", "worker-died", message)
        if isinstance(result, Outcome):
            self.outcomes.append(encode(result))
            if self.in_place and sample.old_place is not None:
                self.order.append(sample.old_place)
            if result.status == "failed":
                self.seen.append(hash_key(sample.key))
                self.failed += 1
                if len(self.failures) < _FAILURES_SHOWN:
                    self.failures.append(result.message)
            return
        row, fresh, note = result
        if note:
            self.notes[note] += 1
        self.done += fresh
        self.reused += not fresh
        self.seen.append(hash_key(sample.key))
        for earlier in {sample.old, sample.previous}:
            if earlier is not None and earlier != row:
                self._let_go(_own_files(earlier) - _own_files(row))
        if row == sample.previous and sample.place is not None:
            self.order.append(sample.place)
            return
        self.order.append(self.size)
        try:
            self.file.write(row + b"\n")
        except OSError as error:
            raise storage_error(self.path, error) from error
        self.size += len(row) + 1

    def _let_go(self, names: set[str]) -> None:
        for name in names:
            self.superseded.append(encode(name))

    def flushed(self) -> int:
        """Give the size of the journal, all of which is in the file."""
        self.file.flush()
        return self.size

    def finish(self, home: Path) -> Report:
        """Put metadata and outcomes in place; `home` is what people know their folder as."""
        try:
            self.file.close()
            if not self.in_place:
                self._drop_unseen()
            for name in self.superseded:
                remove_file(join_path(self.out, msgspec.json.decode(name)))
            if self.interrupted:
                self._sweep()
            self._put_metadata()
        except OSError as error:
            raise storage_error(home / METADATA, error) from error
        self._put_outcomes()
        self.path.unlink(missing_ok=True)
        return Report(
            step=self.step,
            out=str(self.out),
            done=self.done,
            reused=self.reused,
            skipped=len(self.outcomes) - self.failed,
            failed=self.failed,
            outcomes=str(home / OUTCOMES) if self.outcomes else None,
            failures=tuple(self.failures),
            notes=dict(sorted(self.notes.items())),
        )

    def _put_metadata(self) -> None:
        self.old.close()
        self.left.close()
        if not self.begun_at:  # the journal is the metadata
            self.path.replace(self.metadata)
        elif not self.metadata.exists() or not self._is_as_it_was():
            write_lines(self.metadata, self._rows())

    def _is_as_it_was(self) -> bool:
        """Tell whether the new metadata has the rows of the old one, each and in their order."""
        last = 0
        for places in self.order.blocks():
            if (np.diff(places, prepend=last) >= 0).any():
                return False
            last = places[-1]
        return len(self.order) == len(self.old)

    def _rows(self) -> Iterator[bytes]:
        with self.path.open("rb") as journal, (self.metadata if self.old else self.path).open("rb") as old:
            for place in chain.from_iterable(places.tolist() for places in self.order.blocks()):
                file, offset = (journal, place) if place >= 0 else (old, ~place)
                file.seek(offset)
                yield file.readline().rstrip(b"\n")

    def _drop_unseen(self) -> None:
        """Let go of samples that this step added and has not seen now; rows that it did not add stay, at the end."""
        for offset, line in self.old.without(self.seen):
            if self._has_mark(line):
                self._let_go(_own_files(line))
            else:
                self.order.append(~offset)

    def _sweep(self) -> None:
        """Remove files that a killed run or worker did not finish."""
        journals = f".{METADATA}."
        if is_url(self.out):
            for name in files_below(str(self.out)) if not store_of(str(self.out)).writes_whole else ():
                last = name.rpartition("/")[2]
                if last.startswith(".") and last.endswith(".part") and not last.startswith(journals):
                    remove_file(join_path(self.out, name))
            return
        for path in self.out.rglob(".*.part"):
            if path == part_of(self.metadata) or not path.name.startswith(journals):
                path.unlink(missing_ok=True)

    def _put_outcomes(self) -> None:
        path = self.outcomes_path
        if self.outcomes or any(self._kept()):
            write_lines(path, chain(self._kept(), self.outcomes))
        else:
            path.unlink(missing_ok=True)
            part_of(path).unlink(missing_ok=True)

    def _kept(self) -> Iterator[bytes]:
        """Yield the outcomes that other steps left."""
        if self.outcomes_path.exists():
            with self.outcomes_path.open("rb") as file:
                yield from (line.rstrip(b"\r\n") for line in file if not self._has_step(line))

    def _has_step(self, line: bytes) -> bool:
        with suppress(*UNREADABLE):
            return msgspec.json.decode(line, type=_Stepped).step == self.step
        return False


class _Marked(msgspec.Struct, gc=False):
    fingerprints: dict[str, Any] | None = None


class _Stepped(msgspec.Struct, gc=False):
    step: str | None = None


def _own_files(line: bytes) -> set[str]:
    """Name the files of a row that are named by its key, as steps name them; others may be shared between rows."""
    row = msgspec.json.decode(line)
    names = set()
    for column, name in row.items():
        if column.endswith("file_name") and isinstance(name, str):
            with suppress(SampleError):  # a path that leads out of the data set
                stem = key_of(name)
                if row.get("key") in (stem, stem.partition("/")[2]):
                    names.add(name)
    return names | set(row.get(EXPORTED) or ())
