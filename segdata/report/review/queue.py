"""Which sample comes when: the order by a column, the filter by what was decided, and a page of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.report.review.index import Index
from segdata.report.review.store import VERDICTS, Brief, Store

FILE_ORDER = "file"
Filter = Literal["all", "undecided", "accept", "reject", "needs-work", "corrected", "second-look", "disagree"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
# Of these a high value is bad; of all others a low one.
HIGH_IS_BAD = frozenset({"uncertainty", "contradiction", "disagreement", "distance", "error", "flicker"})
MOST_A_PAGE = 200

_Codes = npt.NDArray[np.int8]
_Rows = npt.NDArray[np.int64]
_CODES = {None: 0} | {verdict: number for number, verdict in enumerate(VERDICTS, start=1)}
_ACCEPT = _CODES["accept"]


class View(msgspec.Struct, frozen=True):
    """What a reviewer looks at: the column to order by, which end of it first, and which samples."""

    by: str = FILE_ORDER
    first: Literal["low", "high"] = "low"
    show: Filter = "all"
    find: str = ""


class Item(msgspec.Struct, frozen=True):
    """A sample in the queue, `value` in the column it is ordered by."""

    key: str
    value: float | None
    verdict: str | None
    corrected: bool


class Page(msgspec.Struct, frozen=True):
    """A part of the queue; `total` counts all of it."""

    items: list[Item]
    offset: int
    total: int


class Neighbour(msgspec.Struct, frozen=True):
    """The sample before or after one, or None, and where in the queue, from 0, it stands."""

    key: str | None
    place: int
    total: int


class _Said(NamedTuple):
    """What one reviewer said of every sample: a code, and a hash of the corrected mask or 0."""

    codes: _Codes
    digests: _Rows


class Queue:
    """The queue of one reviewer over the samples of a data set; threads may share it.

    It follows metadata.jsonl when another command replaces it, and decisions that other processes save.
    """

    def __init__(
        self,
        root: str | Path,
        store: Store,
        reviewer: str,
        more: dict[str, dict[str, float]] | None = None,
        begin_with: str | None = None,
    ) -> None:
        """Read the data set; `more` are columns that it does not hold: by name, values by key."""
        self.store, self.reviewer, self.begin_with = store, reviewer, begin_with
        more = more or {}
        self._root, self._more = root, more
        self._lock = threading.RLock()
        self._load()

    def _load(self) -> None:
        self.index = Index(self._root)
        count = len(self.index)
        self.columns = dict(self.index.columns)
        for name, values in self._more.items():
            column = np.full(count, np.nan)
            for key, value in values.items():
                if (place := self.index.number(key)) is not None:
                    column[place] = value
            self.columns[name] = column
        self.columns = {name: column for name, column in self.columns.items() if not np.isnan(column).all()}
        self._orders: dict[tuple[str, str], _Rows] = {}
        self._said: dict[str, _Said] = {}
        self.sequence = 0

    def refresh(self) -> list[Brief]:
        """Take in what has changed on disk; give the decisions saved since the last time."""
        with self._lock:
            if not self.index.is_current():
                self._load()
            news = self.store.since(self.sequence)
            for brief in news:
                self._take(brief)
            return news

    def _take(self, brief: Brief) -> None:
        self.sequence = max(self.sequence, brief.sequence)
        place = self.index.number(brief.key)
        if place is None:  # of a sample that is no longer in the data set
            return
        if brief.reviewer not in self._said:
            count = len(self.index)
            self._said[brief.reviewer] = _Said(np.zeros(count, np.int8), np.zeros(count, np.int64))
        said = self._said[brief.reviewer]
        said.codes[place] = _CODES[brief.verdict]
        said.digests[place] = 0 if brief.digest is None else int(brief.digest[:15], 16) + 1

    @property
    def mine(self) -> _Said:
        """What this queue's reviewer said."""
        count = len(self.index)
        return self._said.get(self.reviewer) or _Said(np.zeros(count, np.int8), np.zeros(count, np.int64))

    def reviewers(self) -> list[str]:
        """Name everyone who decided or corrected something."""
        return sorted(name for name, said in self._said.items() if said.codes.any() or said.digests.any())

    def counts(self) -> dict[str, int]:
        """Count the samples of each filter."""
        with self._lock:
            self.refresh()
            return {show: int(self._shown(show).sum()) for show in FILTERS}

    def best_column(self) -> str:
        """Name the column to begin with: how likely a mask is to be wrong, where anything tells."""
        for name in (self.begin_with, "contradiction", "disagreement", "uncertainty", "confidence"):
            if name is not None and name in self.columns:
                return name
        return FILE_ORDER

    def page(self, view: View, offset: int, limit: int) -> Page:
        """Give a part of the queue."""
        with self._lock:
            self.refresh()
            places = self._places(view)
            column, mine = self.columns.get(view.by), self.mine
            limit = max(1, min(limit, MOST_A_PAGE))
            offset = max(0, min(offset, (len(places) - 1) // limit * limit if len(places) else 0))
            items = [
                Item(
                    self.index.keys[place],
                    None if column is None or np.isnan(column[place]) else float(column[place]),
                    None if not mine.codes[place] else VERDICTS[mine.codes[place] - 1],
                    bool(mine.digests[place]),
                )
                for place in places[offset : offset + limit].tolist()
            ]
            return Page(items, offset, len(places))

    def neighbour(self, view: View, key: str | None, step: Literal[-1, 0, 1]) -> Neighbour:
        """Give the sample before (-1) or after (1) one, which need not be in the queue itself; 0 says where it stands.

        Without `key`, the first.
        """
        with self._lock:
            self.refresh()
            places = self._places(view)
            here = None if key is None else self.index.number(key)
            if here is None:
                at = 0
            else:
                rank = self._rank(view)
                ranks = rank[places]
                before, after = (int(np.searchsorted(ranks, rank[here], side=side)) for side in ("left", "right"))
                at = {-1: before - 1, 0: before, 1: after}[step]
            found = self.index.keys[places[at]] if 0 <= at < len(places) else None
            return Neighbour(found, at, len(places))

    def _rank(self, view: View) -> _Rows:
        order = self._order(view)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return rank

    def _places(self, view: View) -> _Rows:
        shown = self._shown(view.show)
        if view.find:
            wanted = view.find.casefold()
            shown = shown & np.fromiter((wanted in key.casefold() for key in self.index.keys), bool, len(self.index))
        order = self._order(view)
        return order[shown[order]]

    def _order(self, view: View) -> _Rows:
        """Give the places in order; samples without a value come last, equal ones in the order of the file."""
        name = (view.by, view.first)
        if name not in self._orders:
            column = self.columns.get(view.by)
            if column is None:
                places = np.arange(len(self.index))
                self._orders[name] = places if view.first == "low" else places[::-1]
            else:
                self._orders[name] = np.argsort(column if view.first == "low" else -column, kind="stable")
        return self._orders[name]

    def _shown(self, show: Filter) -> npt.NDArray[np.bool_]:
        codes, digests = self.mine
        shown: npt.NDArray[np.bool_]
        if show == "all":
            return np.ones(len(self.index), np.bool_)
        if show == "corrected":
            shown = digests != 0
            return shown
        if show == "second-look":
            others = [said.codes != 0 for name, said in self._said.items() if name != self.reviewer]
            return (codes == 0) & np.logical_or.reduce(others) if others else np.zeros(len(self.index), np.bool_)
        if show == "disagree":
            return self._disagree()
        shown = codes == (0 if show == "undecided" else _CODES[show])
        return shown

    def _disagree(self) -> npt.NDArray[np.bool_]:
        """Tell where two who decided said different things, or accepted different masks."""
        found = np.zeros(len(self.index), np.bool_)
        said = list(self._said.values())
        for number, (codes, digests) in enumerate(said):
            for other_codes, other_digests in said[:number]:
                both = (codes != 0) & (other_codes != 0)
                found |= both & ((codes != other_codes) | ((codes == _ACCEPT) & (digests != other_digests)))
        return found
