"""Train one model into one run and one bundle, or resume it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from seqbelt.comparison.variants import variant_of
from seqbelt.data.cropped_sequences import lost_steps
from seqbelt.data.labels.targets import DEFAULT_THRESHOLD
from seqbelt.data.sources.names import shorten
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.evaluation.report_markdown import report_markdown
from seqbelt.evaluation.several_report import MIN_ROWS, has_enough_rows
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.plots.fonts import hint, to_png
from seqbelt.plots.run_figures import learning_curves, report_figures
from seqbelt.tracking.run import TrackedRun, close_open_runs
from seqbelt.training.advice import Advice, TrainingOutcome, advice_markdown, advise
from seqbelt.training.checkpoint import has_checkpoint
from seqbelt.training.history import History
from seqbelt.workflow.console import echo
from seqbelt.workflow.network_training import fit_network
from seqbelt.workflow.run_folders import CHECKPOINT, open_run, read_part, run_folder
from seqbelt.workflow.trained_bundle import make_bundle, shortest_predicted_segment


@dataclass(frozen=True)
class Trained:
    """One finished training run."""

    experiment: Experiment
    store: SequenceStore
    run: TrackedRun
    folder: Path
    bundle: Bundle
    history: History
    validation: Report | None
    test: Report | None
    variant: str = ""
    """Name of the variant in a comparison; empty outside one."""

    @property
    def bundle_folder(self) -> Path:
        return self.folder / "bundle"

    @property
    def name(self) -> str:
        return self.experiment.run_name

    @property
    def cell(self) -> str:
        return self.variant or variant_of(self.experiment.model)

    @property
    def seed(self) -> int:
        return self.experiment.training.seed

    @cached_property
    def advice(self) -> list[Advice]:
        """Advice from its history and its validation predictions."""
        target = self.store.target
        train = read_part(self.experiment, self.store, "train")
        num_classes, validation = len(self.store.classes), self.validation
        none = np.zeros(num_classes, np.int64)
        num_validation = 0 if validation is None else len(validation.sequences)
        outcome = TrainingOutcome(
            classes=self.store.classes,
            train_counts=target.class_counts(train, num_classes),
            validation_counts=none if validation is None else validation.true_counts,
            predicted_counts=none if validation is None else validation.predicted_counts,
            scores=validation and validation.scores,
            unread=lost_steps(train),
            is_tokens=self.store.is_tokens,
            can_standardize="standardize" in type(self.experiment.features).model_fields,
            target=target,
            num_rows=(len(train), num_validation) if target.is_several else None,
        )
        return advise(self.history, outcome, self.experiment.training)


def train_model(
    experiment: Experiment,
    store: SequenceStore,
    *,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
    show_advice: bool = True,
) -> Trained:
    """Train one model on a prepared store and evaluate it; its run stays open.

    Without ``show_advice`` the advice is kept with the run and not printed.
    """
    rows = {name: read_part(experiment, store, name) for name in ("train", "validation", "test")}
    least = 1 if store.target.is_several else 2
    if not len(rows["train"]) or len(store.classes) < least:
        raise SettingsError(
            f"{store.folder}: {len(rows['train'])} training rows in {len(store.classes)} classes; "
            "training needs rows of at least two classes"
        )
    folder = run_folder(experiment, store)
    asked, experiment = experiment, experiment.resolve(store.is_tokens, rows["train"])
    is_augmented = not store.is_tokens and store.layout is None
    if (
        asked.training.augmentation == "auto"
        and is_augmented
        and not experiment.training.moves_in_time
    ):
        echo(
            "training.augmentation: without time_stretch and time_warp, since steps of this data "
            "cannot be interpolated from their neighbours",
            once=True,
        )
    run = open_run(experiment, store, folder, resume=resume, tags=tags or {})
    if (remark := hint("".join(store.classes))) is not None:
        echo(remark, once=True)
    if resume and not has_checkpoint(folder / CHECKPOINT):
        echo(f"{folder}: no checkpoint of these settings and data; training from the start")
        resume = False
    try:
        network, history = fit_network(experiment, store, rows, folder, resume, run)
    except BaseException as error:
        close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    # The test part is evaluated once, with the weights that validation chose.
    parts = ("validation",) if history.interrupted else ("validation", "test")
    parts = parts if history.epochs else ()
    min_steps = shortest_predicted_segment(experiment, store)
    reports = report_on(network, {part: rows[part] for part in parts}, min_steps)
    bundle = make_bundle(experiment, store, network.cpu(), reports, run.run_id, min_steps)
    if history.epochs:
        bundle.save(folder / "bundle")  # before anything that needs the tracking server
        log_reports(run, reports)
        run.log_history(history)
        run.log_metrics({"train/lost_steps": lost_steps(rows["train"])})
        curves = learning_curves({experiment.run_name: history})
        run.log_artifact("pictures/learning_curves.png", to_png(curves))
    validation, test = reports.get("validation"), reports.get("test")
    if store.target.is_several:
        _report_thresholds(experiment.run_name, store.classes, validation)
    trained = Trained(experiment, store, run, folder, bundle, history, validation, test)
    if not history.interrupted:
        if show_advice:
            for advice in trained.advice:
                echo(f"{trained.name}: {advice.sentence}")
        if trained.advice:
            run.log_text(_advice_section(trained), "advice.md")
        run.describe(_page(trained))
    return trained


def _report_thresholds(name: str, classes: Sequence[str], validation: Report | None) -> None:
    """Print which labels keep the threshold that no validation rows have chosen."""
    kept = [*classes]
    if validation is not None:
        is_chosen = has_enough_rows(validation.labels)
        kept = [label for label, is_one in zip(classes, is_chosen) if not is_one]
    if kept:
        echo(
            f"{name}: the threshold stays at {DEFAULT_THRESHOLD:g} for {shorten(kept)}: fewer than "
            f"{MIN_ROWS} validation rows with it, or without it"
        )


def log_reports(run: TrackedRun, reports: Mapping[str, Report]) -> None:
    """Log the scores and tables of each part's report, and the figures of the last part: drawing
    takes longer than all else here."""
    for part, report in reports.items():
        run.log_report(report, part)
    for part, report in list(reports.items())[-1:]:
        for name, figure in report_figures(report).items():
            run.log_artifact(f"pictures/{part}_{name}.png", to_png(figure))


def _advice_section(trained: Trained) -> str:
    return f"### Advice\n\n{advice_markdown(trained.advice)}\n"


def _page(trained: Trained) -> str:
    """The run's description: its scores, by class as well, and the advice."""
    parts = list[str]()
    if (report := trained.test or trained.validation) is not None:
        part = "validation" if trained.test is None else "test"
        parts.append(report_markdown(report, part))
    if trained.advice:
        parts.append(_advice_section(trained))
    return "\n\n".join(parts)
