"""Train the network of one run, with progress on the console and figures in the run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seqbelt.data.cropped_sequences import lost_steps
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.names import shorten
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.report import format_scores
from seqbelt.experiment import Experiment
from seqbelt.models.ensemble import Network
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem
from seqbelt.plots.fonts import to_png
from seqbelt.plots.run_figures import augmentation_figure
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History
from seqbelt.training.several_networks import train_networks
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import TimeEstimate, bar, echo
from seqbelt.workflow.networks import network_builder
from seqbelt.workflow.run_folders import CHECKPOINT


def fit_network(
    experiment: Experiment,
    store: SequenceStore,
    rows: Mapping[str, Sequences],
    folder: Path,
    resume: bool,
    run: TrackedRun,
) -> tuple[Network, History]:
    """Train the network on the part ``train`` of ``rows``; print and log how it goes.

    The state is saved in ``folder``, from which ``resume`` continues.
    """
    settings, name = experiment.training, experiment.run_name
    assert isinstance(settings.augmentation, Augmentation)  # it is resolved
    plan = settings.plan(len(rows["train"]))
    _echo_plan(experiment, rows["train"])
    build = network_builder(experiment, store, rows["train"], run)
    num_updates = plan.num_networks * plan.num_updates
    training = [f"training {name}"]
    if plan.num_networks > 1:
        training = [
            f"training {name}, network {number} of {plan.num_networks}"
            for number in range(1, plan.num_networks + 1)
        ]
    with bar(training[0], num_updates) as progress:

        def on_start(reach: GradientReach) -> None:
            # With labels for steps the relevant steps are near: the reach may be short.
            if reach.warning and not experiment.data.labels_steps:
                echo(f"{name}: {reach.warning}")

        def on_epoch(epoch: Epoch) -> None:
            run.log_epoch(epoch)
            progress.describe(
                f"{training[0]}, epoch {epoch.number}/{plan.num_epochs}, {format_epoch(epoch)}"
            )

        estimate = TimeEstimate(name, num_updates)

        def on_step() -> None:
            progress()
            estimate()

        network, history = train_networks(
            settings,
            build,
            rows["train"],
            rows["validation"] if len(rows["validation"]) else None,
            checkpoint=folder / CHECKPOINT,
            resume=resume,
            on_network=lambda number: progress.describe(training[number]),
            on_start=on_start,
            on_epoch=on_epoch,
            on_step=on_step,
        )
    if settings.augmentation.is_on:
        first = network.networks[0]
        augment = Augmenter.for_network(settings.augmentation, first, settings.seed)
        figure = augmentation_figure(rows["train"], augment)
        run.log_artifact("pictures/augmentation.png", to_png(figure))
    _echo_kept(name, history, plan.num_networks)
    if history.interrupted:
        echo(f"interrupted: the state is saved in {folder / CHECKPOINT}")
    return network, history


def _echo_plan(experiment: Experiment, train: Sequences) -> None:
    """Print what is about to be trained."""
    name, settings = experiment.run_name, experiment.training
    assert settings.distillation != "auto"
    plan = settings.plan(len(train))
    echo(f"{name}: {plan.sentence}; {_describe_network(experiment.model, train)}")
    if settings.distillation:
        echo(
            f"{percent(settings.distillation, 0)} of each training target is what a bag of words "
            "says (training.distillation)",
            once=True,
        )
    if lost := lost_steps(train):
        echo(f"{percent(lost)} of the training steps are not read ({experiment.model.cropping})")


def _echo_kept(name: str, history: History, num_networks: int) -> None:
    """Print which weights are kept, and how the training went."""
    last = history.epochs[history.best_epoch - 1] if history.epochs else None
    kept = "best" if history.kept_best else "last"
    kept = f"{'first network: ' if num_networks > 1 else ''}{kept}"
    echo(f"{name}: {kept} weights kept, epoch {history.best_epoch} of {len(history.epochs)}, "
        f"{format_epoch(last) if last else 'no epoch finished'}, {history.train_s:.1f} s, "
        f"layout {history.layout}, fill {history.fill:.2f}")  # fmt: skip


def _describe_network(model: Model, train: Sequences) -> str:
    """The stem and its reduction of steps, as text; of several inputs their names."""
    if (layout := train.store.layout) is not None:
        names = [*(part.name for part in layout.inputs), *(part.name for part in layout.columns)]
        return f"joins {shorten(names)}"
    if not isinstance(model.stem, Stem):
        return "no stem"
    median = int(np.median(train.lengths))
    after = (median - 1) // model.stem.reduction + 1
    steps = count_of(median, "step") + (f", reduced to {after}" if after != median else "")
    num_convolutions = len(model.stem.channels)
    layers = count_of(num_convolutions, "convolution")
    return f"stem of {layers}, median sequence of {steps}"


def format_epoch(epoch: Epoch) -> str:
    if epoch.validation is None:
        return f"training loss {epoch.train_loss:.3f}"
    return f"validation {format_scores(epoch.validation)}"
