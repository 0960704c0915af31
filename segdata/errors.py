"""What can go wrong, as types: every error a user meets is one of these."""

from __future__ import annotations


class SegdataError(Exception):
    """An error with one sentence for the user.

    `message` names the file (and the row or id) and what is wrong; `hint` says what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class InputError(SegdataError):
    """What was asked for cannot be done as a whole: a wrong option, a missing folder, an unreadable file."""


class StorageError(SegdataError):
    """The place that is written to cannot take more: a full disk, a read-only folder. Ends the run."""


class SampleError(SegdataError):
    """One sample cannot be processed; the others go on.

    `code` is a stable word for programs (``unreadable-photo``, ``size-mismatch``, ...).
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.args = (code, message, hint)  # what pickle hands to __init__ when a worker's error comes home
        self.code = code
