"""The engine that a command's options ask for."""

from __future__ import annotations

import os

from segdata.cli.options import EngineName
from segdata.engine import DaskCluster, Engine, Inline, Processes
from segdata.errors import InputError

SCHEDULER = "SEGDATA_SCHEDULER"


def engine_of(engine: EngineName, workers: int | None, scheduler: str | None) -> Engine:
    """Make the engine; raises `InputError` for options that belong to another one, and where a cluster is not there."""
    if workers is not None and engine != "processes":
        raise InputError(f"--workers is for --engine processes, not {engine}", "leave it away")
    if scheduler is not None and engine != "dask":
        raise InputError(f"--scheduler is for --engine dask, not {engine}", "say --engine dask, or leave it away")
    if engine == "inline":
        return Inline()
    if engine == "processes":
        return Processes(workers)
    return DaskCluster(address_of(scheduler))


def address_of(scheduler: str | None) -> str:
    """Give the address of the scheduler, which the environment may hold; raises `InputError` where there is none."""
    address = scheduler or os.environ.get(SCHEDULER)
    if not address:
        raise InputError(
            "a Dask cluster is found by the address of its scheduler", f"give --scheduler ADDRESS, or set {SCHEDULER}"
        )
    return address
