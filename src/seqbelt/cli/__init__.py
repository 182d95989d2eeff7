"""The ``seqbelt`` command line. Each command parses its arguments, runs and prints its result.

Exit codes, set by the commands (``workflow.outcome``): 0 done; 1 the work failed; 2 bad arguments
or settings; 3 done, but some inputs were quarantined. Heavy packages are imported by the command
that needs them, so that ``--help`` and ``--version`` are fast.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn


def _end_at_stop_signals() -> None:
    """End with one sentence at a stop signal while nothing is under way yet: imports take a second,
    and Python would print where they were. Commands set handlers of their own."""

    def stop(number: int, frame: object) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        message = f"seqbelt: stopped by {name}; no work was under way\n"
        try:
            os.write(2, message.encode())
        finally:
            os._exit(1)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)


if (
    Path(sys.argv[0]).name in ("seqbelt", "__main__.py")  # and not as a library
    and "multiprocessing.spawn" not in sys.modules  # nor a worker, whose parent ends it
):
    _end_at_stop_signals()

import typer  # noqa: E402

from seqbelt import __version__  # noqa: E402
from seqbelt.cli import data, inspection, prediction, running, training  # noqa: E402

app = typer.Typer(
    name="seqbelt",
    help="Classify sequences (audio, text, video, sensor signals) with LSTM, GRU and RNN models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"seqbelt {__version__}")
        raise typer.Exit


@app.callback()
def set_global_options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors only; no progress.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print debugging messages too.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Set the level of the messages on standard error."""
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    running.log_level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO


for command in (
    training.demo,
    data.init,
    training.prepare,
    training.train,
    training.compare,
    training.tune,
    prediction.predict,
    prediction.stream,
    inspection.evaluate,
    inspection.certify,
    inspection.explain,
    inspection.export,
    data.review,
    inspection.ui,
):
    app.command()(command)

data_app = typer.Typer(
    help="List, download, generate and audit data sets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
data_app.command("list")(data.list_sets)
data_app.command("get")(data.get_set)
data_app.command("make")(data.make_set)
data_app.command("audit")(data.audit)
app.add_typer(data_app, name="data")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of ``seqbelt`` and ``python -m seqbelt``; exits with the command's code."""
    # OpenMP reads this when torch is loaded. Threads that wait in a busy loop, as they do without
    # it, take the core from the thread that they wait for as soon as another process is running.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app(args=arguments, prog_name="seqbelt")
    raise AssertionError("typer exits by itself")
