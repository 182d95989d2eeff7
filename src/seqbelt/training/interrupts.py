"""Ctrl-C, SIGTERM and a terminal that closes end the work well: a training between two steps, all
else where it is.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
SAME_S = 1.0
"""Signals that are so near each other are one request."""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and SIGHUP set an event that the loop looks at between steps.

    A second signal does what it would have done without us.
    """
    stopped = threading.Event()

    def stop(number: int, restore: Callable[[], None]) -> None:
        stopped.set()
        restore()

    with on_stop_signals(stop):
        yield stopped


@contextmanager
def stop_signals_raised() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt with the signal's name.

    One that follows at once, as a process and its group may both get it, interrupts nothing more.
    """
    last = -SAME_S

    def stop(number: int, restore: Callable[[], None]) -> None:
        nonlocal last
        is_same, last = time.monotonic() - last < SAME_S, time.monotonic()
        if not is_same:
            raise KeyboardInterrupt(signal.Signals(number).name)

    with on_stop_signals(stop):
        yield


@contextmanager
def on_stop_signals(stop: Callable[[int, Callable[[], None]], None]) -> Iterator[None]:
    """Call ``stop(number, restore)`` at a signal; ``restore()`` puts the former handlers back.

    Nothing is changed in another thread than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    # What nohup lets pass must not end the work.
    names = [
        name
        for name in SIGNALS
        if name == signal.SIGINT or signal.getsignal(name) is not signal.SIG_IGN
    ]
    before = {name: signal.getsignal(name) for name in names}

    def restore() -> None:
        for name in names:
            signal.signal(name, before[name])

    def handle(number: int, frame: object) -> None:
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()
        stop(number, restore)

    for name in names:
        signal.signal(name, handle)
    try:
        yield
    finally:
        restore()


def _leave_terminal() -> None:
    """A terminal that was closed takes no word any more: writing to it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if os.isatty(stream.fileno()):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
