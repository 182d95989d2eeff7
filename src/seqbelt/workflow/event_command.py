"""A user's command, run at each event of a live signal without blocking the signal."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from seqbelt.workflow.console import echo

TIMEOUT_S = 60.0
"""Time after which a command is killed."""
MAX_WAITING = 100
"""Largest number of waiting events; more are dropped with a message."""
PREFIX = "SEQBELT_"


class EventCommand:
    """Runs a shell command for each event in turn, in a thread.

    The event's values are in the command's environment: ``SEQBELT_LABEL``, ``SEQBELT_TIME_S``,
    ``SEQBELT_PREVIOUS``, ``SEQBELT_CONFIDENCE``, ``SEQBELT_STEP``, ``SEQBELT_SINCE_S``; of several
    labels ``SEQBELT_CHANGE`` and ``SEQBELT_P`` instead of the previous label. The command's output
    goes to standard error. A failed command is reported; the stream continues.
    """

    def __init__(self, command: str, timeout_s: float = TIMEOUT_S) -> None:
        self._command, self._timeout_s = command, timeout_s
        self._waiting: queue.Queue[dict[str, str] | None] = queue.Queue(MAX_WAITING)
        self.num_failed = 0
        """Events whose command failed or was not run."""
        self._thread = threading.Thread(target=self._work, name="on-event", daemon=True)
        self._thread.start()

    def start(self, event: Mapping[str, Any]) -> None:
        """Queue the command for an event; returns at once."""
        values = {
            PREFIX + key.upper(): "" if value is None else str(value)
            for key, value in event.items()
            if isinstance(value, (str, int, float, type(None))) and not isinstance(value, bool)
        }
        try:
            self._waiting.put_nowait(values)
        except queue.Full:
            self._fail(values, f"not run, {MAX_WAITING} events are already waiting")

    def close(self) -> None:
        """Wait for the commands of all events so far, at most the timeout of one."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=self._timeout_s)
        self._thread.join(self._timeout_s)
        if self._thread.is_alive():
            left = self._waiting.qsize()
            self.num_failed += left
            echo(f"--on-event: {left} events were not handled before the stream ended")

    def _work(self) -> None:
        while (values := self._waiting.get()) is not None:
            try:
                done = subprocess.run(
                    self._command, shell=True, timeout=self._timeout_s, env=os.environ | values,
                    stdin=subprocess.DEVNULL, capture_output=True,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                self._fail(values, f"killed after {self._timeout_s:g} s")
            except (OSError, ValueError) as error:
                self._fail(values, f"cannot be run ({error})")
            else:
                output = (done.stdout + done.stderr).decode(errors="replace").strip()
                if output:
                    print(output, file=sys.stderr, flush=True)
                if done.returncode:
                    self._fail(values, f"exit code {done.returncode}")

    def _fail(self, values: Mapping[str, str], why: str) -> None:
        self.num_failed += 1
        label = values.get(PREFIX + "LABEL", "")
        echo(f"--on-event for {label!r}: {why}; the stream continues")
