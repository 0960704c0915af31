"""Files written so that a reader sees the old content or the new, never a part of it."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from segdata import storage
from segdata.engine.worker import mark_of_writer
from segdata.errors import InputError, SampleError, StorageError
from segdata.members import in_archive, read_member, size_of_member
from segdata.storage import is_url

_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

_LONG_NAME = 255 - len("..part")  # bytes, of the 255 that file systems take


def part_of(path: Path) -> Path:
    """Name the file that `path` is written as before it is renamed.

    The name is the same in every run, so that what a killed run leaves behind is replaced by the next one; but for
    workers that may do the same task at once each has names of its own.
    """
    return path.with_name(_part_name(path.name))


def _part_name(name: str) -> str:
    mark = mark_of_writer()
    if 4 * len(name) > _LONG_NAME and len(name.encode(errors="surrogateescape")) + len(mark) > _LONG_NAME:
        name = fingerprint(name.encode(errors="surrogateescape"))
    return f".{name}{mark}.part"


def write_file(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, which may be a URL, in one step, making its folders.

    A file of this machine that holds the same bytes is left alone.

    Raises `StorageError` when the place takes no more (full, read-only, no permission), and `SampleError`
    (``cannot-write``) when this name alone cannot be written.
    """
    if is_url(path):
        _to_store(path, lambda: storage.write(str(path), data))
        return
    name = os.fspath(path)  # strings all through: a data set has as many files as samples, and pathlib takes its time
    folder, last = os.path.split(name)
    part = os.path.join(folder, _part_name(last))  # noqa: PTH118
    try:
        if _holds(name, data):
            return  # replacing a file costs four times what reading it does
        try:
            _write(part, data)
        except FileNotFoundError:
            os.makedirs(folder or ".", exist_ok=True)  # noqa: PTH103
            _write(part, data)
        os.replace(part, name)  # noqa: PTH105
    except OSError as error:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise storage_error(Path(name), error) from error


def _to_store(path: str | Path, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise storage_error(path, error) from error


def _holds(name: str, data: bytes) -> bool:
    try:
        if os.stat(name).st_size != len(data):  # noqa: PTH116
            return False
    except FileNotFoundError:
        return False
    return Path(name).read_bytes() == data


def _write(name: str, data: bytes) -> None:
    with open(name, "wb", buffering=0) as file:  # noqa: PTH123
        left = memoryview(data)
        while left:  # a disk that is nearly full takes a part of it, and says so only when asked again
            left = left[file.write(left) :]


def storage_error(path: str | Path, error: OSError) -> StorageError | SampleError:
    """Say in one sentence why `path` cannot be written."""
    what = f"{path} cannot be written ({why(error)})"
    if error.errno in _FATAL:
        return StorageError(what, "make room or choose another folder, and run the same command again to go on")
    return SampleError("cannot-write", what)


def why(error: OSError) -> str:
    """Say in a few words why a file cannot be read or written."""
    if isinstance(error, FileNotFoundError) and not error.strerror and str(error).count("/"):
        return "there is no such file"  # some stores say its name alone
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """Give the name to write a file under, which then takes the place of `path`; one that holds the same is left alone.

    Makes the folders of `path`. Waits while another process writes the same file. What goes to a URL is written on this
    machine first. Raises `StorageError` when the place takes no more.
    """
    if is_url(path):
        with tempfile.TemporaryDirectory(prefix="segdata-") as folder:
            part = Path(folder, path.name)
            yield part
            _to_store(path, lambda: storage.upload(part, str(path)))
        return
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(part):
            try:
                yield part
                if not path.exists() or not filecmp.cmp(part, path, shallow=False):
                    part.replace(path)
            finally:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Make a file and be the one process that writes it; file systems without locks, and Windows, do without."""
    if fcntl is None:
        yield
        return
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), part.stat()):
                break
        os.close(descriptor)  # the process before this one has put it in place
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other commands from changing the same data set meanwhile; the hold ends with the process, however it ends.

    Raises `InputError` where another process holds it. File systems without such locks, stores, and Windows, do
    without.
    """
    if fcntl is None or is_url(folder):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another command is changing {folder}", "wait until it is done") from error
        except OSError:  # a network file system
            pass
        yield
    finally:
        os.close(descriptor)


def read_file(path: str | Path) -> bytes:
    """Read a sample's file. Raises `SampleError` (``missing-file``, ``unreadable-file``) that names it."""
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SampleError("missing-file", f"{path} does not exist") from error
    except OSError as error:
        raise SampleError("unreadable-file", f"{path} cannot be read ({why(error)})") from error


def _read(path: str | Path) -> bytes:
    if is_url(path):
        return read_member(str(path)) if in_archive(path) else storage.read(str(path))
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path may be a string here
            return file.read()
    except NotADirectoryError:
        if not in_archive(path):
            raise
        return read_member(str(path))


def is_file(path: str) -> bool:
    """Tell whether there is such a file; False for a name that no file can have.

    >>> is_file("no such file")
    False
    """
    return _size_of(path) is not None


def has_content(path: str) -> bool:
    """Tell whether a file is there and not empty, as a crash of the machine may leave it."""
    return bool(_size_of(path))


def _size_of(path: str) -> int | None:
    try:
        if in_archive(path):
            return size_of_member(path)
        return storage.size_of(path)
    except OSError:
        return None


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in. Stores need none. Raises `OSError`."""
    if not is_url(path):
        path.mkdir(parents=True, exist_ok=True)


def remove_file(path: str | Path) -> None:
    """Remove a file, if it is there. Raises `OSError`."""
    if is_url(path):
        storage.remove(str(path))
    else:
        Path(path).unlink(missing_ok=True)


def fingerprint(*parts: bytes) -> str:
    """Hash what an output was made from, to tell in a later run whether it would come out the same.

    >>> fingerprint(b"a", b"bc") != fingerprint(b"ab", b"c")
    True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
