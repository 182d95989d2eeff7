"""Commands about data: known sets, generated ones, and an audit of your own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seqbelt.cli.arguments import AsJson, Config, Overrides
from seqbelt.cli.running import load, run

SetName = Annotated[
    str, typer.Argument(metavar="NAME", help="One of those that 'seqbelt data list' names.")
]


def list_sets(as_json: AsJson = False) -> None:
    """The known data sets, and those that are generated."""

    def work() -> dict[str, Any]:
        from seqbelt.data.generated.sets import GENERATED_SETS
        from seqbelt.data.sources.known_sets import KNOWN_SETS

        return {name: one.about for name, one in sorted({**KNOWN_SETS, **GENERATED_SETS}.items())}

    run(work, as_json)


def get_set(name: SetName, as_json: AsJson = False) -> None:
    """Fetch a known set, check it, and write its manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.data.sources.catalogue import find_known_set

        return {"name": name, "source": str(find_known_set(name))}

    run(work, as_json)


def make_set(
    name: SetName,
    overrides: Overrides = None,
    lag: Annotated[int | None, typer.Option("--lag", help="Steps to remember over.")] = None,
    num_train: Annotated[int | None, typer.Option("--num-train", help="Sequences.")] = None,
    num_validation: Annotated[
        int | None, typer.Option("--num-validation", help="The same, to validate.")
    ] = None,
    num_test: Annotated[int | None, typer.Option("--num-test", help="The same, to test.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the data.")] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Where the files go.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a generated set as files; KEY=VALUE sets what only this set has."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.make_data import make_data
        from seqbelt.settings import override

        named = {"lag": lag, "num_train": num_train, "num_validation": num_validation,
                 "num_test": num_test, "seed": seed}  # fmt: skip
        given = {key: value for key, value in named.items() if value is not None}
        return make_data(name, folder, override(given, overrides or []))

    run(work, as_json)


def audit(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Look for leaks between the parts, and for faults of the rows."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.audit import audit

        return audit(load(config, overrides), show=not as_json)

    run(work, as_json)


def init(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|TABLE", help="Files by class, or a table of items.")
    ],
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The config to write; NAME.yaml if left out."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            help="Regular expression with (?P<label>...) or (?P<group>...) in the files' names.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at data, write a commented config for it, and name what is wrong with the data."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.init import init

        return init(source, output, overrides or [], pattern, force, show=not as_json)

    run(work, as_json)
