"""What reviewers decided, in a SQLite file in the data set's folder: saved at once, and safe from a kill.

A decision has a version. Who saves says which version they saw; where another has saved meanwhile, nothing is
overwritten and the other's decision is handed back.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from segdata.errors import InputError, StorageError
from segdata.files import fingerprint
from segdata.sample import Rle
from segdata.storage import here

STORE = ".review.sqlite"
Verdict = Literal["accept", "reject", "needs-work"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
LONGEST_COMMENT = 4000
LONGEST_NAME = 80

_APPLICATION = 0x5E6DA7A1
_FORMAT = 1
_REQUESTS_KEPT = 16
_PATIENCE = 10.0  # seconds to wait for another process that writes
_SCHEMA = (
    """CREATE TABLE decisions (
        key TEXT NOT NULL, reviewer TEXT NOT NULL,
        verdict TEXT, comment TEXT NOT NULL,
        height INTEGER, width INTEGER, counts TEXT, drawn_on TEXT, digest TEXT,
        version INTEGER NOT NULL, sequence INTEGER NOT NULL UNIQUE, time TEXT NOT NULL, requests TEXT NOT NULL,
        PRIMARY KEY (key, reviewer)) WITHOUT ROWID""",
    """CREATE TABLE agreements (
        key TEXT PRIMARY KEY, mark TEXT NOT NULL, iou REAL, differing REAL) WITHOUT ROWID""",
    "CREATE TABLE identity (id TEXT NOT NULL)",
    "INSERT INTO identity VALUES (lower(hex(randomblob(8))))",
)
_COLUMNS = "key, reviewer, verdict, comment, height, width, counts, drawn_on, digest, version, sequence, time"


class Decision(msgspec.Struct, frozen=True):
    """What one reviewer says of one sample.

    `verdict` is None while nothing is decided. `mask` is the corrected mask or None, `drawn_on` the fingerprint of the
    mask file that was corrected, `digest` that of the corrected mask. `version` counts the saves of this decision,
    `sequence` those of all; `time` is UTC.
    """

    key: str
    reviewer: str
    verdict: Verdict | None
    comment: str
    mask: Rle | None
    drawn_on: str | None
    digest: str | None
    version: int
    sequence: int
    time: str


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A decision without comment and mask."""

    key: str
    reviewer: str
    verdict: Verdict | None
    digest: str | None
    sequence: int


class Agreement(NamedTuple):
    """How a mask and its prediction agree: a mark of both files, their IoU, and the share of the photo that differs.

    None where they cannot be compared.
    """

    mark: str
    iou: float | None
    differing: float | None


class ConflictError(Exception):
    """Another has saved since: `current` is what stands now, None where nothing does."""

    def __init__(self, current: Decision | None) -> None:
        super().__init__()
        self.current = current


