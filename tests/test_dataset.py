"""A data set is a folder with metadata.jsonl: read row by row, and written in one move."""

import numpy as np
import pytest
from running import times

from segdata.dataset import Dataset, RowIndex, find_images, hash_key, open_rows, write_lines
from segdata.disk_index import Column
from segdata.errors import InputError, StorageError
from segdata.sample import Person, Sample


def dataset(folder, *lines):
    (folder / "metadata.jsonl").write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return Dataset(folder)


# Reading


def test_samples_come_in_the_order_of_the_file(tmp_path):
    data = dataset(
        tmp_path,
        '{"key": "b", "width": 4, "height": 3, "persons": [{"box": [0, 1, 2, 2]}], "colour": "red"}',
        "",
        '{"key": "a", "width": 2, "height": 1, "split": "val"}',
    )
    assert len(data) == 2
    assert list(data) == [Sample("b", 4, 3, persons=[Person(box=(0, 1, 2, 2))]), Sample("a", 2, 1, split="val")]


def test_rows_keep_columns_that_segdata_does_not_know(tmp_path):
    data = dataset(tmp_path, '{"key": "a", "colour": {"name": "red"}}')
    assert list(data.rows()) == [{"key": "a", "colour": {"name": "red"}}]


def test_a_row_without_key_takes_it_from_its_file_name(tmp_path):
    data = dataset(tmp_path, '{"file_name": "images/shoot 1/a.b.jpg"}', '{"file_name": "c.png"}')
    assert [row["key"] for row in data.rows()] == ["shoot 1/a.b", "c"]


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "b"',
        "[]",
        "{}",
        '{"key": 7}',
        '{"key": null}',
        '{"key": "../../b"}',
        '{"key": "/etc/b"}',
        '{"key": ""}',
        '{"file_name": "../b.jpg"}',
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(tmp_path, line):
    data = dataset(tmp_path, '{"key": "a"}', "", line)
    with pytest.raises(InputError, match=r"metadata\.jsonl, line 3, cannot be read .*: mend or remove that line"):
        list(data.rows())


def test_a_row_that_is_not_utf_8_is_named_by_its_line_and_not_in_the_index(tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes(b'{"key": "a", "width": 1, "height": 1}\n{"key": "\xff"}\n')
    for rows in (Dataset(tmp_path), Dataset(tmp_path).rows()):
        with pytest.raises(InputError, match="line 2, cannot be read"):
            list(rows)
    index = RowIndex(tmp_path / "metadata.jsonl")
    assert len(index) == 1
    index.close()


def test_a_row_is_found_by_its_key_whatever_its_file_name_is(tmp_path):
    (row,) = dataset(tmp_path, '{"key": "a", "file_name": 2}').rows()
    assert row == {"key": "a", "file_name": 2}
    index = RowIndex(tmp_path / "metadata.jsonl")
    assert index.find("a") == (0, b'{"key": "a", "file_name": 2}')
    index.close()


def test_a_sample_that_lacks_its_size_is_named_by_its_line(tmp_path):
    with pytest.raises(InputError, match=r"line 1, cannot be read .*width"):
        list(dataset(tmp_path, '{"key": "a"}'))


def test_a_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(InputError, match=r" is not a data set: give a folder with metadata\.jsonl"):
        Dataset(tmp_path)
    with pytest.raises(InputError, match="nothing does not exist: check the path"):
        Dataset(tmp_path / "nothing")


def test_a_data_set_whose_first_run_was_interrupted_is_told_apart(tmp_path):
    (tmp_path / ".metadata.jsonl.merge-coco.part").touch()
    with pytest.raises(InputError, match="was interrupted: run that again"):
        Dataset(tmp_path)


# Writing


def test_rows_are_put_in_place_of_the_old_ones(tmp_path):
    data = dataset(tmp_path, '{"key": "a"}')
    data.rewrite({**row, "n": 1} for row in data.rows())
    assert data.metadata.read_text() == '{"key":"a","n":1}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.jsonl"]


def test_rows_that_are_the_same_are_not_written(tmp_path):
    data = dataset(tmp_path, '{"key":"a"}')
    before = times(tmp_path)
    data.rewrite(data.rows())
    assert times(tmp_path) == before


def test_lines_that_end_in_an_error_leave_what_was_there(tmp_path):
    def lines():
        yield b"new"
        raise InputError("there are no more")

    path = tmp_path / "file"
    path.write_text("old\n")
    with pytest.raises(InputError, match="no more"):
        write_lines(path, lines())
    assert path.read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_lines_for_a_device_that_is_full_are_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("segdata.files.part_of", lambda path: tmp_path / "link")
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"file cannot be written \(No space left on device\): make room"):
        write_lines(tmp_path / "file", iter([b"line"]))


