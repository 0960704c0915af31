"""Places that are URLs of fsspec, such as s3://bucket/folder, beside the folders of this machine.

Whoever has an account and where its keys lie is fsspec's business: https://filesystem-spec.readthedocs.io.
"""

from __future__ import annotations

import atexit
import errno
import getpass
import hashlib
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from segdata.errors import InputError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_Result = TypeVar("_Result")

LARGEST_FILE = 1 << 31
"""Bytes of a sample's file that is read from a store; none that is larger is a photo or mask that could be opened."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(://|::.*://)")
_LOCAL = re.compile(r"(file|local)://")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
_WITHOUT_BUCKET = re.compile(rf"(?:^|::)(?:{'|'.join(_EXTRAS)})://(?:/|$)")
_WHOLE = {*_EXTRAS, "memory", "oss", "r2"}
_FOR_READING = {"http", "https", "zip", "tar"}
_PAUSES = (0.5, 1.0, 2.0)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
_SECONDS_TRUSTED = 1.0
_reached: set[tuple[str, str]] = set()
_MOST_COPIES = 16
_copies: dict[str, tuple[float, Path]] = {}
_made: deque[Path] = deque()


def is_url(path: object) -> bool:
    """Tell whether a path is a URL of fsspec.

    >>> is_url("s3://bucket/data"), is_url("zip://::photos.zip"), is_url("data/a"), is_url("C:/data")
    (True, True, False, False)
    """
    return _URL.match(path) is not None if isinstance(path, str) else not isinstance(path, Path)


def as_path(path: str | Path) -> Path:
    """Give a path to work with: a `Path`, or for a URL the `UPath` that answers to the same calls.

    Raises `InputError` for a URL of a kind that fsspec does not know or that a package is missing for, and for a store
    that does not answer.

    >>> as_path("data") / "masks"
    PosixPath('data/masks')
    >>> as_path("memory://data") / "masks"
    MemoryPath('/data/masks', protocol='memory')
    """
    if not isinstance(path, str) or not is_url(path):
        return Path(path) if isinstance(path, str) else path
    if _LOCAL.match(path):
        return Path(_LOCAL.sub("", path))
    if _WITHOUT_BUCKET.search(path):
        raise InputError(f"{path} names no bucket", f"write {path.partition(':')[0]}://BUCKET/FOLDER")
    text = path if path.endswith("://") else path.rstrip("/")
    store = store_of(text)
    _reach(text, store)
    from upath import UPath  # noqa: PLC0415 - of an extra

    return cast("Path", UPath(text, use_listings_cache=False))


def here(path: str | Path) -> Path:
    """Give a path that has to be on this machine. Raises `InputError` for a URL.

    >>> here("runs/a")
    PosixPath('runs/a')
    """
    if is_url(path):
        raise InputError(f"{path} has to be on this machine", "copy it, or choose a folder here")
    return Path(path)


def join_path(folder: str | Path | None, name: str | PurePath | None) -> str:
    """Join a path or URL and a POSIX relative path below it.

    >>> join_path("data", "masks/a.png"), join_path("s3://bucket/data/", "a.png"), join_path("zip://in::b.zip", "a.png")
    ('data/masks/a.png', 's3://bucket/data/a.png', 'zip://in/a.png::b.zip')
    """
    first, chain, rest = str(folder).partition("::")
    if not chain:
        return f"{first.removesuffix('/')}/{name}"
    return f"{first}{'' if first.endswith('/') else '/'}{name}{chain}{rest}"


class Store(NamedTuple):
    """A file system of fsspec, and a path in it."""

    fs: AbstractFileSystem
    path: str

    @property
    def protocol(self) -> str:
        """The first of the names that its URLs begin with."""
        return self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]

    @property
    def writes_whole(self) -> bool:
        """Whether a file appears there when all of it has arrived, and not before."""
        return self.protocol in _WHOLE


def store_of(url: str) -> Store:
    """Find the store of a URL. Listings are not kept: other processes write meanwhile.

    Raises `InputError` for a URL of a kind that fsspec does not know, or that a package is missing for.
    """
    protocol = url.partition(":")[0]
    hint = f"pip install 'segdata[{_EXTRAS.get(protocol, 'storage')}]'"
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - of an extra
        from upath import UPath  # noqa: F401, PLC0415

        return Store(*url_to_fs(url, use_listings_cache=False))
    except ImportError as error:
        raise InputError(f"{url} cannot be reached ({error})", hint) from error
    except ValueError as error:
        raise InputError(f"{url} cannot be reached ({error})", "check how it begins") from error


def _reach(url: str, store: Store) -> None:
    """Ask a store once for something, so that a wrong address or key is told in one sentence."""
    bucket = (store.protocol, store.path.strip("/").partition("/")[0])
    if bucket in _reached:
        return
    try:
        store.fs.exists(store.path)
    except Exception as error:  # each store has errors of its own
        raise InputError(
            f"{url} cannot be reached ({_said(error)})", "check the address and the credentials that fsspec finds"
        ) from error
    _reached.add(bucket)


def require_writable(url: str) -> None:
    """Raise `InputError` for a store that is for reading alone, and where its bucket is known not to exist."""
    store = store_of(url)
    if store.protocol in _FOR_READING:
        raise InputError(f"{url} cannot be written, for {store.protocol} is for reading alone", "choose another place")
    if store.protocol not in _EXTRAS:
        return
    bucket = store.path.strip("/").partition("/")[0]
    try:
        there = store.fs.exists(bucket)
    except OSError:  # who may not look may still write
        return
    if not there:
        raise InputError(f"{url} cannot be written, for there is no bucket {bucket}", "make it, or choose another one")


def tried(action: Callable[[], _Result]) -> _Result:
    """Do something with a store, again after a pause where it fails: 500s, timeouts and broken connections pass.

    Raises `OSError` in the end, whatever the store's own error is.
    """
    for pause in (*_PAUSES, None):
        try:
            return action()
        except _FINAL as error:
            if isinstance(error, NotImplementedError):
                raise OSError(errno.EROFS, "this kind of store is for reading alone") from error
            raise
        except Exception as error:
            if pause is None:
                raise OSError(errno.EIO, _said(error)) from error
            time.sleep(pause)
    raise AssertionError


def read(url: str, offset: int = 0, length: int = LARGEST_FILE + 1) -> bytes:
    """Read a file, or a part of it. Raises `OSError`."""
    store = store_of(url)

    def part() -> bytes:
        try:
            return cast("bytes", store.fs.cat_file(store.path, start=offset, end=offset + length))
        except OSError:
            if not offset and store.fs.size(store.path) == 0:  # S3 knows no part of an empty file
                return b""
            raise

    data = tried(part)
    if len(data) > length:  # a web server that gives all of a file whatever it is asked for
        data = data[offset : offset + length]
    if len(data) > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"more than {LARGEST_FILE >> 30} GB")
    return data


def write(url: str, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new. Raises `OSError`."""
    store = store_of(url)

    def whole() -> None:
        store.fs.pipe_file(store.path, data)

    _in_place(store, whole, lambda part: store.fs.pipe_file(part, data))


