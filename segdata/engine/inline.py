"""The engine that runs everything in the calling process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from segdata.engine.base import Lost, R, T


class Inline:
    """Run each task here and now.

    >>> list(Inline().map(abs, [-1, 2]))
    [1, 2]
    """

    lost_workers = False

    def for_large_tasks(self) -> Inline:
        """Give this one, which does so anyway."""
        return self

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R | Lost[T], None, None]:
        """Yield the result of each task, one after the other."""
        yield from map(function, tasks)
