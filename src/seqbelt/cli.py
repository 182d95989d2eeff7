"""The ``seqbelt`` command. Each command reads its settings, runs one stage, reports.

Exit codes: 0 done; 1 the work failed; 2 bad arguments or settings; 3 done, but some inputs were
quarantined. Everything heavy is imported by the stage that needs it, so ``--help`` is quick.
"""

import gc
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from seqbelt.errors import SeqbeltError, SettingsError

app = typer.Typer(
    name="seqbelt",
    help="Classify sequences with recurrent networks, and see what recurrence buys you.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    help="Known data sets, generated data, and an audit of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace the file's."),
]
ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="models:/NAME@champion, models:/NAME/3 or a bundle."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]


class OnError(StrEnum):
    """What an input without a label does to the whole."""

    quarantine = "quarantine"
    fail = "fail"


@app.command()
def prepare(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Turn the sources into a store of sequences."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.prepare import prepare

        return prepare(_load(config, overrides))

    _run(work, as_json)


@app.command()
def train(
    config: Config,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train one model, log it as one run and register it."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.train import train

        return train(_load(config, overrides), resume)

    _run(work, as_json)


@app.command()
def compare(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train every cell over every seed and judge."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.compare import compare

        return compare(_load(config, overrides))

    _run(work, as_json)


@app.command()
def predict(
    model: ModelName,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Folders or files.")],
    output: Annotated[Path, typer.Option("--output", help="File: .parquet, .csv or .jsonl.")],
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="Keep going, or fail at the end.")
    ] = OnError.quarantine,
    as_json: AsJson = False,
) -> None:
    """Label a folder, files or the rows of a manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.predict import predict

        return predict(model, inputs, output, on_error.value)

    _run(work, as_json)


@app.command()
def evaluate(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Score a saved model on the test part of a config's data."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.evaluate import evaluate

        return evaluate(model, _load(config, overrides))

    _run(work, as_json)


@app.command()
def certify(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Prove that a model's answers do not depend on padding, company or chance."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.certify import certify

        return certify(model, _load(config, overrides))

    _run(work, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo's data goes.")] = Path(
        "data/demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Generate small data, compare LSTM with RNN, predict a folder. Needs no network."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.demo import demo

        return demo(folder)

    _run(work, as_json)


@app.command()
def ui(
    port: Annotated[int, typer.Option("--port", help="Port of the page.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open this project's MLflow page."""

    def work() -> dict[str, Any]:
        from seqbelt.tracking.ui import serve

        return serve(host, port)

    _run(work, as_json=False)


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """The known data sets."""

    def work() -> dict[str, Any]:
        from seqbelt.data.catalogue import KNOWN_SETS

        return {name: known.about for name, known in sorted(KNOWN_SETS.items())}

    _run(work, as_json)


@data_app.command("get")
def data_get(name: str, as_json: AsJson = False) -> None:
    """Fetch a known set, check it, and write its manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.data.catalogue import find_known_set

        return {"name": name, "source": str(find_known_set(name))}

    _run(work, as_json)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the command and of ``python -m seqbelt``."""
    app(args=arguments, prog_name="seqbelt")
    raise AssertionError("typer exits by itself")


def _load(config: Path, overrides: list[str] | None) -> Any:
    from seqbelt.experiment import Experiment

    return Experiment.load(config, overrides or [])


def _run(work: Callable[[], dict[str, Any]], as_json: bool) -> NoReturn:
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
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    else:
        for key, value in result.items():
            if not isinstance(value, dict):  # nested figures are for programs: --json has them
                print(f"{key}: {value}")
    refused = any(isinstance(v, dict) and v.get("passed") is False for v in result.values())
    if result.get("interrupted") or refused:
        raise SystemExit(1)
    raise SystemExit(3 if result.get("num_quarantined") else 0)


def _fail(message: object, code: int) -> NoReturn:
    print(f"seqbelt: {message}", file=sys.stderr)
    raise SystemExit(code)
