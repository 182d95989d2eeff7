"""The errors that a user is meant to read."""

import errno
import sqlite3


class SeqbeltError(Exception):
    """The work could not be done; the message says what was found and what to do (exit code 1)."""


class SettingsError(SeqbeltError):
    """A command's arguments or settings are wrong; nothing was started (exit code 2)."""


class BadInput(SeqbeltError):
    """One input has no usable content. It costs that input a label and nothing else.

    ``reason`` is a short fixed word that summaries count by; the message is for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str]]:
        return BadInput, (self.reason, self.args[0])  # between processes

    def __str__(self) -> str:
        return f"{self.reason}: {super().__str__()}"


# The reasons that a ledger may name. One word list, so that two runs can be compared.
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
_PLACE_ERRORS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "your share of the disk is full; make room",
    errno.EROFS: "the place cannot be written (a read-only file system)",
    errno.EACCES: "permission denied; make it readable and, for what is written, writable",
    errno.EPERM: "the operation is not permitted",
    errno.ENAMETOOLONG: "the name is too long for this file system; take a shorter one",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.EIO: "the disk, or the terminal, answers no more",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
    errno.EEXIST: "stands in the way; move it away",
    errno.EISDIR: "a folder stands where a file is needed; move it away",
}


def in_words(error: BaseException) -> str | None:
    """What a fault of the place says to a user: a full disk, a folder that cannot be written, no
    memory. None for an error of another kind."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, MemoryError):
            return "there is not enough memory; raise the limit, or take less at a time"
        if isinstance(found, OSError) and found.errno in _PLACE_ERRORS:
            where = f"{found.filename}: " if found.filename else ""
            return f"{where}{_PLACE_ERRORS[found.errno]}"
        if isinstance(found, sqlite3.OperationalError):
            return f"a database cannot be used ({found}); make room, and make its folder writable"
        found = found.__cause__ or found.__context__
    return None