class Store:
    """The decisions of a data set. Threads may share one; other processes may have the same file open.

    `id` tells this store from those of other data sets.

    Raises `InputError` where the file is something else, and `StorageError` where it cannot be written.

    >>> import tempfile
    >>> with Store(tempfile.mkdtemp()) as store:
    ...     first = store.save("a", "Ann", version=0, request="1", verdict="reject", comment="no feet")
    ...     store.find("a", "Ann").comment
    'no feet'
    """

    def __init__(self, root: str | Path) -> None:
        self.path = here(root) / STORE
        if self.path.is_symlink():  # it would be written to, wherever it leads
            raise InputError(f"{self.path} is a link", "put the file itself there, or remove the link")
        self._lock = threading.RLock()
        with self._told():
            self._file = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise

    def _prepare(self) -> None:
        ask = self._file.execute
        ask("PRAGMA trusted_schema = OFF")
        application, form = ask("PRAGMA application_id").fetchone()[0], ask("PRAGMA user_version").fetchone()[0]
        tables = ask("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (application != _APPLICATION and tables) or form > _FORMAT:
            newer = application == _APPLICATION
            what = "was written by a later version of segdata" if newer else "is no file of segdata's reviews"
            raise InputError(f"{self.path} {what}", "update segdata" if newer else "move it away")
        ask("PRAGMA journal_mode = WAL").fetchone()
        ask("PRAGMA synchronous = FULL")  # what is said to be saved survives a power cut too
        with self._writing():
            if not ask("PRAGMA user_version").fetchone()[0]:  # another process may have been first
                for statement in _SCHEMA:
                    ask(statement)
                ask(f"PRAGMA application_id = {_APPLICATION}")
                ask(f"PRAGMA user_version = {_FORMAT}")
        self.id = str(ask("SELECT id FROM identity").fetchone()[0])

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one sentence what SQLite cannot do, and let one thread in at a time."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                # What is no database, and what is broken, comes as the base class itself; a table may be lacking too.
                if type(error) is sqlite3.DatabaseError or str(error).startswith("no such"):
                    raise InputError(
                        f"{self.path} cannot be read ({error})", "move it away, or put a copy in its place"
                    ) from error
                raise StorageError(
                    f"{self.path} cannot be written ({error})", "make room, or copy the data set to where you may write"
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Do all of it or nothing, with no other writer in between."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def find(self, key: str, reviewer: str) -> Decision | None:
        """Give a reviewer's decision on a sample."""
        with self._told():
            return self._find(key, reviewer)

    def _find(self, key: str, reviewer: str) -> Decision | None:
        found = self._file.execute(
            f"SELECT {_COLUMNS} FROM decisions WHERE key = ? AND reviewer = ?",  # noqa: S608 - names of columns
            (key, reviewer),
        ).fetchone()
        return None if found is None else _decision(found)

    def of(self, key: str) -> list[Decision]:
        """Give all decisions on a sample, sorted by reviewer."""
        with self._told():
            rows = self._file.execute(
                f"SELECT {_COLUMNS} FROM decisions WHERE key = ? ORDER BY reviewer",  # noqa: S608
                (key,),
            ).fetchall()
        return [_decision(row) for row in rows]

    def since(self, sequence: int) -> list[Brief]:
        """Give what was saved after a `sequence`, in that order, whoever saved it."""
        with self._told():
            rows = self._file.execute(
                "SELECT key, reviewer, verdict, digest, sequence FROM decisions WHERE sequence > ? ORDER BY sequence",
                (sequence,),
            ).fetchall()
        return [
            Brief(key, reviewer, _verdict(verdict), digest, number) for key, reviewer, verdict, digest, number in rows
        ]

    def save(
        self,
        key: str,
        reviewer: str,
        *,
        version: int,
        request: str,
        verdict: Verdict | None,
        comment: str,
        mask: Rle | Literal["keep"] | None = "keep",
        drawn_on: str | None = None,
    ) -> Decision:
        """Save a decision in the place of the `version` that was seen, 0 for none, and give it as it stands.

        `mask` is the corrected mask, None to go back to the stored one, or ``keep``. `request` names this save: one
        that arrives again, because its answer was lost, changes nothing, and gets the version that it made the first
        time. Raises `ConflictError` where another version stands.
        """
        with self._told(), self._writing():
            current = self._find(key, reviewer)
            requests = self._requests(key, reviewer)
            if current is not None and request in requests:
                return msgspec.structs.replace(current, version=requests[request])
            if version != (current.version if current else 0):
                raise ConflictError(current)
            if mask == "keep":
                mask, drawn_on = (current.mask, current.drawn_on) if current else (None, None)
            sequence = self._file.execute("SELECT coalesce(max(sequence), 0) + 1 FROM decisions").fetchone()[0]
            saved = Decision(
                key=key,
                reviewer=reviewer,
                verdict=verdict,
                comment=comment,
                mask=mask,
                drawn_on=None if mask is None else drawn_on,
                digest=None if mask is None else digest_of(mask),
                version=version + 1,
                sequence=sequence,
                time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
            latest = [*requests.items(), (request, saved.version)][-_REQUESTS_KEPT:]
            height, width, counts = (None, None, None) if mask is None else (*mask.size, mask.counts)
            self._file.execute(
                f"INSERT OR REPLACE INTO decisions ({_COLUMNS}, requests) VALUES ({', '.join('?' * 13)})",  # noqa: S608
                (
                    *(key, reviewer, verdict, comment, height, width, counts),
                    *(saved.drawn_on, saved.digest, saved.version, sequence, saved.time),
                    msgspec.json.encode(dict(latest)).decode(),
                ),
            )
            return saved

    def forget_mask(self, key: str, digest: str) -> None:
        """Forget a corrected mask of a sample, which is now the stored one; the decisions stay, at their versions."""
        with self._told(), self._writing():
            reviewers = self._file.execute(
                "SELECT reviewer FROM decisions WHERE key = ? AND digest = ?", (key, digest)
            ).fetchall()
            for (reviewer,) in reviewers:
                self._file.execute(
                    "UPDATE decisions SET height = NULL, width = NULL, counts = NULL, drawn_on = NULL, digest = NULL, "
                    "sequence = (SELECT max(sequence) + 1 FROM decisions) WHERE key = ? AND reviewer = ?",
                    (key, reviewer),
                )

    def _requests(self, key: str, reviewer: str) -> dict[str, int]:
        """Give the latest saves of a decision: by name the version that each made."""
        found = self._file.execute(
            "SELECT requests FROM decisions WHERE key = ? AND reviewer = ?", (key, reviewer)
        ).fetchone()
        try:
            return {} if found is None else msgspec.json.decode(found[0], type=dict[str, int])
        except msgspec.DecodeError:  # the file may come from anywhere
            return {}

    def agreements(self) -> dict[str, Agreement]:
        """Give what was measured of predictions before, by key."""
        with self._told():
            return {key: Agreement(*rest) for key, *rest in self._file.execute("SELECT * FROM agreements")}

    def keep_agreements(self, measured: dict[str, Agreement]) -> None:
        """Keep what was measured of predictions, for the next time."""
        with self._told(), self._writing():
            self._file.executemany(
                "INSERT OR REPLACE INTO agreements VALUES (?, ?, ?, ?)",
                [(key, *agreement) for key, agreement in measured.items()],
            )


def digest_of(mask: Rle) -> str:
    """Give a fingerprint of a mask, by which equal ones are known."""
    return fingerprint(str(mask.size).encode(), mask.counts.encode())


def _verdict(value: Any) -> Verdict | None:
    return value if value in VERDICTS else None


def _decision(row: tuple[Any, ...]) -> Decision:
    key, reviewer, verdict, comment, height, width, counts, drawn_on, digest, version, sequence, time = row
    mask = None if counts is None else Rle((height, width), counts)
    return Decision(
        key, reviewer, _verdict(verdict), comment, mask, drawn_on, digest if mask else None, version, sequence, time
    )
