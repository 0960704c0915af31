"""What every engine is: something that maps a picklable function over tasks and keeps their order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Lost(Generic[T]):
    """Stands for the result of a task that ended its worker process each time it was tried alone."""

    def __init__(self, task: T) -> None:
        self.task = task


class Engine(Protocol):
    """Runs work; the work does not know which engine runs it.

    `lost_workers` tells whether a worker ended in the middle of its work, and may have left a file that it had begun.
    """

    lost_workers: bool

    def for_large_tasks(self) -> Engine:
        """Give the engine that hands out one task at a time, as suits those that take long."""
        ...

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R | Lost[T], None, None]:
        """Yield the result of each task in the order of the tasks, with a bounded number in flight.

        An exception that `function` raises ends the run and is raised here. Closing the generator ends the work.
        """
        ...
