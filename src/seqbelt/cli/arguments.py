"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

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
