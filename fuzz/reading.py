"""What the harnesses of readers share: where files go, which errors are allowed, and how large a claim may be."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from inputs import Mutator

MOST_PIXELS = 1 << 22
"""Claims above this are refused here as those above 2^30 are elsewhere: memory is in proportion to what is claimed."""


class Reader(NamedTuple):
    """A harness: inputs to start from, how they are changed, and the check of one of them.

    `check` reads an input, compares what comes of it with what other means make of it, and tells whether there was
    anything. It may raise a `segdata.errors.SegdataError` for what it refuses; whatever else it raises is a finding.
    `words` are put into inputs.
    """

    name: str
    seeds: Callable[[], Iterable[bytes]]
    mutator: Mutator
    check: Callable[[bytes], bool]
    words: tuple[bytes, ...] = ()
    most_bytes: int = 4096


def folder() -> Path:
    """Make a folder, which goes when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="segdata-fuzz-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def lower_limit() -> None:
    """Lower the most pixels that an input may claim, in every module that has the limit."""
    for name, module in list(sys.modules.items()):
        if name.startswith("segdata") and hasattr(module, "MOST_PIXELS"):
            module.MOST_PIXELS = MOST_PIXELS


def samples(source: Any) -> Iterable[tuple[Any, Any]]:
    """Give the payload of each sample that a source reads, and the sample; others are refused with a reason."""
    from segdata.errors import SampleError
    from segdata.sample import Outcome

    for item in source:
        if isinstance(item, Outcome):
            continue
        key, payload = item
        try:
            yield payload, source.parse(key, payload)
        except SampleError:
            continue
