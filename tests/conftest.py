"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("segdata", deadline=None)
settings.load_profile("segdata")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
