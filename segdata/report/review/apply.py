"""Carry what was decided in a review into the data set: columns of metadata.jsonl, and corrected masks into masks/."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Dataset, Row
from segdata.errors import InputError, SampleError
from segdata.files import fingerprint, read_file, write_file
from segdata.journal import Report
from segdata.masks import Mask, check_rle, rle_to_mask
from segdata.members import in_archive
from segdata.pixels import encode_png
from segdata.report.review.images import StoredMask, read_mask
from segdata.report.review.places import Place
from segdata.report.review.store import STORE, VERDICTS, Decision, Store
from segdata.sample import encode, path_of
from segdata.shards import loose_name
from segdata.steps import Progress, Result, run_step

STEP = "review"
ORIGINALS = ".review-originals"
COLUMNS = ("review_decision", "review_comment", "reviewer", "review_time")
CORRECTED = "review_mask_corrected"
_EIGHT_BITS = 255
_NOTE = "mask(s) corrected"
# What other commands made from a mask, and the command that makes it again.
_MADE_OF_MASKS = {"edge_file_name": "edges", "instances_file_name": "instances"}


class Applied(msgspec.Struct, frozen=True):
    """What was carried into a data set.

    `decisions` counts samples by decision, `corrected` masks that were written, `waiting` corrected masks that nobody
    has accepted yet, `disagreements` lists samples that reviewers disagree on and that stay as they are; `again` names
    the commands whose labels were made from masks that have changed.
    """

    report: Report
    decisions: dict[str, int]
    corrected: int
    waiting: int
    disagreements: tuple[str, ...]
    again: tuple[str, ...]


def apply_review(data: str | Path, *, prefer: str | None = None, progress: Progress | None = None) -> Applied:
    """Write decisions into metadata.jsonl, and accepted corrected masks into the mask files.

    Rows with a decision get the columns `review_decision` (accept, reject, needs-work), `review_comment`, `reviewer`
    and `review_time` (UTC); where a mask was replaced also `review_mask_corrected`, and the mask that was there lies in
    .review-originals/. A row whose decision was taken back has null there. The rows' persons stay as they were: the
    union of their masks is no longer that of a corrected mask, which the export then writes as one person.

    Where reviewers disagree the row stays as it is, unless `prefer` names the one who decides. A corrected mask that
    was not accepted, and one whose mask file has been changed since by something else, is not written.

    Raises `InputError` for what is no data set, one that nobody has reviewed, a `prefer` that decided nothing, and
    while another command changes the data set; `StorageError` when the place takes no more.
    """
    dataset = Dataset(data)
    if not (dataset.root / STORE).exists():
        raise InputError(f"{dataset.root} has no {STORE}", f"decide first: segdata review {dataset.root}")
    with Store(dataset.root) as store:
        saved = store.since(0)
        known = sorted({each.reviewer for each in saved if each.verdict})
        if prefer is not None and prefer not in known:
            raise InputError(f"{prefer} has decided nothing", f"name one of {', '.join(known) or 'nobody'}")
        decided = {each.key for each in saved}
        work = _Apply(dataset.root, store, prefer)

        def samples() -> Iterator[tuple[str, _Payload]]:
            for row in dataset.rows():
                yield row["key"], _Payload(row, store.of(row["key"]) if row["key"] in decided else [])

        total = len(dataset)
        report = run_step(STEP, dataset.root, work, samples(), progress=progress, total=total, in_place=True)
        for key, digest in work.written:
            store.forget_mask(key, digest)
    return Applied(
        report=report,
        decisions={verdict: work.decisions[verdict] for verdict in VERDICTS},
        corrected=work.corrected,
        waiting=work.waiting,
        disagreements=tuple(work.disagreements),
        again=tuple(sorted(work.again)),
    )


class _Payload(msgspec.Struct):
    row: Row
    decisions: list[Decision]


class _Apply:
    """The work on one row; counts what it did, so that it runs in this process."""

    def __init__(self, root: Path, store: Store, prefer: str | None) -> None:
        self.root, self.store, self.prefer = root, store, prefer
        self.place = Place(root)
        self.decisions: Counter[str] = Counter()
        self.corrected = self.waiting = 0
        self.disagreements: list[str] = []
        self.again: set[str] = set()
        self.written: list[tuple[str, str]] = []

    def __call__(self, key: str, payload: _Payload, previous: Row | None) -> Result:  # noqa: ARG002
        """Give the row with what was decided."""
        row = payload.row
        verdicts = [each for each in payload.decisions if each.verdict]
        if not verdicts:
            self.waiting += any(each.mask is not None for each in payload.decisions)
            taken_back = payload.decisions and row.get("review_decision") is not None
            new = {**row, **dict.fromkeys(COLUMNS)} if taken_back else row
            return Result(new, fresh=new is not row)
        final = self._final(key, verdicts)
        columns: Row = dict(
            zip(COLUMNS, (final.verdict, final.comment or None, final.reviewer, final.time), strict=True)
        )
        fresh = False
        if final.mask is not None and final.verdict == "accept":
            stored = row.get("mask_file_name")
            name = stored or f"masks/{key}.png"
            if in_archive(name):  # where nothing is changed; the corrected mask lies by itself
                name = loose_name("mask_file_name", key, name)
            fresh = self._write_mask(key, str(name), stored, final)
            columns |= {"mask_file_name": name, CORRECTED: True}
            self.written.append((key, final.digest or ""))
            self.corrected += fresh
            self.again |= {command for column, command in _MADE_OF_MASKS.items() if fresh and row.get(column)}
        elif any(each.mask is not None for each in payload.decisions):
            self.waiting += 1
        self.decisions[str(final.verdict)] += 1
        new = {**row, **columns}
        return Result(new, fresh=fresh or encode(new) != encode(row), note=_NOTE if fresh else "")

    def _final(self, key: str, verdicts: list[Decision]) -> Decision:
        """Give what counts of several reviewers' decisions."""
        said = {(each.verdict, each.digest if each.verdict == "accept" else None) for each in verdicts}
        preferred = [each for each in verdicts if each.reviewer == self.prefer]
        if len(said) > 1 and not preferred:
            self.disagreements.append(key)
            what = "; ".join(
                f"{each.reviewer}: {each.verdict}{' with a corrected mask' if each.mask else ''}" for each in verdicts
            )
            raise SampleError(
                "reviewers-disagree",
                f"the reviewers of {key} disagree ({what})",
                "settle it in the review, or say whose word counts with --prefer NAME",
            )
        if len(said) > 1 or len(verdicts) == 1:
            return (preferred or verdicts)[0]
        comments = [f"{each.reviewer}: {each.comment}" for each in verdicts if each.comment]
        latest = max(verdicts, key=lambda each: each.sequence)
        names = ", ".join(each.reviewer for each in verdicts)
        return msgspec.structs.replace(latest, reviewer=names, comment="; ".join(comments))

    def _write_mask(self, key: str, name: str, stored_name: str | None, final: Decision) -> bool:
        """Put a corrected mask in the place of the stored one; tell whether that changed anything."""
        if final.mask is None:
            raise TypeError("the decision has no mask")
        check_rle(final.mask)
        mask = rle_to_mask(final.mask)
        path = self._inside(name)
        archived = stored_name is not None and in_archive(stored_name)
        if not path.exists() and not archived:
            if stored_name:
                raise SampleError("missing-file", f"{path} does not exist any more", "put it back")
            write_file(path, encode_png(mask.view(np.uint8) * np.uint8(255)))
            return True
        data = self.place.read(stored_name) if archived else read_file(path)
        stored = read_mask(data, str(path))
        if stored.person.shape == mask.shape and np.array_equal(stored.person, mask):
            return False
        if fingerprint(data) != final.drawn_on or stored.person.shape != mask.shape:
            raise SampleError(
                "mask-changed",
                f"{path} is no longer the mask that {final.reviewer} corrected",
                f"look at {key} again in the review",
            )
        original = self._inside(f"{ORIGINALS}/{name}")
        if not archived and not original.exists():
            write_file(original, data)
        write_file(path, encode_png(_as_stored(mask, stored)))
        return True

    def _inside(self, name: str) -> Path:
        """Give the path of a file of the data set that is to be written, which no link leads out."""
        path = self.root / path_of(name)
        real, root = os.path.realpath(path), os.path.realpath(self.root)
        if os.path.commonpath((real, root)) != root:
            raise SampleError("leads-out", f"{path} is a link that leads out of {self.root}", "copy the masks into it")
        return path


def _as_stored(mask: Mask, stored: StoredMask) -> npt.NDArray[Any]:
    """Give a mask in the numbers of the file that it replaces; what counts nowhere stays so where nothing is drawn."""
    if stored.one_bit:
        return mask
    labels = np.where(mask, stored.value, 0).astype(np.uint16 if stored.value > _EIGHT_BITS else np.uint8)
    if stored.void is not None:
        labels[stored.void & ~mask] = 255
    return labels
