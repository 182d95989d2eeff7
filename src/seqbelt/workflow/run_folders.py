"""Where the state of one training is kept: its folder, its MLflow run, the rows it reads."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from seqbelt.comparison.variants import variant_of
from seqbelt.data.cropped_sequences import crop_part
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.dataset import Data
from seqbelt.data.store.parts import write_json
from seqbelt.data.store.store import SequenceStore
from seqbelt.experiment import Experiment
from seqbelt.tracking.run import TrackedRun
from seqbelt.workflow.console import echo

CHECKPOINT = "checkpoint.safetensors"
RUN = "run.json"
OTHER_SECTIONS = ("comparison.", "tuning.", "report.")
"""Sections of settings that do not affect a single training."""


def read_part(experiment: Experiment, store: SequenceStore, name: str) -> Sequences:
    """The rows of a part, cropped to the steps that the model reads."""
    return crop_part(store.split(name), experiment.model.cropping, for_training=name == "train")


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
