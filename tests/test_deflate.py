"""Sparse data is compressed to what any zlib reads back."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdata.deflate import compress_sparse


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 3000), st.dictionaries(st.integers(0, 2999), st.integers(0, 255), max_size=60))
def test_zlib_reads_back_what_was_compressed(length: int, values: dict[int, int]) -> None:
    values = {place: value for place, value in values.items() if place < length}
    data = np.zeros(length, np.uint8)
    places = np.array(sorted(values), np.int64)
    data[places] = [values[place] for place in places]
    assert zlib.decompress(compress_sparse(data, places)) == data.tobytes()


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 4, 5, 258, 259, 260, 261, 262, 516, 517, 519, 100_000])
@pytest.mark.parametrize("value", [1, 143, 144, 255])
def test_runs_of_every_kind_are_read_back(zeros: int, value: int) -> None:
    data = np.zeros(2 * zeros + 1, np.uint8)
    data[zeros] = value
    assert zlib.decompress(compress_sparse(data, np.array([zeros]))) == data.tobytes()


def test_data_without_zeros_is_read_back() -> None:
    data = np.arange(1, 256).astype(np.uint8)
    assert zlib.decompress(compress_sparse(data, np.arange(255))) == data.tobytes()


def test_equal_data_gives_equal_bytes() -> None:
    data = np.zeros(5000, np.uint8)
    data[[0, 77, 4000]] = 9
    places = np.array([0, 77, 4000])
    assert compress_sparse(data, places) == compress_sparse(data.copy(), places)
