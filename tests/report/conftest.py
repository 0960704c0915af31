"""A real browser for the tests of pages."""

import shutil
from contextlib import closing

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="drives a browser: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    # Containers run as root, which Chromium's own sandbox refuses.
    options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}
    with playwright.sync_playwright() as started, closing(started.chromium.launch(**options)) as browser:
        yield browser
