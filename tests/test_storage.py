"""Paths may be URLs: of memory, of zip files, of web servers."""

import functools
import http.server
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("upath", reason="needs pip install 'segdata[storage]'")

import segdata
from segdata import storage
from segdata.engine import Processes
from segdata.errors import InputError, SampleError, StorageError
from segdata.files import has_content, is_file, put_in_place, read_file, write_file
from segdata.pixels import encode_png
from segdata.storage import as_path, files_below, here, is_url, join_path, lies_in, store_of, tried


@pytest.fixture
def memory():
    """A folder in memory, gone afterwards."""
    yield "memory://data"
    store_of("memory://data").fs.rm("/", recursive=True)


@pytest.fixture
def masks(tmp_path):
    """A plain folder of masks."""
    for number in range(3):
        write_file(
            tmp_path / "masks" / f"{number}.png", encode_png(np.eye(9, dtype=bool) if number else np.ones((9, 9), bool))
        )
    return tmp_path / "masks"


@pytest.fixture
def web(tmp_path):
    """A server of the test's folder, as `python -m http.server` is one."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("s3://bucket/a", True),
        ("zip://::a.zip", True),
        ("simplecache::s3://bucket", True),
        ("a/s3://b", False),
        ("C:/a", False),
        ("C:\\a", False),
        ("shoot::b/c", False),
        ("", False),
        (Path("s3://bucket"), False),
    ],
)
def test_a_url_is_told_by_how_it_begins(path, is_one):
    assert is_url(path) == is_one


def test_a_url_of_this_machine_is_a_path(tmp_path):
    assert as_path(f"file://{tmp_path}/a") == tmp_path / "a"


def test_the_name_in_a_row_leads_to_no_other_store(masks):
    (masks.parent / "metadata.jsonl").write_text('{"key": "a", "mask_file_name": "memory://other/a.png"}\n')
    write_file("memory://other/a.png", encode_png(np.eye(4, dtype=bool)))
    report = segdata.edges(masks.parent)
    assert (report.done, report.failed) == (0, 1)


def test_a_slash_at_the_end_changes_nothing(memory):
    assert str(as_path(f"{memory}/")) == str(as_path(memory))
    assert join_path(f"{memory}/", "a") == join_path(memory, "a")


def test_what_is_written_is_read(memory):
    write_file(f"{memory}/a/b.txt", b"content")
    assert read_file(f"{memory}/a/b.txt") == b"content"
    assert is_file(f"{memory}/a/b.txt")
    assert has_content(f"{memory}/a/b.txt")
    assert not is_file(f"{memory}/a")
    assert files_below(memory) == ["a/b.txt"]


def test_a_large_file_is_written_here_first(memory):
    with put_in_place(as_path(f"{memory}/a.bin")) as part:
        assert not is_url(part)
        part.write_bytes(b"content")
    assert read_file(f"{memory}/a.bin") == b"content"


def test_a_data_set_in_memory_is_one(memory, masks):
    assert segdata.edges(masks, out=f"{memory}/edges").done == 3
    assert segdata.edges(masks, out=f"{memory}/edges").reused == 3
    assert [row["key"] for row in segdata.Dataset(f"{memory}/edges").rows()] == ["0", "1", "2"]
    assert segdata.Dataset(f"{memory}/edges").root.is_dir()


def test_memory_is_of_one_process(memory, masks):
    with pytest.raises(InputError, match="is in the memory of one process alone: use the engine inline"):
        segdata.edges(masks, out=f"{memory}/edges", engine=Processes(2))


def test_another_step_does_not_take_a_folder_that_holds_something(memory, masks):
    write_file(f"{memory}/a.txt", b"something")
    with pytest.raises(InputError, match=r"holds something else, such as a\.txt"):
        segdata.edges(masks, out=memory)


def test_zip_files_are_read(masks, tmp_path):
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for path in masks.iterdir():
            archive.write(path, f"in/{path.name}")
    url = f"zip://in::{tmp_path}/masks.zip"
    assert segdata.evaluate(url, masks).mean["iou"] == 1
    with pytest.raises(StorageError, match="zip is for reading alone"):
        write_file(f"zip://a.txt::{tmp_path}/masks.zip", b"content")


def test_web_servers_are_read(masks, web):
    assert segdata.evaluate(f"{web}/masks", masks).mean["iou"] == 1
    with pytest.raises(SampleError, match=r"none\.png does not exist"):
        read_file(f"{web}/masks/none.png")


def test_web_servers_are_not_written(masks, web):
    with pytest.raises(InputError, match=r"https? is for reading alone: choose another place"):
        segdata.edges(f"{web}/masks", out=f"{web}/edges")


def test_members_of_archives_are_read_from_a_web_server_that_gives_whole_files(masks, web, tmp_path):
    segdata.edges(masks, out=tmp_path / "sharded", shards=1)
    for row in segdata.Dataset(f"{web}/sharded").rows():
        name = row["edge_file_name"]
        assert read_file(f"{web}/sharded/{name}") == read_file(tmp_path / "sharded" / name)


def test_a_file_that_is_too_large_is_refused(memory, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_FILE", 4)
    write_file(f"{memory}/a", b"content")
    with pytest.raises(SampleError, match="a cannot be read"):
        read_file(f"{memory}/a")


def test_what_fails_for_a_moment_is_tried_again(monkeypatch):
    monkeypatch.setattr(storage, "_PAUSES", (0.0, 0.0))
    tries = []

    def fails(times, error):
        tries.append(1)
        if len(tries) <= times:
            raise error
        return "done"

    assert tried(lambda: fails(2, ConnectionError("reset"))) == "done"
    tries.clear()
    with pytest.raises(OSError, match="reset"):
        tried(lambda: fails(3, RuntimeError("reset")))
    tries.clear()
    with pytest.raises(FileNotFoundError):
        tried(lambda: fails(1, FileNotFoundError()))
    assert len(tries) == 1


def test_a_copy_is_made_once_and_again_when_the_file_has_changed(memory, monkeypatch):
    monkeypatch.setattr(storage, "_SECONDS_TRUSTED", 0.0)
    write_file(f"{memory}/a", b"content")
    first = storage.local_copy(f"{memory}/a")
    assert first.read_bytes() == b"content"
    assert storage.local_copy(f"{memory}/a") == first
    write_file(f"{memory}/a", b"more content")
    assert storage.local_copy(f"{memory}/a").read_bytes() == b"more content"


@pytest.mark.parametrize(
    ("inner", "outer", "lies"),
    [
        ("memory://a/b", "memory://a", True),
        ("memory://a", "memory://a", True),
        ("memory://ab", "memory://a", False),
        ("memory://a", "a", False),
        ("a", "memory://a", False),
        ("a/b", "a", True),
    ],
)
def test_folders_lie_in_each_other_on_one_store_alone(inner, outer, lies):
    assert lies_in(as_path(inner), as_path(outer)) == lies


def test_what_has_to_be_here_is_refused_elsewhere():
    with pytest.raises(InputError, match="s3://bucket/run has to be on this machine"):
        here("s3://bucket/run")


def test_a_recipe_may_name_urls(memory, masks, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[[step]]\ncommand = "edges"\ndata = "masks"\nout = "{memory}/edges"\n')
    segdata.build(recipe)
    assert len(segdata.Dataset(f"{memory}/edges")) == 3


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InputError, match=r"s3://bucket/a cannot be reached .*: pip install 'segdata\[s3\]'"):
        as_path("s3://bucket/a")


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "gs:///a/b", "az://", "zip://a::s3:///b.zip"])
def test_a_url_without_its_bucket_is_told_in_one_sentence(url):
    with pytest.raises(InputError, match=r"names no bucket: write \w+://BUCKET/FOLDER"):
        as_path(url)
