"""Splitting a data set writes one column of metadata.jsonl, and lists of keys where asked."""

import pytest
from running import rows, times

from segdata.dataset import write_lines
from segdata.errors import InputError
from segdata.ops.split import assign_splits, split
from segdata.sample import encode


@pytest.fixture
def data(tmp_path):
    """Twenty rows; the columns of the first know nothing of shoot and domain."""
    samples = [{"key": f"{number:02}", "note": number} for number in range(20)]
    for number, row in enumerate(samples[1:]):
        row |= {"shoot": number // 3, "domain": ["far shot", "head shot"][number % 2]}
    write_lines(tmp_path / "metadata.jsonl", map(encode, samples))
    return tmp_path


def splits(data):
    return {row["key"]: row["split"] for row in rows(data / "metadata.jsonl")}


def test_the_column_is_what_the_keys_are_assigned(data):
    before = rows(data / "metadata.jsonl")
    report = split(data, seed=3)
    keys = [row["key"] for row in before]
    assert list(splits(data).values()) == assign_splits(keys, seed=3)
    assert report.counts == {"train": 12, "val": 4, "test": 4}
    assert [{**row, "split": splits(data)[row["key"]]} for row in before] == rows(data / "metadata.jsonl")


def test_a_second_run_touches_nothing(data):
    split(data, lists=True)
    before = times(data)
    split(data, lists=True)
    assert times(data) == before


def test_samples_of_a_group_share_a_split_and_those_without_stand_alone(data):
    split(data, group_by="shoot")
    by_shoot = {}
    for row in rows(data / "metadata.jsonl")[1:]:
        by_shoot.setdefault(row["shoot"], set()).add(row["split"])
    assert all(len(found) == 1 for found in by_shoot.values())
    assert len({next(iter(found)) for found in by_shoot.values()}) > 1


def test_the_values_of_a_column_are_spread_over_the_splits(data):
    split(data, stratify="domain", ratios=(50, 50))
    for domain in ("far shot", "head shot"):
        found = [row["split"] for row in rows(data / "metadata.jsonl") if row.get("domain") == domain]
        assert abs(found.count("train") - found.count("val")) <= 1


def test_samples_that_have_a_split_keep_it_where_asked(data):
    split(data, seed=1)
    before = splits(data)
    with (data / "metadata.jsonl").open("a") as file:
        file.writelines(f'{{"key": "new {number}"}}\n' for number in range(10))
    report = split(data, seed=2, keep=True)
    after = splits(data)
    assert {key: after[key] for key in before} == before
    assert (len(after), report.counts) == (30, {"train": 18, "val": 6, "test": 6})


def test_the_lists_hold_the_keys_of_each_split_in_order(data):
    report = split(data, lists=True)
    assert report.lists == tuple(str(data / f"{name}.txt") for name in ("train", "val", "test"))
    for name in ("train", "val", "test"):
        keys = (data / f"{name}.txt").read_text().splitlines()
        assert keys == [key for key, at in splits(data).items() if at == name]
        assert keys


def test_lists_of_splits_that_are_no_more_are_removed_where_lists_are_asked_for(data):
    split(data, lists=True)
    assert split(data, ratios=(80, 20)).counts == {"train": 16, "val": 4}
    assert (data / "test.txt").is_file()
    report = split(data, ratios=(80, 20), lists=True)
    assert report.lists == (str(data / "train.txt"), str(data / "val.txt"))
    assert not (data / "test.txt").exists()
    split(data, ratios=(1,), lists=True)
    assert sorted(path.name for path in data.glob("*.txt")) == ["train.txt"]


def test_a_split_that_is_kept_and_has_no_ratio_any_more_is_refused(data):
    split(data)
    with pytest.raises(InputError, match="'test', which is not one of train, val"):
        split(data, ratios=(80, 20), keep=True)


def test_an_empty_data_set_has_empty_splits(tmp_path):
    (tmp_path / "metadata.jsonl").touch()
    assert split(tmp_path).counts == {"train": 0, "val": 0, "test": 0}


def test_a_column_that_no_row_has_is_named(data):
    for option in ("group_by", "stratify"):
        with pytest.raises(InputError, match=r"no row of .*metadata\.jsonl has a column 'colour'"):
            split(data, **{option: "colour"})
    assert "split" not in rows(data / "metadata.jsonl")[0]


def test_a_row_that_cannot_be_read_is_named_and_nothing_is_written(data):
    with (data / "metadata.jsonl").open("a") as file:
        file.write("torn\n")
    before = times(data)
    with pytest.raises(InputError, match="line 21, cannot be read"):
        split(data)
    assert times(data) == before


def test_a_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a data set"):
        split(tmp_path)
