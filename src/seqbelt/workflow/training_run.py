"""Train one model into one run and one bundle, or resume it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from seqbelt.comparison.variants import variant_of
from seqbelt.data.cropped_sequences import crop_part, lost_steps
from seqbelt.data.labels.targets import DEFAULT_THRESHOLD
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.names import shorten
from seqbelt.data.store.part_summary import data_record
from seqbelt.data.store.parts import write_json
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import Report, format_scores
from seqbelt.evaluation.report_markdown import report_markdown
from seqbelt.evaluation.several_report import MIN_ROWS, has_enough_rows
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle, weights_of
from seqbelt.inference.decision import choose_separator
from seqbelt.inference.reference import Reference, reference_of
from seqbelt.inference.segment_smoothing import shortest_segment
from seqbelt.models.ensemble import Network
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem
from seqbelt.plots.fonts import hint, to_png
from seqbelt.plots.run_figures import augmentation_figure, learning_curves, report_figures
from seqbelt.tracking.run import TrackedRun, close_open_runs
from seqbelt.training.advice import Advice, TrainingOutcome, advice_markdown, advise
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.checkpoint import has_checkpoint
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History
from seqbelt.training.several_networks import train_networks
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import TimeEstimate, bar, echo
from seqbelt.workflow.networks import network_builder

CHECKPOINT = "checkpoint.safetensors"
RUN = "run.json"
OTHER_SECTIONS = ("comparison.", "tuning.", "report.")
"""Sections of settings that do not affect a single training."""


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
        network, history = _fit(experiment, store, rows, folder, resume, run)
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


def make_bundle(
    experiment: Experiment,
    store: SequenceStore,
    network: Network,
    reports: Mapping[str, Report],
    run_id: str,
    min_steps: int,
) -> Bundle:
    """The bundle of a trained network on the CPU, with the temperature of its ``reports`` and, if
    it labels steps, ``min_steps`` of its shortest segment."""
    separator = None
    if store.target.is_several:
        separator = experiment.data.label_separator or choose_separator(store.classes)
    lengths = store.split("train").lengths
    return Bundle(
        name=experiment.name,
        features=experiment.features,
        learned=store.learned,
        model=experiment.model,
        classes=store.classes,
        num_features=store.num_features,
        weights=weights_of(network),
        about={
            "data_fingerprint": store.fingerprint,
            "data": data_record(store, experiment.data.source),
            "run_id": run_id,
            "scores": {part: report.to_dict() for part, report in reports.items()},
            **_above_chance(reports),
            "step_s": store.about["step_s"],
            "class_counts": _class_counts(store),
            "median_num_steps": int(np.median(lengths)),
            "max_num_steps": int(lengths.max()),
            **({"shortest_segment": min_steps} if network.labels_steps else {}),
            **({"label_separator": separator} if separator else {}),
            **({"reading": reading} if (reading := experiment.data.reading) else {}),
        },
        temperature=next(iter(reports.values())).temperature if reports else 1.0,
        confidences=_confidences(reports.get("validation")),
        reference=_reference(experiment, store, reports.get("validation")),
        target=store.target,
        thresholds=_thresholds(reports),
        layout=network.networks[0].layout,
    )


def _thresholds(reports: Mapping[str, Report]) -> tuple[float, ...]:
    """Of the labels; empty where a sequence has one class, or the thresholds are not chosen."""
    thresholds = next((report.thresholds for report in reports.values()), None)
    return () if thresholds is None else tuple(thresholds.tolist())


def _above_chance(reports: Mapping[str, Report]) -> dict[str, bool]:
    """Whether the model has learned anything, by its test rows or else its validation rows."""
    measured = reports.get("test") or reports.get("validation")
    return {} if measured is None else {"above_chance": measured.is_above_chance}


def _class_counts(store: SequenceStore) -> dict[str, int]:
    """Training rows (labelled steps where steps are labelled) of each class."""
    counts = store.target.class_counts(store.split("train"), len(store.classes))
    return dict(zip(store.classes, counts.tolist(), strict=True))


def _reference(
    experiment: Experiment, store: SequenceStore, validation: Report | None
) -> Reference:
    """What the training rows look like; without confidences where steps are labelled."""
    has_confidences = validation is not None and validation.units is None
    confidences = validation.confidences if validation and has_confidences else np.zeros(0)
    train, rest = store.split("train"), store.split("validation")
    return reference_of(experiment.features, store.learned, train, rest, confidences)


def shortest_predicted_segment(experiment: Experiment, store: SequenceStore) -> int:
    """The shortest segment, in steps, that a model of labels for steps predicts."""
    if not experiment.data.labels_steps:
        return 1
    return shortest_segment(store.split("train"))


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


def _confidences(report: Report | None) -> tuple[float, ...]:
    """Quantiles of the validation confidences at 0, 1, ..., 100 per cent."""
    if report is None or report.units is not None:  # the steps of a recording are not independent
        return ()
    return tuple(np.quantile(report.confidences, np.linspace(0, 1, 101)).tolist())


def read_part(experiment: Experiment, store: SequenceStore, name: str) -> Sequences:
    """The rows of a part, cropped to the steps that the model reads."""
    return crop_part(store.split(name), experiment.model.cropping, for_training=name == "train")


def _fit(experiment, store, rows, folder, resume, run):
    plan = experiment.training.plan(len(rows["train"]))
    name = experiment.run_name
    echo(f"{name}: {plan.sentence}; {_describe_network(experiment.model, rows['train'])}")
    if fraction := experiment.training.distillation:
        echo(
            f"{percent(fraction, 0)} of each training target is what a bag of words says "
            "(training.distillation)",
            once=True,
        )
    _report_lost_steps(lost_steps(rows["train"]), experiment)
    build = network_builder(experiment, store, rows["train"], run)
    num_updates = plan.num_networks * plan.num_updates
    with bar(f"training {name}", num_updates) as progress:

        def on_start(reach: GradientReach) -> None:
            # With labels for steps the relevant steps are near: the reach may be short.
            if reach.warning and not experiment.data.labels_steps:
                echo(f"{name}: {reach.warning}")

        def on_epoch(epoch: Epoch) -> None:
            run.log_epoch(epoch)
            progress.describe(
                f"training {name}, epoch {epoch.number}/{plan.num_epochs}, {format_epoch(epoch)}"
            )

        estimate = TimeEstimate(name, num_updates)

        def on_step() -> None:
            progress()
            estimate()

        network, history = train_networks(
            experiment.training,
            build,
            rows["train"],
            rows["validation"] if len(rows["validation"]) else None,
            checkpoint=folder / CHECKPOINT,
            resume=resume,
            on_start=on_start,
            on_epoch=on_epoch,
            on_step=on_step,
        )
    if experiment.training.augmentation.is_on:
        augment = Augmenter.for_network(
            experiment.training.augmentation, network.networks[0], experiment.training.seed
        )
        figure = augmentation_figure(rows["train"], augment)
        run.log_artifact("pictures/augmentation.png", to_png(figure))
    last = history.epochs[history.best_epoch - 1] if history.epochs else None
    kept = "best" if history.kept_best else "last"
    kept = f"{'first network: ' if plan.num_networks > 1 else ''}{kept}"
    echo(f"{name}: {kept} weights kept, epoch {history.best_epoch} of {len(history.epochs)}, "
        f"{format_epoch(last) if last else 'no epoch finished'}, {history.train_s:.1f} s, "
        f"layout {history.layout}, fill {history.fill:.2f}")  # fmt: skip
    if history.interrupted:
        echo(f"interrupted: the state is saved in {folder / CHECKPOINT}")
    return network, history


def _report_lost_steps(lost: float, experiment: Experiment) -> None:
    if lost:
        echo(f"{percent(lost)} of the training steps are not read ({experiment.model.cropping})")


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


def open_run(
    experiment: Experiment,
    store: SequenceStore,
    folder: Path,
    *,
    resume: bool,
    tags: Mapping[str, str],
    name: str | None = None,
) -> TrackedRun:
    """A new run, or the interrupted one; ``name`` is by default the experiment's run name."""
    record = folder / RUN
    if resume and record.exists():
        run_id = json.loads(record.read_text("utf-8"))["run_id"]
        if (resumed := TrackedRun.resume(run_id)) is not None:
            return resumed
        echo(f"run {run_id} was deleted; a new run continues from the saved state")
    tags = {**tags, **split_tags(experiment.data)}
    run = TrackedRun.start(experiment.name, name or _name_with_fold(experiment, store), tags)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, {"run_id": run.run_id, "settings": experiment.to_dict()})
    # The choices of a comparison or search are already in the model and training sections.
    settings = {k: v for k, v in experiment.flat().items() if not k.startswith(OTHER_SECTIONS)}
    run.log_settings(settings)
    run.log_cell(variant_of(experiment.model))
    run.log_data(store, experiment.data.source)
    return run


def _name_with_fold(experiment: Experiment, store: SequenceStore) -> str:
    """The run name, with the fold and, where it is one, its held-out group: ``lstm-h128-s0, fold 2
    (theo)``."""
    fold = experiment.data.fold
    if experiment.data.folds is None:
        return experiment.run_name
    if fold is None:
        return f"{experiment.run_name}, all folds"
    groups = set(store.split("test").column("group")) - set(store.split("train").column("group"))
    held_out = f" ({groups.pop()})" if len(groups) == 1 else ""
    return f"{experiment.run_name}, fold {fold}{held_out}"


def split_tags(data: Data) -> dict[str, str]:
    """Tags of runs that do not use the official split of a known set."""
    return {"data.split": "forced"} if data.splits_by_force else {}


def run_folder(experiment: Experiment, store: SequenceStore) -> Path:
    """The folder of a model, determined by its settings and data."""
    training = experiment.training_identity(len(store.split("train")))
    settings = {"model": experiment.model.to_dict(), "training": training}
    text = json.dumps([settings, store.fingerprint], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return experiment.output / experiment.name / f"{experiment.run_name}-{digest}"
