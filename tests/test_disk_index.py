"""Records beyond a bound are held in temporary files, and come back in order, sorted or by their key."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from segdata.disk_index import Column, Lines, Spool, Table, ordered
from segdata.errors import StorageError
from segdata.memory import Share

ROW = [("key", np.uint64), ("offset", np.int64)]
HELD = 64  # bytes: all but the first records of a column are on disk


def rows(count, keys, seed=0):
    """Make rows with keys that repeat, in no order, and the numbers of the rows as their offsets."""
    table = np.zeros(count, ROW)
    table["key"] = np.random.default_rng(seed).integers(0, keys, count, np.uint64) << np.uint64(40)
    table["offset"] = np.arange(count)
    return table


def column_of(records, held=HELD):
    column = Column(records.dtype, held)
    column.extend(records)
    return column


def all_of(column):
    return np.concatenate([np.zeros(0, column.dtype), *column.blocks()])


# Columns


@pytest.mark.parametrize("held", [HELD, 1 << 20])
def test_records_come_back_in_their_order_however_they_were_added(held):
    records = rows(20_000, 50)
    column = Column(ROW, held)
    for record in records[:9_000].tolist():
        column.append(record)
    assert np.array_equal(column.read(10, 20), records[10:20])
    column.extend(records[9_000:])
    column.append((7, 8))
    assert len(column) == 20_001
    assert all_of(column).tolist() == [*records.tolist(), (7, 8)]
    assert column.read(20_000, 30_000).tolist() == [(7, 8)]


def test_columns_beyond_their_bound_are_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(held=10)
    spool.write(b"0123456789")
    assert not spool._file._rolled
    spool.write(b"a")
    assert spool._file._rolled
    assert list(tmp_path.iterdir()) == []
    assert spool.read(8, 9) == b"89a"


def test_a_full_folder_of_temporary_files_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("r+b", buffering=0))  # noqa: SIM115
    column = Column(np.int64, held=8)
    with pytest.raises(StorageError, match=r"temporary files.*\(No space left on device\): make room.*TMPDIR"):
        column.extend(np.arange(9))


# Sorting


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 5_000, 60_000])
@pytest.mark.parametrize("keys", [1, 3, 1 << 20])
def test_sorting_by_runs_is_sorting_and_keeps_the_order_of_equal_keys(count, keys):
    records = rows(count, keys)
    expected = records[np.argsort(records["key"], kind="stable")]
    for run in (100, 1 << 17):
        assert np.array_equal(all_of(ordered(column_of(records), Share(HELD, run))), expected)


def test_numbers_sort_by_themselves():
    numbers = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, 3_000)
    assert np.array_equal(all_of(ordered(column_of(numbers), Share(HELD, 100))), np.sort(numbers))


# Finding


@pytest.mark.parametrize("run", [700, 1 << 17])
def test_the_last_record_of_a_key_is_found(run):
    records = rows(30_000, 9_000)
    table = Table(column_of(records), Share(HELD, run))
    last = dict(records.tolist())
    assert len(table) == 30_000
    for key in [*list(last)[:500], 1, (1 << 64) - 1]:
        assert table.last(key) == ((key, last[key]) if key in last else None)


def test_a_key_that_fills_pages_is_found():
    records = np.array([(4, n) for n in range(2_000)], ROW)
    table = Table(column_of(records), Share(HELD))
    assert [table.last(key) for key in (3, 4, 5)] == [None, (4, 1_999), None]
    assert table.holds(np.array([3, 4, 5], np.uint64)).tolist() == [False, True, False]


@pytest.mark.parametrize(("held_keys", "asked"), [(40_000, 40_000), (40_000, 5), (5, 40_000), (0, 5), (5, 0)])
def test_keys_are_told_from_those_that_have_no_record(held_keys, asked):
    table = Table(column_of(rows(held_keys, 30_000)), Share(HELD, 5_000))
    keys = np.sort(rows(asked, 60_000, seed=1)["key"])
    assert np.array_equal(table.holds(keys), np.isin(keys, all_of(column_of(rows(held_keys, 30_000)))["key"]))


# Lines


def test_lines_come_back_as_often_as_asked():
    lines = Lines(HELD)
    assert list(lines) == []
    added = [b"", b"a" * 20_000, *(b"%d" % number for number in range(9_000))]
    for line in added:
        lines.append(line)
    assert len(lines) == len(added)
    assert list(lines) == list(lines) == added


# Memory


def test_a_million_records_are_sorted_and_found_within_the_memory_of_a_few():
    columns = []
    for count in (100_000, 1_000_000):
        column = Column(ROW)
        for seed in range(0, count, 50_000):
            column.extend(rows(50_000, 1 << 20, seed))
        columns.append(column)
    peaks = []
    for column in columns:
        tracemalloc.start()
        key, _ = column.read(7, 8).tolist()[0]
        assert Table(column).last(key)[0] == key
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
    assert peaks[1] < 10_000_000
