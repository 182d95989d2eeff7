"""The errors that a user is meant to read."""


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
