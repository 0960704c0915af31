"""Run one step over the samples of a data set: journal, resume, outcomes, and the new metadata at the end.

A step keeps a journal of finished rows beside metadata.jsonl while it runs. A run that was killed finds in it what is
already done; so does a later run in the rows themselves, where each step leaves a fingerprint of what it worked from.
Metadata and outcomes are put in place in one move when every sample has been seen, in the order of the input, so that
the result is the same however often the run was interrupted and whichever engine ran it.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from segdata.dataset import METADATA, OUTCOMES, Row, RowIndex, hash_key, write_lines
from segdata.engine import Engine, Inline, Lost
from segdata.errors import SampleError, SegdataError
from segdata.files import fingerprint, storage_error
from segdata.sample import Outcome, encode, key_of

FINGERPRINTS = "fingerprints"
_FAILURES_SHOWN = 5


class Report(msgspec.Struct, frozen=True):
    """What a step did: how many samples it processed, found already done, left out as asked, and failed on.

    `outcomes` is the file with a row for each that was left out or failed; `failures` holds the first messages.
    """

    step: str
    out: str
    done: int = 0
    reused: int = 0
    skipped: int = 0
    failed: int = 0
    outcomes: str | None = None
    failures: tuple[str, ...] = ()


class Result(NamedTuple):
    """The row of a processed sample, and whether it was made now or found to be up to date."""

    row: Row
    fresh: bool


class Work(Protocol):
    """The work on one sample, picklable.

    `previous` is the row that an earlier run of the step left, if any; in place, it is at least the row as it stands.
    Raises `SampleError` for a sample that cannot be processed and `SkipError` for one that is left out as asked.
    """

    def __call__(self, key: str, payload: Any, previous: Row | None) -> Result:
        """Process one sample."""
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


def unchanged(previous: Row | None, step: str, mark: str, root: Path, columns: Iterable[str]) -> bool:
    """Tell whether an earlier run left this result: the same fingerprint, and the files of `columns` in place."""
    if previous is None or (previous.get(FINGERPRINTS) or {}).get(step) != mark:
        return False
    return all((root / previous[column]).is_file() for column in columns if previous.get(column))


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


class _Worker(NamedTuple):
    """Wraps the work so that rows travel as bytes, and a sample's error as its outcome."""

    step: str
    work: Work

    def __call__(self, task: _Task | Outcome) -> tuple[bytes, bool] | Outcome:
        if isinstance(task, Outcome):
            return task
        try:
            previous = None if task.previous is None else msgspec.json.decode(task.previous)
            row, fresh = self.work(task.key, task.payload, previous)
        except SkipError as error:
            return Outcome(task.key, self.step, "skipped", error.code, str(error))
        except SampleError as error:
            return Outcome(task.key, self.step, "failed", error.code, str(error))
        except SegdataError:
            raise
        except Exception as error:
            logging.getLogger("segdata").debug("%s failed on %s", self.step, task.key, exc_info=True)
            message = f"{task.key}: {type(error).__name__}: {error}"
            return Outcome(task.key, self.step, "failed", "internal-error", message)
        return encode(row), fresh


