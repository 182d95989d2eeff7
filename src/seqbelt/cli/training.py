"""Commands that make models: from sources to a verdict."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqbelt.cli.arguments import AsJson, Config, Overrides
from seqbelt.cli.running import GOES_ON, load, run
from seqbelt.errors import SettingsError
from seqbelt.training.launch import is_main_process, is_single_process


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo's data goes.")] = Path(
        "data/demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Generate small data, compare LSTM with RNN, predict a folder. Needs no network."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.demo import demo

        return demo(folder)

    run(work, as_json, GOES_ON)


class PreparationEngine(StrEnum):
    """Who encodes the sources."""

    local = "local"
    ray = "ray"


def prepare(
    config: Config,
    overrides: Overrides = None,
    engine: Annotated[
        PreparationEngine, typer.Option("--engine", help="Who encodes: this machine, or Ray's.")
    ] = PreparationEngine.local,
    as_json: AsJson = False,
) -> None:
    """Turn the sources into a store of sequences."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.prepare import prepare

        return prepare(load(config, overrides), engine.value)

    run(work, as_json, GOES_ON)


def train(
    config: Config,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train one model, log it as one run and register it."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.train import train
        from seqbelt.workflow.worker_rank import follow

        take_part = train if is_main_process() else follow
        return take_part(load(config, overrides), resume)

    run(work, as_json, "the same command with --resume goes on")


def compare(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train every cell over every seed and judge."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.compare import compare

        if not is_single_process():
            raise SettingsError(
                "compare trains many models and takes one process; use comparison.num_workers "
                "instead of torchrun, which is for train"
            )
        return compare(load(config, overrides))

    run(work, as_json, GOES_ON)


def tune(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Search settings on validation rows, and write the best as a config."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.tune import tune

        return tune(load(config, overrides))

    run(work, as_json, GOES_ON)
