"""Commands that list, download, generate and audit data sets."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from seqbelt.cli.arguments import AsJson, Config, Overrides, local_path
from seqbelt.cli.running import load, run
from seqbelt.errors import SettingsError
from seqbelt.workflow.outcome import Outcome

SetName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a data set; 'seqbelt data list' prints them.")
]


def list_sets(as_json: AsJson = False) -> None:
    """List the data sets that can be downloaded or generated."""

    def work() -> Outcome:
        from seqbelt.data.generated.sets import GENERATED_SETS
        from seqbelt.data.sources.known_sets import KNOWN_SETS

        sets = sorted({**KNOWN_SETS, **GENERATED_SETS}.items())
        return Outcome({name: data_set.about for name, data_set in sets})

    run(work, as_json)


def get_set(name: SetName, as_json: AsJson = False) -> None:
    """Download a data set, verify its checksum and write its manifest."""

    def work() -> Outcome:
        from seqbelt.data.sources.catalogue import find_known_set

        return Outcome({"name": name, "source": str(find_known_set(name))})

    run(work, as_json)


def make_set(
    name: SetName,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Other settings of the data set."),
    ] = None,
    lag: Annotated[int | None, typer.Option(help="Time lag to bridge, in steps.")] = None,
    num_train: Annotated[int | None, typer.Option(help="Number of training sequences.")] = None,
    num_validation: Annotated[
        int | None, typer.Option(help="Number of validation sequences.")
    ] = None,
    num_test: Annotated[int | None, typer.Option(help="Number of test sequences.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random generator.")] = None,
    folder: Annotated[Path | None, typer.Option(parser=local_path, help="Output folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Generate a data set and write its files."""

    def work() -> Outcome:
        from seqbelt.commands.make_data import make_data
        from seqbelt.settings import override

        named = {"lag": lag, "num_train": num_train, "num_validation": num_validation,
                 "num_test": num_test, "seed": seed}  # fmt: skip
        given = {key: value for key, value in named.items() if value is not None}
        return make_data(name, folder, override(given, overrides or []))

    run(work, as_json)


def audit(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a data set for leaks between its parts, and for bad rows."""

    def work() -> Outcome:
        from seqbelt.commands.audit import audit

        return audit(load(config, overrides), show=not as_json)

    run(work, as_json)


def init(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|TABLE",
            help="Folder with one sub-folder per class, or a table of items.",
        ),
    ],
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Config file to write; NAME.yaml unless given."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression for file names, with (?P<label>...) or (?P<group>...)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented config for your data, and report its faults."""

    def work() -> Outcome:
        from seqbelt.commands.init import init

        outcome = init(source, output, overrides or [], pattern, force, show=not as_json)
        # Without --json all else has been printed.
        return outcome if as_json else outcome._replace(result={"config": outcome.result["config"]})

    run(
        work, as_json, next_step=lambda result: shlex.join(["seqbelt", "compare", result["config"]])
    )


def review(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|PREDICTIONS",
            help="YAML file with the settings, or a table that 'seqbelt predict' wrote.",
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE|INPUT]...",
            help="Settings to override; with PREDICTIONS, the folder or table that was predicted.",
        ),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Table of corrections to write; data.corrections or NAME.corrections.csv unless "
            "given.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 0,
    model: Annotated[
        str | None,
        typer.Option(
            help="With PREDICTIONS: the model that predicted, where the table's name of it is not "
            "found any more.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at doubtful items on a local page and correct their labels."""

    def work() -> Outcome:
        from seqbelt.commands.review import review_data, review_predictions

        if target.suffix.lower() in (".parquet", ".csv", ".jsonl", ".xlsx"):
            return review_predictions(target, arguments or [], corrections, port, model)
        if model is not None:
            raise SettingsError("--model: is for a table of predictions, not for a config")
        return review_data(load(target, arguments), target, corrections, port)

    run(work, as_json)
