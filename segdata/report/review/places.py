"""The files that the site may read: those of the data set, and of the folders that were named beside it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from segdata.errors import InputError, SampleError
from segdata.files import read_file, why
from segdata.members import in_archive, size_of_member
from segdata.sample import path_of
from segdata.storage import here

LARGEST_FILE = 1 << 29  # 512 MiB


class Place:
    """A folder that files are read from by name, and nothing outside it: no ``..``, no link that leads out.

    Raises `InputError` where it is no folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = here(folder)
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder", "check the path")
        self._real = os.path.realpath(self.folder)

    def find(self, name: object) -> Path:
        """Give the path of a file of the folder.

        Raises `SampleError`: ``unsafe-name``, ``missing-file``, ``leads-out`` for a link, ``unreadable-file`` for
        what is no plain file, ``huge-file``.
        """
        if not isinstance(name, str):
            raise SampleError("missing-file", "the row names no such file")
        path = self.folder / path_of(name)
        real = os.path.realpath(path)
        if os.path.commonpath((real, self._real)) != self._real:
            raise SampleError(
                "leads-out", f"{path} is a link that leads out of {self.folder}", "name the folder with --images"
            )
        try:
            size = _size_of(real)
        except OSError as error:
            raise SampleError("unreadable-file", f"{path} cannot be read ({why(error)})") from error
        if size is None:
            raise SampleError("missing-file", f"{path} does not exist")
        if size > LARGEST_FILE:
            raise SampleError("huge-file", f"{path} has {size:,} bytes and is not opened")
        return Path(real)

    def read(self, name: object) -> bytes:
        """Read a file of the folder. Raises as `find`."""
        return read_file(self.find(name))


def _size_of(path: str) -> int | None:
    try:
        state = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return size_of_member(path) if in_archive(path) else None
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    return state.st_size


def find_photo(row: dict[str, object], root: Place, images: Place | None) -> Path:
    """Give the path of a row's photo: in the data set, or else in the folder of photos, where `annotate` saw it.

    Raises `SampleError` as `Place.find`.
    """
    name = row.get("file_name") or row.get("photo")
    try:
        if row.get("file_name") is None and images is None:
            hint = "give the folder of the photos with --images" if row.get("photo") else ""
            raise SampleError("no-photo", f"{row['key']} has no photo", hint)
        return root.find(name)
    except SampleError:
        if images is None:
            raise
    try:
        return images.find(name)
    except SampleError:
        if not str(name).startswith("images/"):
            raise
        return images.find(str(name).removeprefix("images/"))
