"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings to override, e.g. model.hidden_size=256."
    ),
]
ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="MLflow URI (models:/NAME@champion, models:/NAME/3, runs:/ID) or bundle folder.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as one line of JSON on standard output.")
]


def local_path(text: str) -> Path:
    """The path of an option that takes no address of an object store."""
    from seqbelt.settings import refuse_address

    try:
        return Path(refuse_address(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
