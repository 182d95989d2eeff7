"""Commands that prepare data, and train, compare and tune models."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seqbelt.cli.arguments import AsJson, Config, Overrides, local_path
from seqbelt.cli.running import RESUMES, load, run
from seqbelt.errors import SettingsError
from seqbelt.training.launch import is_main_process, is_single_process
from seqbelt.workflow.outcome import Outcome


def demo(
    folder: Annotated[
        Path, typer.Option(parser=local_path, help="Folder for the generated data.")
    ] = Path("data/demo"),
    as_json: AsJson = False,
) -> None:
    """Prepare, compare and predict on small generated data."""

    def work() -> Outcome:
        from seqbelt.commands.demo import demo

        return demo(folder)

    run(work, as_json, RESUMES)


def prepare(
    config: Config,
    overrides: Overrides = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where to encode: on this machine, or on a Ray cluster."),
    ] = "local",
    as_json: AsJson = False,
) -> None:
    """Encode the source files as sequences and save them in a store."""

    def work() -> Outcome:
        from seqbelt.commands.prepare import prepare

        return prepare(load(config, overrides), engine)

    arguments = shlex.join([str(config), *(overrides or [])])
    run(work, as_json, RESUMES, lambda result: f"seqbelt compare {arguments}")


def train(
    config: Config,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted training.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one model, log it to MLflow and register it."""

    def work() -> Outcome:
        from seqbelt.commands.train import train
        from seqbelt.workflow.worker_rank import train_as_worker

        train_rank = train if is_main_process() else train_as_worker
        return train_rank(load(config, overrides), resume)

    run(work, as_json, "run the same command with --resume to continue", _predict_next)


def _predict_next(result: dict[str, Any]) -> str | None:
    """The command that uses the model of a training or a comparison."""
    model = result.get("model_uri") or result.get("bundle")
    return model and f"seqbelt predict {model} INPUT --output predictions.csv; seqbelt ui"


def compare(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train every cell with every seed; test which is more accurate."""

    def work() -> Outcome:
        from seqbelt.commands.compare import compare

        if not is_single_process():
            raise SettingsError(
                "compare runs in one process, not under torchrun; set comparison.num_workers to "
                "train several models in parallel"
            )
        return compare(load(config, overrides))

    run(work, as_json, RESUMES, _predict_next)


def tune(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Search settings on validation rows; save the best as a config."""

    def work() -> Outcome:
        from seqbelt.commands.tune import tune

        return tune(load(config, overrides))

    run(work, as_json, RESUMES)
