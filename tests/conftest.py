"""What every test may ask for."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several that share the cores; torch would take all of them, and wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("segdata", deadline=None)  # a machine may be busy; how long an example takes is no promise
settings.load_profile("segdata")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests marked slow take what they need."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(autouse=True)
def handlers_of_signals() -> Iterator[None]:
    """Put back what answers signals, which the command line takes over when it is called in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real photos and annotations beside the checkout."""
    if not (SHARED_DATA / "README.md").exists():
        pytest.skip(f"the shared photos are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def readers_python() -> str:
    """Give the Python of an environment that has the tools which read what segdata writes.

    They pin other versions of OpenCV, so that they cannot live beside segdata; .ci/run makes the environment.
    """
    python = os.environ.get("SEGDATA_READERS")
    if not python:
        pytest.skip("SEGDATA_READERS does not name the Python of an environment with the tools' own readers")
    return python
