"""What a command returns: its result and the exit code that goes with it."""

from typing import Any, NamedTuple

DONE = 0
FAILED = 1
"""The work failed, was interrupted, or a certificate did not pass."""
QUARANTINED = 3
"""Done, but some inputs were quarantined."""


class Outcome(NamedTuple):
    """The result of a command, printed as text or with ``--json`` as one line of JSON."""

    result: dict[str, Any]
    exit_code: int = DONE
    only_json: tuple[str, ...] = ()
    """Keys that are not printed as text, since what they mean has been said in words."""