# Finding rows


def test_the_index_finds_rows_by_key(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"key":"a"}\n\nnot json\n{"file_name":"images/b.jpg"}\n{"key":"a","n":2}\n')
    index = RowIndex(path)
    assert len(index) == 3
    assert index.find("a") == (51, b'{"key":"a","n":2}')
    assert index.find("b") == (22, b'{"file_name":"images/b.jpg"}')
    assert index.find("c") is None
    hashes = Column(np.uint64)
    hashes.append(hash_key("a"))
    assert [line for _, line in index.without(hashes)] == [b'{"file_name":"images/b.jpg"}']
    index.close()


def test_the_index_of_more_rows_than_are_sorted_at_a_time_finds_each(tmp_path):
    path = tmp_path / "rows.jsonl"
    count = 140_000
    lines = [b'{"key":"%d"}' % (number % (count - 1)) for number in range(count)]
    path.write_bytes(b"\n".join([*lines, b""]))
    index = RowIndex(path)
    assert len(index) == count
    assert index.find("1") == (len(lines[0]) + 1, lines[1])
    assert index.find("0") == (path.stat().st_size - len(lines[0]) - 1, lines[0])
    assert index.find("99999")[1] == lines[99_999]
    assert index.find(str(count)) is None
    seen = Column(np.uint64)
    for key in range(5, count):
        seen.append(hash_key(str(key)))
    assert [line for _, line in index.without(seen)] == [*lines[:5], lines[-1]]
    index.close()


def test_the_index_of_a_journal_ends_with_the_last_whole_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"key":"a"}\n{"key":"b"}')
    for torn, size, found in ((True, 12, None), (False, 23, (12, b'{"key":"b"}'))):
        index = RowIndex(path, torn=torn)
        assert (index.size, index.find("b")) == (size, found)
        index.close()


def test_the_index_of_a_file_that_is_not_there_is_empty(tmp_path):
    index = RowIndex(tmp_path / "rows.jsonl")
    assert (len(index), index.size, index.find("a"), list(index.without(Column(np.uint64)))) == (0, 0, None, [])


# Plain folders


def test_images_are_found_by_key_in_order(tmp_path):
    for name in ("b/a.JPG", "a.png", "b.webp", ".hidden.png", ".hidden/c.png", "notes.txt", "b/.a.png.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert list(find_images(tmp_path).items()) == [
        ("a", tmp_path / "a.png"),
        ("b", tmp_path / "b.webp"),
        ("b/a", tmp_path / "b" / "a.JPG"),
    ]


def test_images_that_are_not_read_are_counted_in_a_warning(tmp_path, caplog):
    for name in ("a.png", "b.HEIC", "c/d.heic", "e.avif", ".hidden.heic", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_images(tmp_path)) == ["a"]
    assert caplog.messages == [
        f"{tmp_path} holds images that segdata does not read and leaves out (1 .avif, 2 .heic): "
        "convert them to JPEG or PNG"
    ]


def test_images_that_differ_only_in_their_suffix_are_named(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.png differ only in their suffix"):
        find_images(tmp_path)


def test_a_plain_folder_gives_rows_as_often_as_asked(tmp_path):
    (tmp_path / "a.png").touch()
    root, rows = open_rows(tmp_path, "mask_file_name")
    assert root == tmp_path
    assert list(rows()) == list(rows()) == [{"key": "a", "mask_file_name": "a.png"}]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no images and no metadata\.jsonl"):
        open_rows(tmp_path, "mask_file_name")
    with pytest.raises(InputError, match="nothing does not exist: check the path"):
        open_rows(tmp_path / "nothing", "mask_file_name")
