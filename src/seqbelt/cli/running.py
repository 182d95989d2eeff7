"""How a command does its work: its settings, its result, its exit code."""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.training.launch import is_first


def load(config: Path, overrides: list[str] | None) -> Any:
    """The experiment that a config and its replaced settings describe."""
    from seqbelt.experiment import Experiment

    return Experiment.load(config, overrides or [])


def run(work: Callable[[], dict[str, Any]], as_json: bool) -> NoReturn:
    """Do the work, print the result, exit with the contract's code."""
    try:
        result = work()
        gc.freeze()  # else Python spends a second at its end on looking for cycles
    except SettingsError as error:
        _fail(error, 2)
    except SeqbeltError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C; finished work is kept, and the same command goes on", 1)
    if as_json and is_first():
        print(json.dumps(result, ensure_ascii=False), flush=True)
    elif is_first():
        for key, value in result.items():
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                value = ", ".join(value)
            if value is not None and not isinstance(value, dict | list):  # --json has those
                print(f"{key}: {value}")
    refused = any(isinstance(v, dict) and v.get("passed") is False for v in result.values())
    if result.get("interrupted") or refused:
        raise SystemExit(1)
    raise SystemExit(3 if result.get("num_quarantined") else 0)


def _fail(message: object, code: int) -> NoReturn:
    print(f"seqbelt: {message}", file=sys.stderr)
    raise SystemExit(code)
