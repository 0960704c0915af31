"""Run the library twin of a command with progress and an engine, and show its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segdata.cli.output import TerminalProgress
from segdata.cli.results import end_with
from segdata.engine import Engine


def run_command(twin: Callable[..., Any], *arguments: Any, engine: Engine, as_json: bool, **settings: Any) -> None:
    """Call `twin` and print what it did; ends with status 1 if samples failed."""
    progress = TerminalProgress()
    try:
        result = twin(*arguments, **settings, engine=engine, progress=progress)
    finally:
        progress.close()
    end_with(result, as_json=as_json)
