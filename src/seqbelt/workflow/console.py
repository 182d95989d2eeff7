"""Progress on standard error: a bar on a terminal, silence in a pipe."""

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
from rich.text import Text

from seqbelt.training.launch import is_main_process

console = Console(stderr=True, highlight=False)
show_bars = True
"""A worker process shows none: its parent does."""
is_silent = not is_main_process()
"""Of several processes that train one model, one speaks."""


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.0f}/s" if rate else "")


class Bar:
    """One running bar; call it with the number of items done since the last call."""

    def __init__(self, progress: Progress, total: int | None, text: str) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=total)

    def __call__(self, done: int = 1) -> None:
        self._progress.advance(self._task, done)

    def say(self, text: str) -> None:
        """Change the words before the bar."""
        self._progress.update(self._task, description=text)


@contextmanager
def bar(text: str, total: int | None) -> Iterator[Bar]:
    """Show a bar with rate and time left while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    # A pipe would get an empty line for each bar.
    silent = is_silent or not (show_bars and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        yield Bar(progress, total, text)


class TimeEstimate:
    """Says once, by the pace of the first steps, how long all of them take; call it at each."""

    WARM_UP, MEASURED = 5, 30
    WORTH_SAYING_S = 20.0

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
            if total_s >= self.WORTH_SAYING_S:
                shown = f"{total_s / 60:.1f} minutes" if total_s >= 90 else f"{total_s:.0f} seconds"
                say(f"{self.name}: about {shown} for {self.num_steps:,} updates")


def say(text: str) -> None:
    """One line on standard error."""
    if not is_silent:
        with suppress(OSError):  # a terminal that was closed
            console.print(text, markup=False, soft_wrap=True)
