"""Register the model of a run, with its certificate and an input example."""

from datetime import date
from typing import cast

from seqbelt.checks.padding_invariance import certify_padding
from seqbelt.data.sources.names import shorten
from seqbelt.errors import BadInput, SeqbeltError, SettingsError, first_line
from seqbelt.evaluation.report_markdown import report_markdown
from seqbelt.experiment import Experiment
from seqbelt.features.base import Features, Source
from seqbelt.tracking.address import tracking_uri
from seqbelt.tracking.connection import is_unavailable
from seqbelt.tracking.outbox import retry_while_unavailable
from seqbelt.tracking.publish import log_model
from seqbelt.workflow.console import echo
from seqbelt.workflow.run_folders import read_part
from seqbelt.workflow.training_run import Trained

MAX_NAMED = 50
"""Classes that a version's page names."""


def register(trained: Trained, remark: str = "") -> str | None:
    """Log and register the model of a run; returns its ``models:/`` URI, or None if the tracking
    server is unavailable. ``remark`` is the first part of the version's description.

    A model that fails the padding certificate is registered, but does not become champion.
    """
    try:
        if trained.run.outbox.flush():
            return retry_while_unavailable(lambda: _register(trained, remark))
    except Exception as error:  # from MLflow or a library below it
        if not is_unavailable(error):
            raise SeqbeltError(
                f"{trained.name}: the model could not be registered ({first_line(error)}); it is "
                f"saved in {trained.bundle_folder}{_registers_later(trained)}"
            ) from error
    echo(
        f"{trained.name}: the model is not registered: the tracking server {tracking_uri()} is "
        f"unavailable; it is saved in {trained.bundle_folder}"
        f"{_registers_later(trained)}"
    )
    return None


def _registers_later(trained: Trained) -> str:
    """The remedy; empty for a model of a comparison, which is not resumed alone."""
    return "" if trained.variant else "; run the same command with --resume to register it"


def _register(trained: Trained, remark: str) -> str:
    report = trained.validation or trained.test
    train = read_part(trained.experiment, trained.store, "train")
    padding = certify_padding(trained.bundle.network, report.sequences if report else train)
    if not padding.passed:
        echo(f"{trained.name}: {padding.sentence}; the model is registered, but not as champion")
    tags = {"model.cell": trained.cell, "data.fingerprint": trained.store.fingerprint}
    if (number := len(trained.bundle.network.networks)) > 1:
        tags["model.num_networks"] = str(number)
    if trained.validation is not None:
        scores = trained.validation.to_dict()
        tags |= {f"validation.{name}": repr(value) for name, value in scores.items()}
    certificates = {"padding": padding.to_dict()}
    return log_model(
        trained.run,
        trained.bundle_folder,
        trained.experiment.name,
        tags,
        certificates,
        _example(trained.experiment),
        _version_page(trained, remark),
    )


def _version_page(trained: Trained, remark: str) -> str:
    """The description of a registered version: remark, data and scores."""
    store, data = trained.store, trained.experiment.data
    counts = {name: len(store.split(name)) for name in ("train", "validation", "test")}
    parts = [
        remark,
        f"Trained on {date.today():%Y-%m-%d} on `{data.source}`: {counts['train']:,} training, "
        f"{counts['validation']:,} validation and {counts['test']:,} test sequences.",
        f"Classes: {shorten(store.classes, MAX_NAMED)}.",
    ]
    if trained.test is not None:
        parts.append(report_markdown(trained.test, "test"))
    return "\n\n".join(filter(None, parts))


def _example(experiment: Experiment) -> Source:
    """The first readable item, as an input example."""
    manifest = experiment.data.list_items(experiment.features)
    for row in range(len(manifest)):
        source = manifest.source(row)
        try:
            features = cast(Features, experiment.features)
            if features.problem(features.read(source)) is None:
                return source
        except BadInput:
            continue
    raise SettingsError(f"{experiment.data.source}: no item can be read")
