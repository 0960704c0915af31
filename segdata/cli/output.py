"""What a command shows: progress and messages on stderr, its result on stdout."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
import typer

from segdata.cli.terminal import echo, visible

_QUIET_SECONDS = 1.0
_LINE_SECONDS = 10.0


class TerminalProgress:
    """Rate and time left of work that takes longer than a moment: a bar on a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self.step = ""
        self.total: int | None = None
        self.count = 0
        self.started = self.printed = time.monotonic()
        self.bar: Any = None

    def begin(self, step: str, total: int | None) -> None:
        """Start to count `total` samples."""
        self.close()
        self.step, self.total, self.count = step, total, 0
        self.started = self.printed = time.monotonic()

    def advance(self) -> None:
        """One more sample is finished."""
        self.count += 1
        if self.bar is not None:
            self.bar.update(self.task, completed=self.count, rate=f"{self._rate(time.monotonic()):,.0f}/s")
            return
        now = time.monotonic()
        if sys.stderr.isatty():
            if now - self.started > _QUIET_SECONDS:
                self._show_bar()
        elif now - self.printed > _LINE_SECONDS:
            self.printed = now
            echo(self._line(now), err=True)

    def _show_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.bar.add_task(self.step, total=self.total, completed=self.count, rate="")
        self.bar.start()

    def _line(self, now: float) -> str:
        rate = self._rate(now)
        text = f"{self.step}: {self.count:,} samples, {rate:,.0f}/s"
        if self.total:
            left = max(0, self.total - self.count) / rate
            text = f"{self.step}: {self.count:,} of {self.total:,} samples, {rate:,.0f}/s, {left:,.0f} s left"
        return text

    def _rate(self, now: float) -> float:
        return self.count / (now - self.started)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def print_json(result: Any) -> None:
    """Print a result as one JSON object on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


def show_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table on stdout: the first column to the left, numbers to the right, and a blank line round it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*map(visible, header), box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "right" if number and all(_is_number(row[number]) for row in rows) else "left"
    for row in rows:
        table.add_row(*map(visible, row))
    console = Console(highlight=False, markup=False, emoji=False)  # names are shown as they are
    # Without a terminal rich assumes 80 columns and would cut off names.
    console.width = console.width if console.is_terminal else 1000
    console.print()
    console.print(table)
    console.print()


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").replace(".", "").lstrip("+-").isdigit()
