"""The ``seqbelt`` command. Each command reads its settings, runs one stage, reports.

Exit codes: 0 done; 1 the work failed; 2 bad arguments or settings; 3 done, but some inputs were
quarantined. Everything heavy is imported by the stage that needs it, so ``--help`` is quick.
"""

from typing import NoReturn

import typer

from seqbelt.cli import data, inspection, prediction, training

app = typer.Typer(
    name="seqbelt",
    help="Classify sequences with recurrent networks, and see what recurrence buys you.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    training.demo,
    data.init,
    training.prepare,
    training.train,
    training.compare,
    training.tune,
    prediction.predict,
    prediction.stream,
    inspection.evaluate,
    inspection.certify,
    inspection.explain,
    inspection.export,
    inspection.ui,
):
    app.command()(command)

data_app = typer.Typer(
    help="Known data sets, generated data, and an audit of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
data_app.command("list")(data.list_sets)
data_app.command("get")(data.get_set)
data_app.command("make")(data.make_set)
data_app.command("audit")(data.audit)
app.add_typer(data_app, name="data")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the command and of ``python -m seqbelt``."""
    app(args=arguments, prog_name="seqbelt")
    raise AssertionError("typer exits by itself")
