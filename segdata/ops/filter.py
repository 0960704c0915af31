"""Keep the samples of a data set that fit an expression, or whose licence allows a use, as a new data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from segdata.dataset import Dataset, Row
from segdata.engine import Engine
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, read_file, write_file
from segdata.journal import Report
from segdata.licences import LICENCE_USES, NOT_STATED, LicenceUse, licence_of
from segdata.ops.expression import Columns, Expression, columns_of
from segdata.sample import Outcome, encode, path_of
from segdata.shards import loose_name
from segdata.steps import FINGERPRINTS, Progress, Result, run_step, unchanged, updated
from segdata.storage import as_path, join_path, lies_in

STEP = "filter"
_FILE = "file_name"


def filter(  # noqa: A001 - the command's name
    data: str | Path,
    *,
    out: str | Path,
    where: str | None = None,
    licence: LicenceUse | None = None,
    shards: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write a new data set of the samples that fit.

    Parameters
    ----------
    data : the data set.
    out : folder of the new one.
    where : an expression, see `Expression`, over the columns of metadata.jsonl and what is derived from them.
    licence : keeps the photos whose licence allows a use, see `LicenceUse`. Photos whose licence is not stated or not
        known are left out.

    Files are copied, not linked: whoever then draws in a mask of the new data set, with whatever program, must not
    change the old one, and links do not reach other disks. Rows keep all of their columns. What fits no longer in a
    later run is removed again, with its files; a sample that has changed is copied anew, and what other commands have
    added to one that has not, such as edges or splits, stays.
    shards : put the files in so many tar archives instead of one by one, as `segdata.shards` says.

    Returns
    -------
    The counts of what was done. Samples that are left out are rows of outcomes.jsonl, with the reason; its notes count
    them by licence.

    Raises
    ------
    InputError
        For neither `where` nor `licence`, as `Expression`, when no sample fits, and an `out` that is `data` or lies
        in it or holds something else.
    StorageError
        When the place takes no more.
    """
    dataset = Dataset(data)
    if where is None and licence is None:
        raise InputError("nothing says which samples are to be kept", "give --where or --licence")
    if licence is not None and licence not in LICENCE_USES:
        raise InputError(f"there is no use {licence!r} of a licence", f"use one of {', '.join(LICENCE_USES)}")
    within, around = lies_in(as_path(out), dataset.root), lies_in(dataset.root, as_path(out))
    if within or around:
        relation = "is the data set itself" if within and around else f"and {data} lie in each other"
        raise InputError(f"{out} {relation}", "choose a folder outside of it")
    total, columns = _survey(dataset)
    chosen = Choice(where, licence, columns, str(dataset.root))
    if not any(chosen(row) is None for row in dataset.rows()):
        asked = [*([f"fits {where!r}"] if where is not None else []), *([f"allows {licence} use"] if licence else [])]
        raise InputError(f"no sample of {data} {' and '.join(asked)}", "segdata stats shows what it holds")
    left_out: Counter[str] = Counter()

    def samples() -> Iterator[tuple[str, Row] | Outcome]:
        for row in dataset.rows():
            reason = chosen(row)
            if reason is None:
                yield row["key"], row
                continue
            left_out.update([reason.note] if reason.note else [])
            yield Outcome(row["key"], STEP, "skipped", reason.code, reason.message)

    work = Copy(str(dataset.root), str(out))
    report = run_step(STEP, as_path(out), work, samples(), engine=engine, progress=progress, shards=shards, total=total)
    return msgspec.structs.replace(report, notes={**report.notes, **dict(left_out.most_common())})


def _survey(dataset: Dataset) -> tuple[int, Columns]:
    """Count the rows, and see what their columns hold."""
    total = 0

    def counted() -> Iterator[Row]:
        nonlocal total
        for row in dataset.rows():
            total += 1
            yield row

    columns = columns_of(counted())
    return total, columns


class _Reason(msgspec.Struct, frozen=True):
    """Why a sample is left out; `note` is a word that is counted."""

    code: str
    message: str
    note: str = ""


class Choice:
    """Tells of a row why it is left out, or None where it is kept."""

    def __init__(self, where: str | None, licence: LicenceUse | None, columns: Columns, root: str) -> None:
        self.fits = None if where is None else Expression(where, columns)
        self.licence = licence
        self.root = root
        self.unfit = _Reason("does-not-fit", f"it does not fit {where!r}")

    def __call__(self, row: Row) -> _Reason | None:
        """Give the reason why a row is left out."""
        if self.fits is not None and not self.fits(row):
            return self.unfit
        if self.licence is None:
            return None
        found = licence_of(row)
        why = found.reason if found.licence is None else found.licence.allows(self.licence)
        if not why:
            return None
        if found.licence is None:
            note = why if why == NOT_STATED else "its licence is not known"
        else:
            note = why = f"{found.licence.code}: {why}"
        return _Reason("licence", f"{self.root}: {row['key']}: {why}", f"left out, {note}")


class Copy(msgspec.Struct, frozen=True):
    """The work on one sample that is kept."""

    root: str
    out: str

    def __call__(self, key: str, payload: Row, previous: Row | None) -> Result:
        """Copy the sample's files, and give its row."""
        names = _files_of(payload)
        contents = [read_file(join_path(self.root, path_of(name))) for name in names]
        mark = fingerprint(encode(payload), *contents)
        columns = [column for column in payload if column.endswith(_FILE)]
        if unchanged(previous, STEP, mark, self.out, columns) and previous is not None:
            return Result(previous, fresh=False)
        named = [column for column in columns if payload[column]]
        kept = {**payload, **{column: loose_name(column, key, payload[column]) for column in named}}
        places = {payload[column]: kept[column] for column in named}
        for name, content in zip(names, contents, strict=True):
            write_file(join_path(self.out, places[name]), content)
        old = previous or {}
        marks = {**(old.get(FINGERPRINTS) or {}), **(payload.get(FINGERPRINTS) or {})}
        return Result(updated({**old, FINGERPRINTS: marks}, STEP, mark, kept), fresh=True)


def _files_of(row: Row) -> list[str]:
    """Name the files of a row, each once; raises `SampleError` for a name that is none."""
    names: dict[str, None] = {}
    for column, name in row.items():
        if column.endswith(_FILE) and name:
            if not isinstance(name, str):
                raise SampleError("bad-row", f"{column} of {row['key']} is no file name but {name!r}"[:200])
            names[name] = None
    return list(names)
