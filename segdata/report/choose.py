"""Some samples of a data set to look at: those that fit, the first of them in an order, or at random."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from segdata.dataset import Row
from segdata.ops.expression import Expression, check_column, columns_of, value_of


class Chosen(NamedTuple):
    """The rows chosen, how many samples there are, and how many of them fit."""

    rows: list[Row]
    samples: int
    fitting: int


def choose(
    rows: Callable[[], Iterator[Row]], where: str | None, sort: str | None, seed: int | None, count: int
) -> Chosen:
    """Choose rows in one pass, or two where names are to be checked; keeps `count` rows in memory.

    `where` is an `Expression` that they fit, `sort` the column by which they come, with ``-`` before it the highest
    first, and `seed` draws them at random instead. Samples without a value come last. Raises as `Expression`.
    """
    known = columns_of(rows()) if where is not None or sort is not None else {}
    fits = None if where is None else Expression(where, known)
    name = (sort or "").removeprefix("-")
    if sort is not None:
        check_column(name, known, f"--sort {sort}")
    samples = fitting = 0
    without: list[Row] = []

    def fitted() -> Iterator[tuple[Any, int, Row]]:
        nonlocal samples, fitting
        for row in rows():
            samples += 1
            if fits is not None and not fits(row):
                continue
            fitting += 1
            rank: Any = ()
            if seed is not None:
                rank = hashlib.blake2b(f"{seed}/{row['key']}".encode(), digest_size=8).digest()
            elif sort is not None and (rank := _rank(value_of(row, name))) is None:
                if len(without) < count:
                    without.append(row)
                continue
            yield rank, fitting, row

    if sort is not None and sort.startswith("-"):
        best = heapq.nlargest(count, fitted(), key=lambda each: (each[0], -each[1]))
    else:
        best = heapq.nsmallest(count, fitted(), key=lambda each: each[:2])
    return Chosen([*(row for _, _, row in best), *without][:count], samples, fitting)


def _rank(value: Any) -> tuple[int, Any] | None:
    """Give what a value is sorted by; numbers before texts, and None for what has no order."""
    if isinstance(value, list):
        value = len(value)
    if isinstance(value, bool | int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else None