def upload(file: Path, url: str) -> None:
    """Write a file of any size, in several parts where the store wants that. Raises `OSError`."""
    store = store_of(url)
    _in_place(
        store,
        lambda: store.fs.put_file(str(file), store.path),
        lambda part: store.fs.put_file(str(file), part),
    )


def _in_place(store: Store, whole: Callable[[], Any], partly: Callable[[str], Any]) -> None:
    if store.protocol in _FOR_READING:
        raise OSError(errno.EROFS, f"{store.protocol} is for reading alone")
    if store.writes_whole:
        tried(whole)
        return
    folder, _, name = store.path.rpartition("/")
    part = f"{folder}/.{name}.part"

    def moved() -> None:
        store.fs.makedirs(folder, exist_ok=True)
        partly(part)
        store.fs.mv(part, store.path)

    tried(moved)


def download(url: str, file: Path) -> None:
    """Copy a file of any size to this machine. Raises `OSError`."""
    store = store_of(url)
    tried(lambda: store.fs.get_file(store.path, str(file)))


def size_of(path: str) -> int | None:
    """Give the size of a file in bytes; None where there is none. Raises `OSError`."""
    if not is_url(path):
        return os.stat(path).st_size if os.path.isfile(path) else None  # noqa: PTH113, PTH116 - asked of each sample
    store = store_of(path)
    try:
        found = tried(lambda: store.fs.info(store.path))
    except FileNotFoundError:
        return None
    return None if found["type"] == "directory" else found["size"]


