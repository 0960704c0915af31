"""Write a data set again, with what can be mended without judgement. No pixel of a photo or mask is changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from segdata.dataset import UNREADABLE, Dataset, Row
from segdata.engine import Engine
from segdata.errors import SampleError
from segdata.files import read_file, write_file
from segdata.journal import Report
from segdata.masks import rle_area, rle_box
from segdata.pixels import check_photo, encode_png
from segdata.quality.validate.across import Hashes, hash_of
from segdata.quality.validate.findings import Finding
from segdata.quality.validate.samples import CheckSample, key_in, two_colours
from segdata.sample import Outcome, Rle, path_of
from segdata.shards import loose_name
from segdata.steps import Progress, Result, mark_of, run_step, unchanged, updated
from segdata.storage import join_path

STEP = "fix"


def fix_dataset(
    dataset: Dataset, check: CheckSample, out: Path, *, engine: Engine | None, progress: Progress | None
) -> Report:
    """Write the data set at `out`: every file that a row names, and the rows with what is mendable mended.

    A row that cannot be read, or stands there again, is left out and a row of outcomes.jsonl.
    """
    work = FixSample(msgspec.structs.replace(check, rules=None), str(out))
    return run_step(STEP, out, work, _samples(dataset), engine=engine, progress=progress, total=len(dataset))


def _samples(dataset: Dataset) -> Iterator[tuple[str, bytes] | Outcome]:
    hashes = Hashes()
    for line in dataset.lines():
        hashes.add(line)
    repeated = hashes.repeated()
    seen: set[int] = set()
    for number, line in enumerate(dataset.lines(), start=1):
        try:
            key = key_in(msgspec.json.decode(line, type=dict[str, Any]))
        except (*UNREADABLE, SampleError) as error:
            message = f"row {number} of {dataset.metadata} cannot be read ({error})"
            yield Outcome(f"row {number}", STEP, "failed", "bad-row", message)
            continue
        if (own := hash_of(line)) in repeated:
            if own in seen:
                yield Outcome(key, STEP, "skipped", "repeated-row", f"{key} stands there again")
                continue
            seen.add(own)
        yield key, line


class _Settings(msgspec.Struct, frozen=True):
    """What the fingerprint of a mended sample is made of beside its files."""

    version: int = 1


class FixSample(msgspec.Struct, frozen=True):
    """The work on one sample."""

    check: CheckSample
    out: str

    def __call__(self, key: str, payload: bytes, previous: Row | None) -> Result:
        """Copy the files, and give the mended row."""
        row = msgspec.json.decode(payload, type=dict[str, Any])
        files = dict(self._files(row))
        mark = mark_of(_Settings(), payload, *(part for name, data in files.items() for part in (name.encode(), data)))
        columns = tuple(column for column in row if column.endswith("file_name"))
        if previous is not None and unchanged(previous, STEP, mark, self.out, columns):
            return Result(previous, fresh=False)
        mended = copy.deepcopy(row)
        findings = [each for each in self.check((0, payload)).findings if each.mendable]
        for finding in findings:
            self._mend(mended, finding, files)
        for column, name in mended.items():
            if column.endswith("file_name") and name in files:  # out of an archive, where it lay in one
                mended[column] = loose_name(column, key, name)
                write_file(join_path(self.out, mended[column]), files[name])
        return Result(updated(mended, STEP, mark, {}), fresh=True, note="mended" if findings else "")

    def _files(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of the files of a row that can be read."""
        for column, name in row.items():
            if column.endswith("file_name") and isinstance(name, str) and name:
                try:
                    path = path_of(name)
                    yield path, read_file(join_path(self.check.root, path))
                except SampleError:  # said by validate; the row keeps its name
                    continue

    def _mend(self, row: Row, finding: Finding, files: dict[str, bytes]) -> None:
        if finding.code == "row-size":
            name = path_of(row["file_name"])
            facts = check_photo(files[name], name)
            row.update(width=facts.width, height=facts.height, exif_orientation=facts.orientation)
        elif finding.code == "colour-mask":
            name = path_of(row["mask_file_name"])
            mask = two_colours(files.pop(name), name)
            if mask is not None:
                row["mask_file_name"] = f"{name.rpartition('.')[0]}.png"
                files[row["mask_file_name"]] = encode_png(mask.view("uint8") * 255)
        elif finding.person is not None:
            mend_person(row["persons"][finding.person], finding.code)


def mend_person(person: dict[str, Any], code: str) -> None:
    """Take a person's area or box from the mask."""
    rle = msgspec.convert(person["rle"], Rle)
    if code == "area-mismatch":
        person["area"] = rle_area(rle)
    else:
        person["box"] = list(rle_box(rle))
