"""Progress on standard error: a bar on a terminal, silence in a pipe."""

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

from seqbelt.training.launch import is_first

console = Console(stderr=True, highlight=False)
show_bars = True
"""A worker process shows none: its parent does."""
is_silent = not is_first()
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


def say(text: str) -> None:
    """One line on standard error."""
    if not is_silent:
        with suppress(OSError):  # a terminal that was closed
            console.print(text, markup=False, soft_wrap=True)
