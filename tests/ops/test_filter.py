"""`filter` writes a new data set of the samples that fit, and says of the others why they do not."""

import json

import pytest
from people import change_rows, merged_people
from running import rows, times, tree

from segdata.dataset import Dataset
from segdata.engine import Processes
from segdata.errors import InputError
from segdata.ops.edges import edges
from segdata.ops.filter import filter as filter_samples


@pytest.fixture(scope="module")
def source(shared_data, tmp_path_factory):
    data = merged_people(shared_data, tmp_path_factory.mktemp("filter"), 24)
    edges(data)
    dataset = Dataset(data)
    dataset.rewrite(
        {**row, "split": "val" if number % 3 else "test"} for number, row in enumerate(list(dataset.rows()))
    )
    return data


def keys(folder):
    return [row["key"] for row in rows(folder / "metadata.jsonl")]


def test_rows_and_files_of_what_fits_come_along_and_the_data_set_stays_as_it_is(source, tmp_path):
    before = tree(source)
    out = tmp_path / "out"
    report = filter_samples(source, where='split == "test"', out=out)
    assert tree(source) == before
    assert (report.done, report.skipped, report.failed) == (8, 16, 0)
    wanted = [row for row in rows(source / "metadata.jsonl") if row["split"] == "test"]
    found = rows(out / "metadata.jsonl")
    for old, new in zip(wanted, found, strict=True):
        assert new["fingerprints"].pop("filter")
        assert new == old
        for column in ("file_name", "mask_file_name", "edge_file_name"):
            assert (out / new[column]).read_bytes() == (source / old[column]).read_bytes()
            assert not (out / new[column]).samefile(source / old[column])
    assert len(tree(out)) == 8 * 3 + 2
    outcomes = rows(out / "outcomes.jsonl")
    assert {row["status"] for row in outcomes} == {"skipped"}
    assert {row["message"] for row in outcomes} == {"""it does not fit 'split == "test"'"""}
    assert edges(out).reused == 8  # what other commands made of the samples is still known


def test_a_second_run_does_nothing_and_other_workers_give_the_same_bytes(source, tmp_path):
    filter_samples(source, where="width >= 480", out=tmp_path / "a")
    before = times(tmp_path / "a")
    report = filter_samples(source, where="width >= 480", out=tmp_path / "a")
    assert report.done == 0
    assert times(tmp_path / "a").items() >= {k: v for k, v in before.items() if not k.startswith("outcomes")}.items()
    filter_samples(source, where="width >= 480", out=tmp_path / "b", engine=Processes(2))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_another_expression_adds_and_removes_what_it_says(source, tmp_path):
    out = tmp_path / "out"
    filter_samples(source, where='split == "test"', out=out)
    report = filter_samples(source, where='split == "val" or width > 600', out=out)
    assert report.reused > 0
    assert report.done > 0
    filter_samples(source, where='split == "val" or width > 600', out=tmp_path / "fresh")
    assert tree(out) == tree(tmp_path / "fresh")


def test_what_was_added_to_the_new_data_set_stays_where_the_sample_has_not_changed(source, tmp_path):
    out = tmp_path / "out"
    filter_samples(source, where='split == "test"', out=out)
    change_rows(out, note="mine", split="train")
    filter_samples(source, where='split == "test"', out=out)
    assert {(row["note"], row["split"]) for row in rows(out / "metadata.jsonl")} == {("mine", "train")}


def test_licences_decide_and_what_is_left_out_is_said_and_counted(source, tmp_path):
    report = filter_samples(source, licence="permissive", out=tmp_path / "out")
    urls = {row["licence_url"] for row in rows(tmp_path / "out" / "metadata.jsonl")}
    assert urls <= {"http://creativecommons.org/licenses/by/2.0/", "http://flickr.com/commons/usage/"}
    assert sum(report.notes.values()) == report.skipped > 0
    assert list(report.notes) == ["left out, CC BY-SA 2.0: what is made of it must be shared alike"]
    outcome = rows(tmp_path / "out" / "outcomes.jsonl")[0]
    assert outcome["code"] == "licence"
    assert outcome["key"] in outcome["message"]


def test_photos_without_a_known_licence_are_left_out(source, tmp_path):
    data = tmp_path / "data"
    filter_samples(source, where="width > 0", out=data)
    dataset = Dataset(data)
    unknown = {"licence_name": "ask me", "licence_url": None}
    none = {"licence": None, "licence_name": None, "licence_url": None}
    every = list(dataset.rows())
    dataset.rewrite(iter([{**every[0], **unknown}, {**every[1], **none}, *every[2:]]))
    report = filter_samples(data, licence="commercial", out=tmp_path / "out")
    assert report.notes == {"left out, its licence is not known": 1, "left out, no licence is stated": 1}


def test_a_sample_without_its_photo_fails_and_the_others_go_on(source, tmp_path):
    data = tmp_path / "data"
    filter_samples(source, where="width > 0", out=data)
    first, second = list(Dataset(data).rows())[:2]
    (data / first["file_name"]).unlink()
    Dataset(data).rewrite(
        {**row, "mask_file_name": "../../etc/passwd"} if row["key"] == second["key"] else row
        for row in list(Dataset(data).rows())
    )
    report = filter_samples(data, where="width > 0", out=tmp_path / "out")
    assert (report.done, report.failed) == (22, 2)
    codes = {row["key"]: row["code"] for row in rows(tmp_path / "out" / "outcomes.jsonl")}
    assert codes == {first["key"]: "missing-file", second["key"]: "unsafe-name"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give --where or --licence"),
        ({"where": "width > 1e9"}, "no sample of .* fits"),
        ({"where": "widht > 3"}, "did you mean width"),
        ({"licence": "anything"}, "there is no use"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(source, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        filter_samples(source, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_the_data_set_itself_and_places_with_other_things_are_refused(source, tmp_path):
    before = tree(source)
    for out in (source, source / "inner", source.parent):
        with pytest.raises(InputError, match="outside of it"):
            filter_samples(source, where="width > 0", out=out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        filter_samples(source, where="width > 0", out=tmp_path / "mine")
    assert tree(source) == before


def test_rows_of_any_tool_will_do(tmp_path):
    (tmp_path / "data").mkdir()
    lines = [{"file_name": "a.jpg", "year": 2020}, {"file_name": "b.jpg", "year": "unknown"}, {"file_name": "c.jpg"}]
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in "abc":
        (tmp_path / "data" / f"{name}.jpg").write_bytes(name.encode())
    assert filter_samples(tmp_path / "data", where="year >= 2020", out=tmp_path / "out").done == 1
    assert keys(tmp_path / "out") == ["a"]
