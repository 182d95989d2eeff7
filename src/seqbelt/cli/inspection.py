"""Commands that look into a model, or hand it on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seqbelt.cli.arguments import AsJson, Config, ModelName, Overrides
from seqbelt.cli.running import load, run


def evaluate(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Score a saved model on the test part of a config's data."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.evaluate import evaluate

        return evaluate(model, load(config, overrides))

    run(work, as_json)


def certify(
    model: ModelName, config: Config, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Prove that a model's answers do not depend on padding, company or chance."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.certify import certify

        return certify(model, load(config, overrides))

    run(work, as_json)


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
        from seqbelt.commands.explain import explain

        return explain(model, file, text, item_id, output, settings or [])

    run(work, as_json)


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
        from seqbelt.commands.export import export

        return export(model, format, output, load(config, None) if config else None)

    run(work, as_json)


def ui(
    port: Annotated[int, typer.Option("--port", help="Port of the page.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open this project's MLflow page."""

    def work() -> dict[str, Any]:
        from seqbelt.tracking.ui import serve

        return serve(host, port)

    run(work, as_json=False)
