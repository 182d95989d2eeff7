"""Commands that evaluate, certify, explain and export a model, and open the MLflow UI."""

from pathlib import Path
from typing import Annotated

import typer

from seqbelt.cli.arguments import AsJson, Config, ModelName, Overrides, local_path
from seqbelt.cli.running import load, run
from seqbelt.workflow.outcome import Outcome


def evaluate(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Evaluate a model on the test part of a config's data."""

    def work() -> Outcome:
        from seqbelt.commands.evaluate import evaluate

        return evaluate(model, load(config, overrides))

    run(work, as_json)


def certify(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Check invariance to padding, batch and chunks, and determinism."""

    def work() -> Outcome:
        from seqbelt.commands.certify import certify

        return certify(model, load(config, overrides))

    run(work, as_json)


def explain(
    model: ModelName,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Input file.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings to read a table, e.g. data.quoting=false."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text to explain instead of a file.")] = None,
    item_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Item of FILE to explain, where FILE is a manifest or a .ts file: its name, or "
            "'row 3'.",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class or label to explain instead of the predicted one.")
    ] = None,
    output: Annotated[
        Path, typer.Option(parser=local_path, help="Output folder for the table and the figure.")
    ] = Path("outputs/explanations"),
    as_json: AsJson = False,
) -> None:
    """Attribute a prediction to the steps of its input. Write a table and a figure."""

    def work() -> Outcome:
        from seqbelt.commands.explain import explain

        return explain(model, file, text, item_id, output, settings or [], label)

    run(work, as_json)


def export(
    model: ModelName,
    output: Annotated[
        Path, typer.Option(parser=local_path, help="Output file, .onnx, .c or .pte.")
    ],
    format: Annotated[
        str,
        typer.Option(
            help="onnx, c (C99 source and header), onnx-stream or executorch (one step, the state "
            "goes in and out); onnx-int8 and c-int8 have quantized weights.",
        ),
    ] = "onnx",
    config: Annotated[
        Path | None,
        typer.Option(help="Also compare predictions and accuracy on the test part of this config."),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Put the features into the file, which then takes samples."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model; check that the file gives the same predictions."""

    def work() -> Outcome:
        from seqbelt.commands.export import export

        return export(model, format, output, load(config, None) if config else None, raw)

    run(work, as_json)


def ui(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start the MLflow UI on this project's tracking store."""

    def work() -> Outcome:
        from seqbelt.tracking.ui import serve

        return Outcome(serve(host, port))

    run(work, as_json=False)
