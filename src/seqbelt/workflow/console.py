"""Messages and progress bars on standard error.

Messages go through ``logging.getLogger("seqbelt")``. Without a handler, as in a library call,
nothing is printed; the command line attaches one with ``log_to_stderr``.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from seqbelt.errors import printable

logger = logging.getLogger("seqbelt")
console = Console(stderr=True, highlight=False)
TEXT_WIDTH, BAR_WIDTH = 38, 10
show_bars = True
"""False in a worker process: bars of several processes would overwrite each other."""


class _StderrHandler(logging.Handler):
    """Prints records above a running progress bar; warnings and errors carry their level."""

    def __init__(self) -> None:
        super().__init__()
        self._printed_once: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if getattr(record, "once", False):
            if text in self._printed_once:
                return
            self._printed_once.add(text)
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        with suppress(OSError):  # a terminal that was closed
            console.print(printable(text), markup=False, soft_wrap=True)


@contextmanager
def log_to_stderr(level: int = logging.INFO) -> Iterator[None]:
    """Print the package's messages of this level and above while the block runs.

    Progress bars are shown at ``logging.INFO`` and below. Within another such block nothing
    changes.
    """
    if any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        yield
        return
    handler, previous = _StderrHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(previous)


def start_worker_logging(level: int) -> None:
    """Print messages of this level from a worker process, and no progress bars."""
    global show_bars
    show_bars = False
    logger.addHandler(_StderrHandler())
    logger.setLevel(level)


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.0f}/s" if rate else "")


class Bar:
    """One running bar; call it with the number of items done since the last call.

    Where no bar can be drawn, as in a log file, it prints a line a minute.
    """

    LINE_S = 60.0

    def __init__(self, progress: Progress, total: int | None, text: str) -> None:
        self._progress, self._total, self._text = progress, total, text
        self._task = progress.add_task(text, total=total)
        self._num_done, self._began = 0, time.perf_counter()
        self._printed = self._began

    def __call__(self, done: int = 1) -> None:
        self._progress.advance(self._task, done)
        self._num_done += done
        now = time.perf_counter()
        if self._progress.disable and show_bars and now - self._printed >= self.LINE_S:
            self._printed = now
            echo(f"{self._text}: {self._done(now)}")

    def _done(self, now: float) -> str:
        if not self._total:
            return f"{self._num_done:,} done"
        done = f"{self._num_done:,} of {self._total:,}"
        if self._num_done < 0.01 * self._total:  # what comes first says nothing of the pace
            return done
        left_s = (now - self._began) * (self._total / self._num_done - 1)
        return f"{done}, about {format_time(left_s)} left"

    def describe(self, text: str) -> None:
        """Replace the text before the bar."""
        self._text = text
        self._progress.update(self._task, description=text)


@contextmanager
def bar(text: str, total: int | None) -> Iterator[Bar]:
    """Show a bar with rate and time left while the block runs."""
    # As wide as a terminal of 80 columns; longer texts are cut.
    columns = (
        SpinnerColumn(),
        TextColumn(
            "{task.description}",
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=TEXT_WIDTH),
        ),
        BarColumn(bar_width=BAR_WIDTH),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    # Written to a pipe, each bar would leave an empty line.
    is_shown = show_bars and console.is_terminal and logger.isEnabledFor(logging.INFO)
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        yield Bar(progress, total, text)


class ModelCount:
    """Announces each of several trainings with its number and the time left for all."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._number, self._num_trained = 0, 0
        self._began = time.perf_counter()

    def skip(self) -> None:
        """Count a model that needs no training."""
        self._number += 1

    def begin(self, name: str) -> None:
        """Print number and name of the model that is trained next."""
        self._number += 1
        text = f"model {self._number} of {self.total}: {name}"
        if self._num_trained:
            pace_s = (time.perf_counter() - self._began) / self._num_trained
            left_s = pace_s * (self.total - self._number + 1)
            text += f"; about {format_time(left_s)} left for all"
        self._num_trained += 1
        echo(text)


def format_time(seconds: float) -> str:
    """E.g. ``50 seconds``, ``4.2 minutes``, ``3.1 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


class TimeEstimate:
    """Estimates the duration of a training from its first steps and prints it once.

    Call it after each step; ``num_steps`` is the number of all steps.
    """

    WARM_UP, MEASURED = 5, 30
    MIN_REPORTED_S = 20.0

    def __init__(self, name: str, num_steps: int) -> None:
        self.name, self.num_steps = name, num_steps
        self._num_done, self._began = 0, 0.0

    def __call__(self) -> None:
        self._num_done += 1
        if self._num_done == self.WARM_UP:
            self._began = time.perf_counter()
        elif self._num_done == self.MEASURED:
            step_s = (time.perf_counter() - self._began) / (self.MEASURED - self.WARM_UP)
            total_s = step_s * self.num_steps
            if total_s >= self.MIN_REPORTED_S:
                echo(f"{self.name}: about {format_time(total_s)} for {self.num_steps:,} updates")


def echo(text: str, once: bool = False) -> None:
    """Log one line at level INFO; with ``once`` a command prints it the first time only."""
    logger.info("%s", text, extra={"once": once})
