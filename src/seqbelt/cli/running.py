"""How a command does its work: its settings, its result, its exit code."""

import contextlib
import gc
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from seqbelt.errors import SeqbeltError, SettingsError, in_words
from seqbelt.training.interrupts import stop_signals_raised
from seqbelt.training.launch import is_main_process


def load(config: Path, overrides: list[str] | None) -> Any:
    """The experiment that a config and its replaced settings describe."""
    if config.is_dir() or config.suffix.lower() in (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl"):
        what = "a folder" if config.is_dir() else "a table"
        raise SettingsError(
            f"CONFIG {config}: is {what} and no YAML file with settings; to write one, run: "
            f"seqbelt init {shlex.quote(str(config))}"
        )
    from seqbelt.experiment import Experiment

    return Experiment.load(config, overrides or [])


GOES_ON = "finished work is kept, and the same command goes on"


def run(work: Callable[[], dict[str, Any]], as_json: bool, after_stop: str = "") -> NoReturn:
    """Do the work, print the result, exit with the contract's code.

    However the work ends, no run stays open. ``after_stop`` says what to do when it was stopped by
    Ctrl-C, SIGTERM or a closed terminal.
    """
    with stop_signals_raised():
        try:
            result = work()
            gc.freeze()  # else Python spends a second at its end on looking for cycles
        except SettingsError as error:
            _close_runs("FAILED")
            _fail(error, 2)
        except SeqbeltError as error:
            _close_runs("FAILED")
            _fail(error, 1)
        except KeyboardInterrupt as error:
            _stop(error, after_stop)
        except Exception as error:
            if (interrupt := _interrupt_behind(error)) is not None:
                _stop(interrupt, after_stop)
            _close_runs("FAILED")
            if (words := in_words(error)) is None:
                raise
            _fail("; ".join([words, *filter(None, [after_stop])]), 1)
    if as_json and is_main_process():
        print(json.dumps(result, ensure_ascii=False), flush=True)
    elif is_main_process():
        for key, value in result.items():
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                value = ", ".join(value)
            if value is not None and not isinstance(value, dict | list):  # --json has those
                print(f"{key}: {value}")
    refused = any(isinstance(v, dict) and v.get("passed") is False for v in result.values())
    if result.get("interrupted") or refused:
        raise SystemExit(1)
    raise SystemExit(3 if result.get("num_quarantined") else 0)


def _stop(interrupt: KeyboardInterrupt, after_stop: str) -> NoReturn:
    name = interrupt.args[0] if interrupt.args and interrupt.args[0] != "SIGINT" else ""
    _close_runs("KILLED")
    _fail("; ".join([f"stopped by {name or 'Ctrl-C'}", *filter(None, [after_stop])]), 1)


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that a library has wrapped in an error of its own, as pydantic does."""
    cause = error.__cause__ or error.__context__
    if cause is None or isinstance(cause, KeyboardInterrupt):
        return cause
    return _interrupt_behind(cause)


def _close_runs(status: str) -> None:
    """Only where MLflow was imported can a run be open."""
    if (tracked := sys.modules.get("seqbelt.tracking.run")) is not None:
        tracked.close_open_runs(status)


def _fail(message: object, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # of a terminal that is gone
        print(f"seqbelt: {message}", file=sys.stderr)
    raise SystemExit(code)
