"""What every test may ask for."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real photos and annotations beside the checkout."""
    if not (SHARED_DATA / "README.md").exists():
        pytest.skip(f"the shared photos are not at {SHARED_DATA}")
    return SHARED_DATA