def run_step(
    step: str,
    out: Path,
    work: Work,
    samples: Iterable[tuple[str, Any] | Outcome],
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    total: int | None = None,
    in_place: bool = False,
) -> Report:
    """Process samples and put the new metadata.jsonl and outcomes.jsonl in place.

    `samples` yields (key, payload) or, for what cannot even be begun, an `Outcome`. With `in_place` they are the
    samples of the data set at `out`, and the row of one that fails stays as it is; otherwise samples that the data
    set had and that are no longer among them are removed from it, with their files.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        journal = _Journal(step, out, in_place=in_place)
    except OSError as error:
        raise storage_error(out, error) from error
    if progress is not None:
        progress.begin(step, total)
    with journal:
        chosen: Engine = engine or Inline()
        for result in chosen.map(_Worker(step, work), journal.tasks(samples)):
            journal.add(result)
            if progress is not None:
                progress.advance()
        return journal.finish()


class _InFlight(NamedTuple):
    key: str
    previous: bytes | None
    place: int | None
    kept_place: int | None


class _Journal:
    """The rows of a run, as they come in.

    `order` holds where each row of the new metadata is found: at an offset of the journal, or, as ~offset, of the
    old metadata.
    """

    def __init__(self, step: str, out: Path, *, in_place: bool) -> None:
        self.step, self.out, self.in_place = step, out, in_place
        self.metadata = out / METADATA
        self.path = out / f".{METADATA}.{step}.part"
        self.old = RowIndex(self.metadata)
        self.left = RowIndex(self.path)
        self.file = self.path.open("ab")
        self.file.truncate(self.left.size)
        self.size = self.left.size
        self.order = array("q")
        self.seen = array("Q")
        self.in_flight: deque[_InFlight] = deque()
        self.outcomes: list[Outcome] = []
        self.done = self.reused = 0

    def __enter__(self) -> _Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.old.close()
        self.left.close()

    def tasks(self, samples: Iterable[tuple[str, Any] | Outcome]) -> Iterator[_Task | Outcome]:
        for sample in samples:
            if isinstance(sample, Outcome):
                self.in_flight.append(_InFlight(sample.key, None, None, None))
                yield sample
                continue
            key, payload = sample
            in_old, in_left = self.old.find(key), self.left.find(key)
            kept = ~in_old[0] if in_old else None
            place, previous = in_left or ((kept, in_old[1]) if in_old else (None, None))
            self.in_flight.append(_InFlight(key, previous, place, kept))
            yield _Task(key, payload, previous)

    def add(self, result: tuple[bytes, bool] | Outcome | Lost[Any]) -> None:
        sample = self.in_flight.popleft()
        if isinstance(result, Lost):
            message = f"{sample.key} ended its worker process twice (out of memory?)"
            result = Outcome(sample.key, self.step, "failed", "worker-died", message)
        if isinstance(result, Outcome):
            self.outcomes.append(result)
            if self.in_place and sample.kept_place is not None:
                self.order.append(sample.kept_place)
            if result.status == "failed":
                self.seen.append(hash_key(sample.key))
            return
        row, fresh = result
        self.done += fresh
        self.reused += not fresh
        self.seen.append(hash_key(sample.key))
        if row == sample.previous and sample.place is not None:
            self.order.append(sample.place)
            return
        self.order.append(self.size)
        try:
            self.file.write(row + b"\n")
        except OSError as error:
            raise storage_error(self.path, error) from error
        self.size += len(row) + 1

    def finish(self) -> Report:
        try:
            self.file.close()
            if not self.in_place:
                self._remove_dropped()
            self._put_metadata()
        except OSError as error:
            raise storage_error(self.metadata, error) from error
        self._put_outcomes()
        self.path.unlink(missing_ok=True)
        failed = sum(outcome.status == "failed" for outcome in self.outcomes)
        return Report(
            step=self.step,
            out=str(self.out),
            done=self.done,
            reused=self.reused,
            skipped=len(self.outcomes) - failed,
            failed=failed,
            outcomes=str(self.out / OUTCOMES) if self.outcomes else None,
            failures=tuple(islice((row.message for row in self.outcomes if row.status == "failed"), _FAILURES_SHOWN)),
        )

    def _put_metadata(self) -> None:
        if self.metadata.exists() and self.order == array("q", (~offset for offset in self.old.offsets())):
            return
        if not self.left.size and min(self.order, default=0) >= 0:  # the journal is the metadata
            self.path.replace(self.metadata)
            return
        with self.path.open("rb") as journal, (self.metadata if self.old else self.path).open("rb") as old:

            def rows() -> Iterator[bytes]:
                for place in self.order:
                    file, offset = (journal, place) if place >= 0 else (old, ~place)
                    file.seek(offset)
                    yield file.readline().rstrip(b"\n")

            write_lines(self.metadata, rows())

    def _remove_dropped(self) -> None:
        """Remove the files of samples that this run has not seen, so that the folder is as a fresh run leaves it."""
        for line in self.old.without(self.seen):
            row = msgspec.json.decode(line)
            for column, name in row.items():
                if column.endswith("file_name") and isinstance(name, str):
                    key_of(name)  # refuses a path that leads out of the data set
                    (self.out / name).unlink(missing_ok=True)

    def _put_outcomes(self) -> None:
        path = self.out / OUTCOMES
        kept = []
        if path.exists():
            rows = (msgspec.json.decode(line, type=Outcome) for line in path.read_bytes().splitlines())
            kept = [row for row in rows if row.step != self.step]
        if kept or self.outcomes:
            write_lines(path, map(encode, [*kept, *self.outcomes]))
        else:
            path.unlink(missing_ok=True)
