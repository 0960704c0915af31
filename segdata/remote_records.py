"""The metadata, outcomes and journal of a data set in a store, kept on this machine while a step runs."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from segdata import storage
from segdata.errors import InputError
from segdata.files import storage_error, why

_BYTES_A_SEGMENT = 8 << 20
_SECONDS_A_SEGMENT = 10.0


class RemoteRecords:
    """A folder of this machine that stands for one of a store, which is read when it is entered.

    A store cannot append to a file, so the journal is sent in segments, each a file beside metadata.jsonl: whoever
    runs the step again, on this machine or another, finds what was done but for the last ten seconds.
    """

    def __init__(self, home: Path, names: tuple[str, ...], journal: str) -> None:
        self.home, self.names, self.journal = str(home), names, journal
        self._segments: list[str] = []
        self._sent = 0
        self._sent_at = time.monotonic()

    def __enter__(self) -> Path:
        """Give the folder. Raises `InputError` where the store cannot be read."""
        storage.require_writable(self.home)
        self._temporary = tempfile.TemporaryDirectory(prefix="segdata-")
        self.folder = Path(self._temporary.name)
        try:
            there = storage.names_in(self.home)
            for name in {*self.names} & {*there}:
                storage.download(storage.join_path(self.home, name), self.folder / name)
            stem = self.journal.removesuffix("part")
            self._segments = [name for name in there if name.startswith(stem) and name.endswith(".part")]
            with (self.folder / self.journal).open("wb") as file:
                for name in self._segments:
                    file.write(storage.read(storage.join_path(self.home, name)))
                self._sent = file.tell()
            if not self._segments:
                (self.folder / self.journal).unlink()
            self._versions = self._versions_there()
        except OSError as error:
            self._temporary.cleanup()
            raise InputError(
                f"{self.home} cannot be read ({why(error)})", "check the address and your rights"
            ) from error
        self._found = {name: _state(self.folder / name) for name in self.names}
        return self.folder

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._temporary.cleanup()

    def begin(self) -> None:
        """Leave a mark in the store that the step has begun, before the first of its files. Raises `StorageError`."""
        if not self._segments:
            self._add(b"")

    def keep(self, size: int, *, at_once: bool = False) -> None:
        """Send what the journal holds up to `size`, where that is much or some time has passed.

        A journal that is shorter than what was sent has been begun anew. Raises `StorageError`.
        """
        more = size - self._sent
        if more < 0:
            self._forget()
            more = size
        due = at_once or more > _BYTES_A_SEGMENT or time.monotonic() - self._sent_at > _SECONDS_A_SEGMENT
        if not more or not due:
            return
        with (self.folder / self.journal).open("rb") as file:
            file.seek(self._sent)
            data = file.read(more)
        self._add(data)
        self._sent = size
        self._sent_at = time.monotonic()

    def _add(self, data: bytes) -> None:
        last = int(self._segments[-1].split(".")[-2]) if self._segments else 0
        name = f"{self.journal.removesuffix('part')}{last + 1:08}.part"
        self._write(name, data)
        self._segments.append(name)

    def finish(self) -> None:
        """Put what has changed in the store. Raises `InputError` where another command did so meanwhile."""
        try:
            if self._versions_there() != self._versions:
                raise InputError(
                    f"another command has changed {self.home} meanwhile", "run this one again: it goes on from there"
                )
            for name in self.names:
                file, url = self.folder / name, storage.join_path(self.home, name)
                state = _state(file)
                if state is None and self._found[name] is not None:
                    storage.remove(url)
                elif state is not None and state != self._found[name]:
                    storage.upload(file, url)
            self._forget()
        except OSError as error:
            raise storage_error(self.home, error) from error

    def _versions_there(self) -> dict[str, str]:
        there = storage.names_in(self.home)
        return {name: storage.version_of(storage.join_path(self.home, name)) for name in self.names if name in there}

    def _forget(self) -> None:
        try:
            for name in reversed(self._segments):
                storage.remove(storage.join_path(self.home, name))
        except OSError as error:
            raise storage_error(self.home, error) from error
        self._segments, self._sent = [], 0

    def _write(self, name: str, data: bytes) -> None:
        url = storage.join_path(self.home, name)
        try:
            storage.write(url, data)
        except OSError as error:
            raise storage_error(url, error) from error


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
