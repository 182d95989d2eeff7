"""Ctrl-C and SIGTERM end a training between two steps, not within one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set an event that the loop looks at between steps.

    A second signal ends the process at once, as it would have without us.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped  # only the main thread may handle signals
        return
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.getsignal(name) for name in names}

    def stop(number: int, frame: object) -> None:
        stopped.set()
        for name in names:
            signal.signal(name, before[name])

    for name in names:
        signal.signal(name, stop)
    try:
        yield stopped
    finally:
        for name in names:
            signal.signal(name, before[name])
