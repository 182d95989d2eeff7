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
from seqbelt.training.launch import is_alone, is_first

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


class EngineName(StrEnum):
    """Who computes the network."""

    torch = "torch"
    onnx = "onnx"
    ray = "ray"


class PrecisionName(StrEnum):
    """How products are computed."""

    float32 = "float32"
    bf16 = "bf16"


class PcmName(StrEnum):
    """How raw samples are written: little-endian integers of 16 bits, or floats of 32."""

    s16le = "s16le"
    f32le = "f32le"


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
        from seqbelt.stages.follow import follow
        from seqbelt.stages.train import train

        take_part = train if is_first() else follow
        return take_part(_load(config, overrides), resume)

    _run(work, as_json)


@app.command()
def compare(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train every cell over every seed and judge."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.compare import compare

        if not is_alone():
            raise SettingsError(
                "compare trains many models and takes one process; use comparison.num_workers "
                "instead of torchrun, which is for train"
            )
        return compare(_load(config, overrides))

    _run(work, as_json)


@app.command()
def tune(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Search settings on validation rows, and write the best as a config."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.tune import tune

        return tune(_load(config, overrides))

    _run(work, as_json)


@app.command()
def predict(
    model: ModelName,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... [KEY=VALUE]...",
            help="Folders or files; how a manifest is read, as in data.quoting=false.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="File: .parquet, .csv or .jsonl.")],
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="Keep going, or fail at the end.")
    ] = OnError.quarantine,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.001, help="Seconds that one input may take.")
    ] = 300.0,
    engine: Annotated[EngineName, typer.Option("--engine", help="What computes.")] = (
        EngineName.torch
    ),
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="Of the products.")
    ] = PrecisionName.float32,
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage",
            min=0.01,
            max=1.0,
            help="Answer only as sure as this share of the validation rows; the rest is rejected.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label a folder, files or the rows of a manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.predict_apart import predict_apart

        options = {
            "on_error": on_error, "engine": engine, "precision": precision, "coverage": coverage,
        }  # fmt: skip
        return predict_apart(model, inputs, output, timeout_s, **options)

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
def explain(
    model: ModelName,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="One input.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How a manifest is read."),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text instead of a file.")] = None,
    item_id: Annotated[
        str | None, typer.Option("--id", help="Which item, where FILE is a manifest or .ts.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="Folder of table and picture.")] = Path(
        "outputs/explanations"
    ),
    as_json: AsJson = False,
) -> None:
    """Show which steps of one input decided: a table and a picture."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.explain import explain

        return explain(model, file, text, item_id, output, settings or [])

    _run(work, as_json)


@app.command()
def stream(
    model: ModelName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    pcm: Annotated[
        PcmName | None,
        typer.Option("--pcm", help="Raw mono samples; standard input: s16le unless named."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="FILE grows; Ctrl-C ends.")] = False,
    every_ms: Annotated[
        float | None, typer.Option("--every-ms", min=0.001, help="Signal between two answers.")
    ] = None,
    every_steps: Annotated[
        int | None, typer.Option("--every-steps", min=1, help="The same, in steps.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a signal while it comes, one line of JSON an answer."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.stream import stream

        kind = pcm.value if pcm else None
        found = stream(
            model, file, pcm=kind, follow=follow, every_ms=every_ms, every_steps=every_steps
        )
        return found if as_json else {}  # standard output is for the answers

    _run(work, as_json)


@app.command()
def export(
    model: ModelName,
    output: Annotated[Path, typer.Option("--output", help="File: .onnx.")],
    format: Annotated[str, typer.Option("--format", help="onnx, or onnx-int8.")] = "onnx",
    config: Annotated[
        Path | None, typer.Option("--config", help="Compare on its test rows, and score both.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as an ONNX file, if the file gives the model's answers."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.export import export

        return export(model, format, output, _load(config, None) if config else None)

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
    """The known data sets, and those that are generated."""

    def work() -> dict[str, Any]:
        from seqbelt.data.generated.sets import GENERATED_SETS
        from seqbelt.data.known_sets import KNOWN_SETS

        return {name: one.about for name, one in sorted({**KNOWN_SETS, **GENERATED_SETS}.items())}

    _run(work, as_json)


@data_app.command("get")
def data_get(name: str, as_json: AsJson = False) -> None:
    """Fetch a known set, check it, and write its manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.data.catalogue import find_known_set

        return {"name": name, "source": str(find_known_set(name))}

    _run(work, as_json)


@data_app.command("make")
def data_make(
    name: str,
    overrides: Overrides = None,
    lag: Annotated[int | None, typer.Option("--lag", help="Steps to remember over.")] = None,
    num_train: Annotated[int | None, typer.Option("--num-train", help="Sequences.")] = None,
    num_validation: Annotated[int | None, typer.Option("--num-validation")] = None,
    num_test: Annotated[int | None, typer.Option("--num-test")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the data.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Where the files go.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a generated set as files; KEY=VALUE sets what only this set has."""

    def work() -> dict[str, Any]:
        from seqbelt.settings import override
        from seqbelt.stages.make_data import make_data

        named = {"lag": lag, "num_train": num_train, "num_validation": num_validation,
                 "num_test": num_test, "seed": seed}  # fmt: skip
        given = {key: value for key, value in named.items() if value is not None}
        return make_data(name, folder, override(given, overrides or []))

    _run(work, as_json)


@data_app.command("audit")
def data_audit(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Look for leaks between the parts, and for faults of the rows."""

    def work() -> dict[str, Any]:
        from seqbelt.stages.audit import audit

        return audit(_load(config, overrides), show=not as_json)

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
    if as_json and is_first():
        print(json.dumps(result, ensure_ascii=False), flush=True)
    elif is_first():
        for key, value in result.items():
            if not isinstance(value, dict | list):  # nested: for programs, --json has it
                print(f"{key}: {value}")
    refused = any(isinstance(v, dict) and v.get("passed") is False for v in result.values())
    if result.get("interrupted") or refused:
        raise SystemExit(1)
    raise SystemExit(3 if result.get("num_quarantined") else 0)


def _fail(message: object, code: int) -> NoReturn:
    print(f"seqbelt: {message}", file=sys.stderr)
    raise SystemExit(code)
