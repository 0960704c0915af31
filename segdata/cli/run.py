"""Run the library twin of a per-sample command with progress and workers, and show its report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segdata.cli.output import TerminalProgress
from segdata.cli.results import end_with
from segdata.engine import Processes
from segdata.steps import Report


def run_step_command(
    twin: Callable[..., Report], *arguments: Any, workers: int | None, as_json: bool, **settings: Any
) -> None:
    """Call `twin` and print what it did; ends with status 1 if samples failed."""
    progress = TerminalProgress()
    try:
        report = twin(*arguments, **settings, engine=Processes(workers), progress=progress)
    finally:
        progress.close()
    end_with(report, as_json=as_json)
