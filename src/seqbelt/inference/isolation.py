"""Decode untrusted files in a child process, so that a crash of a decoder costs one item.

The child does the work. When it dies, or an item takes too long, the next child first tries alone
each item that was being encoded; the one that crashes again is recorded with its reason, and the
work continues without it (docs/decisions/019-a-child-for-decoders.md).

Nothing heavy is imported here: the parent only waits.
"""

import _thread
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqbelt.errors import CRASHED, TIMED_OUT, BadInput, SeqbeltError, SettingsError, in_words
from seqbelt.features.crash_board import Board
from seqbelt.training.interrupts import on_stop_signals

try:
    import resource
except ImportError:  # not on every system
    resource = None

POLL_S = 0.2
LONGEST_STOP_S = 5.0
"""Time for a child to end by itself before it is killed."""
MAX_UNEXPLAINED = 5
"""Crashes without a responsible item after which the work fails."""
_is_stopping = threading.Event()
"""Set in a child that was requested to stop."""
_ERRORS = {kind.__name__: kind for kind in (SettingsError, SeqbeltError, KeyboardInterrupt)}


@dataclass
class ChildContext:
    """Data from the supervisor to a child, and the board of items that are being encoded."""

    board: Board = field(default_factory=Board)
    candidates: frozenset[int] = frozenset()
    """Positions of the inputs to try alone first: one of them crashed the child before."""
    offenders: dict[int, BadInput] = field(default_factory=dict)
    """Items that crashed a child or timed out, by the stamp of their source, with the reason."""


def supervise(module: str, arguments: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Run ``module`` in a child until it has a result, and return it.

    The module calls ``serve``. Raises the child's error, or SeqbeltError if it dies and no item is
    responsible. ``timeout_s`` is the time limit for one item.
    """
    with tempfile.TemporaryDirectory(prefix="seqbelt-") as name:
        return _Supervisor(module, arguments, timeout_s, Path(name)).run()


def serve(work: Callable[[dict[str, Any], ChildContext], dict[str, Any]]) -> None:
    """Run in the child: do the work that the parent requested, and exit with the parent."""
    folder = Path(sys.argv[1])
    tempfile.tempdir = str(folder)  # the parent removes it, however this process ends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    request = json.loads((folder / "request.json").read_text("utf-8"))
    offenders = {int(stamp): BadInput(*why) for stamp, why in request["offenders"].items()}
    context = ChildContext(Board(folder / "board"), frozenset(request["candidates"]), offenders)
    try:
        reply = {"result": work(request["arguments"], context)}
    except (SeqbeltError, KeyboardInterrupt) as error:
        kind = type(error).__name__ if type(error).__name__ in _ERRORS else "SeqbeltError"
        reply = {"error": kind, "message": str(error)}
    except Exception as error:
        if _is_stopping.is_set():  # what an interrupted import or compiled function made of it
            reply = {"error": "KeyboardInterrupt", "message": ""}
        elif (message := in_words(error)) is not None:
            reply = {"error": "SeqbeltError", "message": message}
        else:
            raise
    part = folder / "reply.part"
    part.write_text(json.dumps(reply, ensure_ascii=False), "utf-8", "surrogateescape")
    part.replace(folder / "reply.json")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # do not wait for threads in a hanging decoder


def _end_with_parent() -> None:
    """Exit with the parent: standard input is a pipe that closes when the parent ends. A byte in it
    is a request to stop."""
    if os.read(0, 1):
        _is_stopping.set()
        _thread.interrupt_main()
        time.sleep(LONGEST_STOP_S)
    os._exit(1)


class _Supervisor:
    """Runs children, one after the other, until there is a reply."""

    def __init__(
        self, module: str, arguments: dict[str, Any], timeout_s: float, folder: Path
    ) -> None:
        self._command = [sys.executable, "-m", module, str(folder)]
        self._arguments, self._timeout_s, self._folder = arguments, timeout_s, folder
        self._board = Board(folder / "board")
        self._offenders: dict[int, tuple[str, str]] = {}
        self._candidates: set[int] = set()
        self._num_unexplained = 0

    def run(self) -> dict[str, Any]:
        while True:
            status, is_late = self._run_child()
            reply = self._folder / "reply.json"
            if reply.exists():
                return _unpack(json.loads(reply.read_text("utf-8", "surrogateescape")))
            self._attribute_crash(status, is_late)
            self._board.clear()

    def _run_child(self) -> tuple[int, bool]:
        """The exit status of one child, and whether it was killed because an item took too long."""
        request = {
            "arguments": self._arguments,
            "candidates": sorted(self._candidates),
            "offenders": self._offenders,
        }
        (self._folder / "request.json").write_text(json.dumps(request), "utf-8", "surrogateescape")
        # In its own process group, so that Ctrl-C and SIGTERM reach it only through this process.
        with (
            _stop_requests() as requests,
            subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0) as child,
        ):
            while True:
                try:
                    status = child.wait(POLL_S)
                    if requests and not (self._folder / "reply.json").exists():
                        raise KeyboardInterrupt(requests[0])
                    return status, False
                except subprocess.TimeoutExpired:
                    if requests and child.stdin and not child.stdin.closed:
                        with suppress(OSError):
                            child.stdin.write(b"s")
                            child.stdin.close()
                    if self._late():
                        child.kill()
                        return child.wait(), True

    def _late(self) -> list[int]:
        """Items that have taken too long. The limit is multiplied for items encoded together."""
        return [
            index
            for busy in self._board.busy()
            if busy.busy_s > self._timeout_s * len(busy.indices)
            for index in busy.indices
        ]

    def _attribute_crash(self, status: int, is_late: bool) -> None:
        """Record the item that crashed the child, or the candidates for it.

        Raises SeqbeltError if no item was being encoded, or after ``MAX_UNEXPLAINED``.
        """
        how = _describe(status)
        if self._board.tried:
            self._offenders[self._board.tried] = (
                (TIMED_OUT, f"not read within {self._timeout_s:g} s; raise --timeout-s")
                if is_late
                else (CRASHED, f"reading it crashed the process ({how})")
            )
            return
        late = self._late() if is_late else []
        self._candidates = set(late or (i for busy in self._board.busy() for i in busy.indices))
        self._num_unexplained += 1
        if not self._candidates or self._num_unexplained > MAX_UNEXPLAINED:
            raise SeqbeltError(
                f"the predicting process ended ({how}), not because of an input; predictions so "
                "far are kept; run the same command again to continue"
            )


def _unpack(reply: dict[str, Any]) -> dict[str, Any]:
    if "error" in reply:
        raise _ERRORS[reply["error"]](reply["message"])
    return reply["result"]


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource is not None else -1
    if resource is not None and limit != resource.RLIM_INFINITY:
        return f"{name}; memory is limited to {limit >> 20} MB (ulimit -v), possibly too little"
    return f"{name}, possibly out of memory" if name == "SIGKILL" else name


@contextmanager
def _stop_requests() -> Iterator[list[str]]:
    """Record stop signals instead of ending: the child ends its work, and this process waits for
    it."""
    requests: list[str] = []
    with on_stop_signals(lambda number, restore: requests.append(signal.Signals(number).name)):
        yield requests
