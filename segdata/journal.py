"""The journal of a step: the rows of its samples as they come in, and the new metadata and outcomes at its end."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from segdata.dataset import METADATA, OUTCOMES, UNREADABLE, RowIndex, hash_key, write_lines
from segdata.disk_index import Column, Lines
from segdata.engine import Lost
from segdata.errors import InputError, SampleError
from segdata.files import part_of, remove_file, storage_error
from segdata.sample import Outcome, encode, key_of
from segdata.storage import files_below, is_url, join_path, names_in, store_of

EXPORTED = "exported_files"  # in the rows of an export: every file of the sample, however it is named
_HEADER = b'{"begun_on":'
_FAILURES_SHOWN = 5


class Task(NamedTuple):
    """A sample to work on, and the row that an earlier run left of it."""

    key: str
    payload: Any
    previous: bytes | None


class Done(NamedTuple):
    """What a worker gives back of a sample."""

    row: bytes
    fresh: bool
    note: str


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


def journal_name(step: str) -> str:
    """Name the journal of a step, beside metadata.jsonl."""
    return f".{METADATA}.{step}.part"


class _InFlight(NamedTuple):
    key: str
    previous: bytes | None = None
    place: int | None = None
    old: bytes | None = None
    old_place: int | None = None


class Journal:
    """The rows of a run, as they come in.

    `order` holds where each row of the new metadata is found: at an offset of the journal, or, as ~offset, of the
    old metadata. A journal that was begun on other metadata than there is now opens with nothing in it: its rows may
    lack what has been added since.
    """

    def __init__(self, step: str, out: Path, records: Path, *, in_place: bool) -> None:
        self.step, self.out, self.in_place = step, out, in_place
        self.metadata = records / METADATA
        self.outcomes_path = records / OUTCOMES
        self.path = records / journal_name(step)
        self.order = Column(np.int64)
        self.seen = Column(np.uint64)
        self.in_flight: deque[_InFlight] = deque()
        self.outcomes = Lines()
        self.failures: list[str] = []
        self.superseded = Lines()
        self.done = self.reused = self.failed = 0
        self.notes: Counter[str] = Counter()

    def __enter__(self) -> Journal:
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

    def tasks(self, samples: Iterable[tuple[str, Any] | Outcome]) -> Iterator[Task | Outcome]:
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
            yield Task(key, payload, previous)

    def add(self, result: Done | Outcome | Lost[Any]) -> None:
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
