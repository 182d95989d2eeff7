"""Runs a command: prints its result, turns its errors into messages and exit codes."""

import contextlib
import gc
import json
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from seqbelt.errors import SeqbeltError, SettingsError, in_words, printable
from seqbelt.training.interrupts import last_signal, stop_signals_raised
from seqbelt.training.launch import is_main_process
from seqbelt.workflow.outcome import FAILED, Outcome

BAD_ARGUMENTS = 2
RESUMES = "finished work is kept; run the same command again to continue"
log_level = logging.INFO
"""Level of the messages on standard error: ``--quiet`` and ``--verbose`` set it."""


def load(config: Path, overrides: list[str] | None) -> Any:
    """The experiment of a config file and its overrides. Raises SettingsError."""
    if config.is_dir() or config.suffix.lower() in (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl"):
        what = "a folder" if config.is_dir() else "a table"
        raise SettingsError(
            f"CONFIG {config}: is {what}, not a YAML file with settings; to create one, run "
            f"seqbelt init {shlex.quote(str(config))}"
        )
    from seqbelt.experiment import Experiment

    return Experiment.load(config, overrides or [])


def run(
    work: Callable[[], Outcome],
    as_json: bool,
    remedy: str = "",
    next_step: Callable[[dict[str, Any]], str | None] = lambda result: None,
) -> NoReturn:
    """Call ``work``, print its result and exit with its code.

    After a success, ``next_step(result)`` is printed on standard error: what to type next.

    SettingsError exits with 2; SeqbeltError, a full disk and a stop signal (Ctrl-C, SIGTERM,
    SIGHUP) exit with 1 and a one-line message, to which ``remedy`` is added after a stop. The
    MLflow runs that the process has open are closed in every case.
    """
    from seqbelt.workflow.console import echo, log_to_stderr

    level = log_level if is_main_process() else max(log_level, logging.WARNING)  # rank 0 reports
    with stop_signals_raised(), log_to_stderr(level):
        try:
            outcome = work()
            gc.freeze()  # skips a second of garbage collection at exit
        except SettingsError as error:
            _close_runs("FAILED")
            _fail(error, BAD_ARGUMENTS)
        except SeqbeltError as error:
            _close_runs("FAILED")
            _fail(error, FAILED)
        except KeyboardInterrupt as error:
            _stop(error, remedy)
        except Exception as error:
            if (interrupt := _interrupt_behind(error)) is not None:
                _stop(interrupt, remedy)
            _close_runs("FAILED")
            if (message := in_words(error)) is None:
                raise
            _fail("; ".join([message, *filter(None, [remedy])]), FAILED)
    if is_main_process():
        _print_result(outcome, as_json)
        following = None if outcome.exit_code == FAILED else next_step(outcome.result)
        if following:
            with log_to_stderr(level):
                echo(f"next: {following}")
    raise SystemExit(outcome.exit_code)


def _print_result(outcome: Outcome, as_json: bool) -> None:
    """One line of JSON, or one line for each value that is not nested."""
    if as_json:
        print(json.dumps(outcome.result, ensure_ascii=False), flush=True)
        return
    for key, value in outcome.result.items():
        if key in outcome.only_json:
            continue
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = ", ".join(value) or None
        if value is not None and not isinstance(value, dict | list):  # --json prints those
            print(printable(f"{key}: {value}"))


def _stop(interrupt: KeyboardInterrupt, remedy: str) -> NoReturn:
    # A child process ends by another signal than this one was sent.
    name = last_signal() or next(iter(interrupt.args), "")
    _close_runs("KILLED")
    cause = "Ctrl-C" if name in ("", "SIGINT") else name
    _fail("; ".join([f"stopped by {cause}", *filter(None, [remedy])]), FAILED)


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt that a library (pydantic, numba) has wrapped in another error."""
    cause = error.__cause__ or error.__context__
    if cause is None or isinstance(cause, KeyboardInterrupt):
        return cause
    return _interrupt_behind(cause)


def _close_runs(status: str) -> None:
    """Close the open MLflow runs; there is none where MLflow was not imported."""
    if (tracked := sys.modules.get("seqbelt.tracking.run")) is not None:
        tracked.close_open_runs(status)


def _fail(message: object, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # of a terminal that was closed
        print(f"seqbelt: {printable(str(message))}", file=sys.stderr)
    raise SystemExit(code)
