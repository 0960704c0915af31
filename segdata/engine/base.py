"""What every engine is: something that maps a picklable function over tasks and keeps their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Lost(Generic[T]):
    """Stands for the result of a task that ended its worker process, twice."""

    def __init__(self, task: T) -> None:
        self.task = task


class Engine(Protocol):
    """Runs work; the work does not know which engine runs it."""

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R | Lost[T]]:
        """Yield the result of each task in the order of the tasks, with a bounded number in flight.

        An exception that `function` raises ends the run and is raised here.
        """
        ...
