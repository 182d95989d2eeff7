"""``seqbelt train``: one model, one MLflow run, one registered version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqbelt.data.parts import write_json
from seqbelt.data.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.evaluation.report import Report
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.stages.prepare import prepare_data
from seqbelt.stages.progress import bar, say
from seqbelt.tracking.publish import log_model
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.loop import Epoch, History
from seqbelt.training.scoring import predict_logits


@dataclass(frozen=True)
class Trained:
    """One finished training run."""

    run: TrackedRun
    folder: Path
    bundle: Bundle
    history: History
    validation: Report | None
    test: Report | None

    @property
    def bundle_folder(self) -> Path:
        return self.folder / "bundle"


def train(experiment: Experiment, resume: bool = False) -> dict[str, Any]:
    """The stage: prepare if need be, train, evaluate once, register."""
    store = prepare_data(experiment).store
    trained = train_model(experiment, store, resume=resume)
    model_uri = None
    if not trained.history.interrupted:
        model_uri = register(experiment, store, trained)
    trained.run.finish("KILLED" if trained.history.interrupted else "FINISHED")
    return {
        "run_id": trained.run.run_id,
        "model_uri": model_uri,
        "bundle": str(trained.bundle_folder),
        "cell": experiment.model.cell,
        "seed": experiment.training.seed,
        "epochs": len(trained.history.epochs),
        "num_parameters": trained.bundle.network.num_parameters,
        "train_s": round(trained.history.train_s, 3),
        "validation": trained.validation and trained.validation.scores.plain(),
        "test": trained.test and trained.test.scores.plain(),
        "interrupted": trained.history.interrupted,
    }


def train_model(
    experiment: Experiment,
    store: SequenceStore,
    *,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Trained:
    """Train one model on a prepared store and evaluate it; its run is left open."""
    rows = {name: store.split(name) for name in ("train", "validation", "test")}
    if not len(rows["train"]) or len(store.classes) < 2:
        raise SettingsError(
            f"{store.folder}: {len(rows['train'])} training rows in {len(store.classes)} classes; "
            "training needs some rows of two classes at least"
        )
    folder = experiment.output / experiment.name / _folder_name(experiment, store)
    run = _open_run(experiment, store, folder, resume, tags or {})
    try:
        network, history = _fit(experiment, store, rows, folder, resume, run)
    except BaseException:
        run.finish("FAILED")
        raise
    reports = {}
    for part in ("validation", "test"):
        # The test part is looked at once, with the weights that validation chose.
        if len(rows[part]) and not (part == "test" and history.interrupted):
            device = next(network.parameters()).device
            reports[part] = Report(rows[part], predict_logits(network, rows[part], device))
            run.log_report(reports[part], part)
    run.log_history(history, experiment.run_name)
    bundle = Bundle(
        name=experiment.name,
        features=experiment.features,
        learned=store.learned,
        model=experiment.model,
        classes=store.classes,
        num_features=store.num_features,
        network=network.cpu(),
        about={
            "data_fingerprint": store.fingerprint,
            "run_id": run.run_id,
            "scores": {part: report.scores.plain() for part, report in reports.items()},
            "step_s": store.about["step_s"],
        },
    )
    bundle.save(folder / "bundle")
    return Trained(run, folder, bundle, history, reports.get("validation"), reports.get("test"))


def register(experiment: Experiment, store: SequenceStore, trained: Trained) -> str:
    """Log and register the model of a run; returns its ``models:/`` URI."""
    tags = {"model.cell": experiment.model.cell, "data.fingerprint": store.fingerprint}
    if trained.validation is not None:
        scores = trained.validation.scores.plain()
        tags |= {f"validation.{name}": repr(value) for name, value in scores.items()}
    return log_model(trained.run, trained.bundle_folder, experiment.name, tags)


def _fit(experiment, store, rows, folder, resume, run):
    total = experiment.training.num_epochs
    name = experiment.run_name
    steps = -(-len(rows["train"]) // experiment.training.batch_size)
    with bar(f"training {name}", total * steps) as progress:

        def on_epoch(epoch: Epoch) -> None:
            run.log_epoch(epoch)
            progress.say(f"training {name}, epoch {epoch.number}/{total}, {_describe(epoch)}")

        network, history = experiment.training.fit(
            lambda: experiment.model.build(
                store.num_features, len(store.classes), store.is_tokens
            ),
            rows["train"],
            rows["validation"] if len(rows["validation"]) else None,
            checkpoint=folder / "checkpoint.safetensors",
            resume=resume,
            on_epoch=on_epoch,
            on_step=progress,
        )
    last = history.epochs[history.best_epoch - 1] if history.epochs else None
    say(f"{name}: best epoch {history.best_epoch} of {len(history.epochs)}, "
        f"{_describe(last) if last else 'no epoch finished'}, {history.train_s:.1f} s, "
        f"layout {history.layout}, fill {history.fill:.2f}")  # fmt: skip
    if history.interrupted:
        say("interrupted: the state is saved; the same command with --resume goes on")
    return network, history


def _describe(epoch: Epoch) -> str:
    if epoch.validation is None:
        return f"training loss {epoch.train_loss:.3f}"
    return f"validation {100 * epoch.validation.accuracy:.1f} %, loss {epoch.validation.loss:.3f}"


def _open_run(
    experiment: Experiment,
    store: SequenceStore,
    folder: Path,
    resume: bool,
    tags: Mapping[str, str],
) -> TrackedRun:
    """A new run, or the one that was interrupted."""
    record = folder / "run.json"
    if resume and record.exists():
        return TrackedRun.resume(json.loads(record.read_text("utf-8"))["run_id"])
    run = TrackedRun.start(experiment.name, experiment.run_name, tags)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, {"run_id": run.run_id, "settings": experiment.plain()})
    run.log_settings(experiment.flat())
    run.log_cell(experiment.model.cell)
    run.log_data(store, experiment.data.source)
    return run


def _folder_name(experiment: Experiment, store: SequenceStore) -> str:
    """One folder for one set of settings and data: another setting is another model."""
    settings = {"model": experiment.model.plain(), "training": experiment.training.plain()}
    text = json.dumps([settings, store.fingerprint], sort_keys=True)
    return f"{experiment.run_name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
