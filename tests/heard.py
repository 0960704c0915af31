"""What tests of progress and of lost workers share: a listener, and an engine that loses a task."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

from segdata.engine import Inline, Lost


class Heard:
    """Progress that keeps what it hears."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []
        self.advanced: list[int] = []

    def begin(self, step: str, total: int | None) -> None:
        self.begun.append((step, total))
        self.advanced.append(0)

    def advance(self) -> None:
        self.advanced[-1] += 1


class Losing(Inline):
    """An engine whose workers end on one of the tasks."""

    def __init__(self, lost: int) -> None:
        self.lost = lost

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Generator[Any, None, None]:
        for number, task in enumerate(tasks):
            yield Lost(task) if number == self.lost else function(task)
