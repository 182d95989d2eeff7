"""Errors with messages for users."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import NamedTuple


class SeqbeltError(Exception):
    """The work failed; the message has the cause and the remedy (exit code 1)."""


class SettingsError(SeqbeltError):
    """Invalid arguments or settings; nothing was started (exit code 2)."""


class Place(NamedTuple):
    """Where in a table, as messages name it: a line or a step, or both."""

    line: int | None = None
    """From 1."""
    column: str | int | None = None
    """A name, or a number from 0."""
    step: int | None = None
    """From 0."""
    line_word: str = "line"
    """What a line is called where the table is no text."""

    def __str__(self) -> str:
        step = "" if self.step is None else f"step {self.step}"
        if self.line is None:
            return step
        column = "" if self.column is None else f", column {self.column}"
        return f"{self.line_word} {self.line}{column}" + (f" ({step})" if step else "")


class BadInput(SeqbeltError):
    """One input is not usable; other inputs are not affected.

    ``reason`` is one of the constants below, by which summaries count; ``message`` has the details:
    texts, and perhaps among them the ``Place``.
    """

    def __init__(self, reason: str, *message: str | Place) -> None:
        # A text alone stays what it is: it may be in several languages.
        super().__init__(message[0] if len(message) == 1 else "".join(map(str, message)))
        self.reason, self.message = reason, message

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str | Place, ...]]:
        return BadInput, (self.reason, *self.message)  # between processes

    @property
    def place(self) -> Place | None:
        """Line, column and step at fault, where the message names them."""
        return next((part for part in self.message if isinstance(part, Place)), None)

    def __str__(self) -> str:
        return f"{self.reason}: {super().__str__()}"


# The reasons in quarantine files and summaries.
UNREADABLE = "unreadable"
EMPTY = "empty"
SILENT = "silent"
TRUNCATED = "truncated"
WRONG_TYPE = "wrong type"
TOO_LONG = "too long"
NOT_FINITE = "not finite"
WRONG_SHAPE = "wrong shape"
CRASHED = "crashed"
TIMED_OUT = "timed out"
UNKNOWN_LABEL = "unknown label"
REJECTED = "rejected"
_OS_ERRORS = {
    errno.ENOSPC: "the disk is full; free disk space",
    errno.EDQUOT: "the disk quota is exceeded; free disk space",
    errno.EFBIG: "the file would be larger than this process may write (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied; make it readable and, for output, writable",
    errno.EPERM: "the operation is not permitted",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.EIO: "input/output error of the disk or the terminal",
    errno.ENOTDIR: "is a file, but a folder is needed; move it",
    errno.EEXIST: "already exists; move it",
    errno.EISDIR: "is a folder, but a file is needed; move it",
}


def in_words(error: BaseException) -> str | None:
    """A message for errors of the environment: a full disk, missing permissions, no memory. None
    for other errors."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        is_memory = isinstance(cause, RuntimeError) and _NO_MEMORY.search(str(cause))
        if is_memory or isinstance(cause, MemoryError):
            return "out of memory; raise the limit, or process less at a time"
        if isinstance(cause, OSError) and cause.errno in _OS_ERRORS:
            where = f"{cause.filename}: " if cause.filename else ""
            return f"{where}{_OS_ERRORS[cause.errno]}"
        if isinstance(cause, sqlite3.OperationalError):
            return f"a database cannot be used ({cause}); free disk space, or make it writable"
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def naming(path: PathLike[str]) -> Iterator[None]:
    """Give an OSError that names no file, as one of a full disk, what was written: ``path``."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


_NO_MEMORY = re.compile("can't allocate memory|Storage size calculation overflowed")
"""What torch says where MemoryError is meant."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text whose control characters, which a terminal would obey, are escaped."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def first_line(error: BaseException, max_characters: int = 200) -> str:
    """The first line of an error's message, or the error's name where it has none."""
    lines = str(error).splitlines()
    return lines[0][:max_characters] if lines else type(error).__name__
