"""A reader of a file sees the old content or the new; errors are one sentence that names the file."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import ENV, times

from segdata.errors import InputError, SampleError, StorageError
from segdata.files import fingerprint, held, part_of, put_in_place, read_file, storage_error, write_file


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_a_file_is_written_with_its_folders(tmp_path, as_type):
    write_file(as_type(tmp_path / "deep" / "down" / "file"), b"new")
    assert (tmp_path / "deep" / "down" / "file").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "deep" / "down").iterdir()] == ["file"]


def test_a_relative_name_without_folder_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("content", [b"", b"same" * 100_000])
def test_a_file_that_holds_the_same_is_left_alone(tmp_path, content):
    write_file(tmp_path / "file", content)
    before = times(tmp_path)
    write_file(tmp_path / "file", content)
    assert times(tmp_path) == before


@pytest.mark.parametrize("old", [b"old", b"olderer"])
def test_another_content_replaces_it(tmp_path, old):
    write_file(tmp_path / "file", old)
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_a_killed_run_left_is_replaced(tmp_path):
    part_of(tmp_path / "file").write_bytes(b"torn, and longer than what comes")
    write_file(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new")]


def test_a_name_that_cannot_be_written_fails_alone_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(SampleError, match="cannot be written") as caught:
            write_file(path, b"new")
        assert caught.value.code == "cannot-write"
        assert str(path) in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_storage_error_and_the_old_content_stays(tmp_path):
    write_file(tmp_path / "file", b"old")
    part_of(tmp_path / "file").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"file cannot be written \(No space left on device\): make room"):
        write_file(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_disk_that_takes_only_a_part_is_asked_for_the_rest(tmp_path, monkeypatch):
    real_open = open

    class Stingy:
        """A file that takes ten bytes at a time, as a disk that is nearly full may."""

        def __init__(self, *arguments, **options):
            self.file = real_open(*arguments, **options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            return self.file.write(data[:10])

    monkeypatch.setattr("segdata.files.open", Stingy, raising=False)
    write_file(tmp_path / "file", bytes(range(256)))
    assert (tmp_path / "file").read_bytes() == bytes(range(256))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_place_that_takes_nothing_ends_the_run(tmp_path, number):
    error = storage_error(tmp_path, OSError(number, os.strerror(number)))
    assert isinstance(error, StorageError)
    assert os.strerror(number) in str(error)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, code in ((tmp_path / "nothing", "missing-file"), (tmp_path, "unreadable-file")):
        with pytest.raises(SampleError, match=str(path)) as caught:
            read_file(path)
        assert caught.value.code == code


def test_a_fingerprint_tells_parts_apart():
    parts = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"b", b"a")]
    assert len({fingerprint(*each) for each in parts}) == len(parts)
    assert fingerprint(b"a", b"b") == fingerprint(b"a", b"b")


HOLDER = """
import sys, time
from pathlib import Path
from segdata.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path):
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"another command is changing {tmp_path}"), held(tmp_path):
            pass
        process.kill()
        process.wait()
    with held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_255_bytes_is_written(tmp_path):
    for name in ("x" * 251 + ".png", "\u4eba" * 83 + ".a.png"):
        write_file(tmp_path / name, b"content")
        with put_in_place(tmp_path / name) as part:
            part.write_bytes(b"another")
        assert (tmp_path / name).read_bytes() == b"another"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")
def test_of_two_processes_that_write_one_file_the_second_waits(tmp_path):
    path = tmp_path / "file"
    with put_in_place(path) as part:
        part.write_bytes(b"the first")
        code = f"""if True:
            from pathlib import Path
            from segdata.files import put_in_place
            with put_in_place(Path({str(path)!r})) as part:
                part.write_bytes(Path({str(path)!r}).read_bytes() + b" and the second")"""
        second = subprocess.Popen([sys.executable, "-c", code])
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(2)
    assert second.wait(60) == 0
    assert path.read_bytes() == b"the first and the second"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
