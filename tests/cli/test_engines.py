"""The options --engine, --workers and --scheduler: every command has them, and what does not fit is refused."""

import inspect

import pytest

from segdata.cli import main
from segdata.cli.engines import address_of, engine_of
from segdata.engine import Inline, Processes
from segdata.errors import InputError

WITH_WORKERS = [
    command
    for command in main.COMMANDS
    if "workers" in inspect.signature(command).parameters and command.__name__ != "train"
]


@pytest.mark.parametrize("command", WITH_WORKERS)
def test_every_command_with_workers_takes_an_engine(command):
    assert {"engine", "scheduler"} <= set(inspect.signature(command).parameters)


def test_the_engine_is_what_was_asked_for():
    assert isinstance(engine_of("inline", None, None), Inline)
    processes = engine_of("processes", 3, None)
    assert isinstance(processes, Processes)
    assert processes.workers == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dask", 2, "tcp://host:1"), "--workers is for --engine processes, not dask"),
        (("inline", 2, None), "--workers is for --engine processes, not inline"),
        (("processes", None, "tcp://host:1"), "--scheduler is for --engine dask, not processes: say --engine dask"),
        (("dask", None, None), "give --scheduler ADDRESS, or set SEGDATA_SCHEDULER"),
    ],
)
def test_what_does_not_belong_together_is_refused(arguments, says, monkeypatch):
    monkeypatch.delenv("SEGDATA_SCHEDULER", raising=False)
    with pytest.raises(InputError, match=says):
        engine_of(*arguments)


def test_the_environment_may_hold_the_address(monkeypatch):
    monkeypatch.setenv("SEGDATA_SCHEDULER", "tcp://host:1")
    assert address_of(None) == "tcp://host:1"
    assert address_of("tcp://other:1") == "tcp://other:1"
    assert isinstance(engine_of("processes", None, None), Processes)
