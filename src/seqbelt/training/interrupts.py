"""Handlers of Ctrl-C, SIGTERM and SIGHUP: training stops between two steps, other work at once."""

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
"""Signals closer to each other than this count as one request."""
SEND_AGAIN_S = 0.01
"""Until a signal is sent again that a finalizer received; by then it has ended."""
_received: list[str] = []
_deferred: list[KeyboardInterrupt | None] = []
"""While ``defer_stop_signals`` is open one entry: the interrupt that waits for its end."""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and SIGHUP set an event that the loop checks between steps.

    A second signal has its former effect.
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

    A repeated signal within ``SAME_S`` is ignored: a process and its group may both receive it. One
    that is raised where Python ignores exceptions, in a finalizer, is sent again.
    """
    last, hook = -SAME_S, sys.unraisablehook
    _received.clear()

    def stop(number: int, restore: Callable[[], None]) -> None:
        nonlocal last
        is_same, last = time.monotonic() - last < SAME_S, time.monotonic()
        if is_same:
            return
        error = KeyboardInterrupt(signal.Signals(number).name)
        if _deferred and _deferred[0] is None:
            _deferred[0] = error
        else:
            raise error

    def send_again(ignored: "sys.UnraisableHookArgs") -> None:
        nonlocal last
        error = ignored.exc_value
        if not isinstance(error, KeyboardInterrupt) or not error.args:
            hook(ignored)
            return
        last = -SAME_S
        number = signal.Signals[error.args[0]]
        threading.Timer(SEND_AGAIN_S, os.kill, (os.getpid(), number)).start()

    with on_stop_signals(stop):
        sys.unraisablehook = send_again
        try:
            yield
        finally:
            sys.unraisablehook = hook


@contextmanager
def defer_stop_signals() -> Iterator[None]:
    """Where stop signals raise KeyboardInterrupt, raise it after this block; a second one at once.

    For short work that an exception at any line would leave undone for good, such as a transaction
    that keeps a database locked. Outside the main thread this does nothing.
    """
    if _deferred or threading.current_thread() is not threading.main_thread():
        yield  # the outermost block is what waits
        return
    _deferred.append(None)
    try:
        yield
    finally:
        if (error := _deferred.pop()) is not None:
            raise error


@contextmanager
def on_stop_signals(stop: Callable[[int, Callable[[], None]], None]) -> Iterator[None]:
    """Call ``stop(number, restore)`` at a signal; ``restore()`` restores the former handlers.

    Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    # A signal that nohup ignores must stay ignored.
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
        _received.append(signal.Signals(number).name)
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()
        stop(number, restore)

    for name in names:
        signal.signal(name, handle)
    try:
        yield
    finally:
        restore()


def last_signal() -> str:
    """The name of the last stop signal that was handled since ``stop_signals_raised`` began; "" if
    there was none."""
    return _received[-1] if _received else ""


def _leave_terminal() -> None:
    """Redirect output to a closed terminal to the null device: writing to it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            if os.isatty(stream.fileno()):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
