"""Masks on their way to the browser and back, as run lengths along the rows.

A browser that guards against being recognised changes the pixels that a page reads back from a picture; run lengths
arrive as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segdata.errors import SampleError
from segdata.masks import Mask


def mask_to_runs(mask: Mask) -> bytes:
    """Encode bool (H, W) as uint32, lowest byte first: height, width, then run lengths from background on.

    >>> np.frombuffer(mask_to_runs(np.array([[True, True], [False, True]])), "<u4").tolist()
    [2, 2, 0, 2, 1, 1]
    """
    flat = mask.ravel()
    ends = [*np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size] if flat.size else []
    runs = np.diff(np.array(ends, np.int64), prepend=0)
    first = [0] if flat.size and flat[0] else []
    return np.concatenate(([*mask.shape], first, runs)).astype("<u4").tobytes()


def runs_to_mask(runs: Sequence[int], height: int, width: int) -> Mask:
    """Decode run lengths, from background on, to bool (H, W).

    Raises `SampleError` (``bad-runs``) unless they cover the image exactly.

    >>> runs_to_mask([0, 2, 1, 1], 2, 2).tolist()
    [[True, True], [False, True]]
    """
    lengths = np.array(runs, np.int64)
    total = int(lengths.sum())
    if lengths.ndim != 1 or (lengths.size and lengths.min() < 0) or total != height * width:
        raise SampleError("bad-runs", f"the run lengths cover {total} pixels, the mask has {height * width}")
    values = np.arange(lengths.size) % 2 == 1
    return np.repeat(values, lengths).reshape(height, width)