def remove(url: str) -> None:
    """Remove a file, if it is there. Raises `OSError`."""
    store = store_of(url)
    try:
        tried(lambda: store.fs.rm_file(store.path))
    except FileNotFoundError:
        return


def local_copy(url: str) -> Path:
    """Copy a file to this machine once for all processes, until the one that copied it ends. Raises `OSError`.

    A copy is of what the store holds, at most a second ago: for files that are read in many small parts.
    """
    copied = _copies.get(url)
    now = time.monotonic()
    if copied is not None and now - copied[0] < _SECONDS_TRUSTED and copied[1].exists():
        return copied[1]
    store = store_of(url)
    version = f"{url}\0{version_of(url)}"
    folder = Path(tempfile.gettempdir(), f"segdata-{getpass.getuser()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
        raise OSError(errno.EPERM, f"{folder} belongs to somebody else")
    copy = folder / hashlib.sha256(version.encode()).hexdigest()
    if not copy.exists():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
            tried(lambda: store.fs.get_file(store.path, part.name))
        atexit.register(copy.unlink, missing_ok=True)
        Path(part.name).replace(copy)
        _made.append(copy)
        if len(_made) > _MOST_COPIES:
            _made.popleft().unlink(missing_ok=True)  # whoever has it open keeps it
    _copies[url] = (now, copy)
    return copy


def local(path: str | Path) -> Path:
    """Give a path on this machine: the path itself, or a copy of what a URL leads to. Raises `OSError`."""
    return local_copy(str(path)) if is_url(path) else Path(path)


def lies_in(inner: Path, outer: Path) -> bool:
    """Tell whether a path is another one or lies below it, on this machine or in one store.

    >>> lies_in(Path("data/masks"), Path("data")), lies_in(Path("data"), Path("data/masks"))
    (True, False)
    """
    if is_url(inner) and is_url(outer):
        return f"{inner}/".startswith(f"{outer}/")
    return not is_url(inner) and not is_url(outer) and inner.resolve().is_relative_to(outer.resolve())


def version_of(url: str) -> str:
    """Give a word for what a file holds, another one after it was written. Raises `OSError`."""
    store = store_of(url)
    return str(tried(lambda: store.fs.ukey(store.path)))


def entries_in(url: str) -> list[tuple[str, str]]:
    """List what lies in a folder, sorted, as name and ``file`` or ``directory``; of one that is not there nothing.

    Raises `OSError`.
    """
    store = store_of(url)
    try:
        found = tried(lambda: store.fs.ls(store.path, detail=True))
    except FileNotFoundError:
        return []
    named = ((each["name"].rstrip("/"), each["type"]) for each in found)
    return sorted((name.rpartition("/")[2], kind) for name, kind in named if name != store.path.rstrip("/"))


def names_in(url: str) -> list[str]:
    """List the names in a folder, sorted. Raises `OSError`."""
    return [name for name, _ in entries_in(url)]


def files_below(url: str) -> list[str]:
    """List the files in a folder and the folders in it, as sorted POSIX paths below it. Raises `OSError`."""
    store = store_of(url)
    root = store.path.rstrip("/")
    try:
        found = tried(lambda: store.fs.find(root))
    except FileNotFoundError:
        return []
    return sorted(each.removeprefix(root).lstrip("/") for each in found if each.rstrip("/") != root)


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
