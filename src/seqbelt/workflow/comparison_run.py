"""The journal of a comparison, from which an interrupted comparison resumes.

The journal is a file beside the models, removed when the comparison is complete. Finished models
are loaded, interrupted ones resume from their checkpoints; the result is that of an uninterrupted
comparison.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seqbelt.data.store.parts import write_json
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.history import History
from seqbelt.workflow.console import bar, echo
from seqbelt.workflow.training_run import (
    CHECKPOINT,
    RUN,
    Trained,
    read_part,
    run_folder,
    train_model,
)
from seqbelt.workflow.workers import run_in_workers

FINISHED = "finished.json"


@dataclass(frozen=True)
class Job:
    """A model to train and the variant it belongs to."""

    variant: str
    experiment: Experiment


class CompareJournal:
    """The id of a comparison and the models that it has started."""

    def __init__(self, experiment: Experiment) -> None:
        # The number of workers does not change the result.
        identity = experiment.replace(comparison=experiment.comparison.replace(num_workers=1))
        values = identity.to_dict()
        values["comparison"].pop(
            "ensemble"
        )  # it changes the registered model, not the trained ones
        text = json.dumps(values, sort_keys=True, default=str)
        name = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        self.path = experiment.output / experiment.name / f"compare-{name}.json"
        stored = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
        self.compare_id: str = stored.get("compare_id", uuid.uuid4().hex[:8])
        self._begun: list[str] = stored.get("begun", [])
        if self._begun:
            echo(f"{self.path}: resuming the interrupted comparison")

    def train(
        self, jobs: Sequence[Job], store: SequenceStore, tags: dict[str, str], num_workers: int
    ) -> list[Trained]:
        """Train, resume or load the models of one fold; returns them in order."""
        folders = [run_folder(job.experiment, store) for job in jobs]
        resumed = [self.begin(folder) and (folder / RUN).exists() for folder in folders]
        trained: dict[int, Trained] = {}
        # Two variants with the same settings are one model, trained once.
        missing = {f: n for n, f in enumerate(folders) if not (f / FINISHED).exists()}.values()
        if num_workers > 1 and len(missing) > 1:
            self._train_in_parallel(
                [(jobs[n].experiment.to_dict(), store.folder, tags, resumed[n]) for n in missing],
                num_workers,
            )
        else:
            for number in missing:
                experiment = jobs[number].experiment
                trained[number] = train_one(experiment, store, tags, resumed[number])
        for number, job in enumerate(jobs):
            if number not in trained:
                folder, name = folders[number], job.experiment.run_name
                trained[number] = _load_finished(job.experiment, store, folder)
                if number not in missing:
                    echo(f"{name}: already finished, loaded from {folder}")
        return [replace(trained[n], variant=job.variant) for n, job in enumerate(jobs)]

    def _train_in_parallel(self, work: Sequence[tuple], num_workers: int) -> None:
        with bar(f"training models, {num_workers} at a time", len(work)) as progress:
            for _ in run_in_workers(_train_in_worker, work, num_workers):
                progress()

    def begin(self, folder: Path) -> bool:
        """Record a model as started; returns whether it was recorded before."""
        if str(folder) in self._begun:
            return True
        for name in (FINISHED, CHECKPOINT, RUN):  # of an earlier comparison
            (folder / name).unlink(missing_ok=True)
        self._begun.append(str(folder))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"compare_id": self.compare_id, "begun": self._begun})
        return False

    def close(self) -> None:
        """Remove the journal of a complete comparison."""
        self.path.unlink(missing_ok=True)


def train_one(
    experiment: Experiment, store: SequenceStore, tags: dict[str, str], resume: bool
) -> Trained:
    """Train one model and record it as finished. Raises KeyboardInterrupt if interrupted."""
    trained = train_model(experiment, store, resume=resume, tags=tags)
    if trained.history.interrupted:
        trained.run.finish("KILLED")
        raise KeyboardInterrupt
    trained.run.finish()
    about = {"run_id": trained.run.run_id, "history": asdict(trained.history)}
    write_json(trained.folder / FINISHED, about)
    return trained


def _train_in_worker(
    settings: dict[str, Any], store_folder: Path, tags: dict[str, str], resume: bool
) -> None:
    train_one(Experiment.parse(settings), SequenceStore(store_folder), tags, resume)


def _load_finished(experiment: Experiment, store: SequenceStore, folder: Path) -> Trained:
    """Load a finished model; its predictions are not stored and are computed again."""
    about = json.loads((folder / FINISHED).read_text("utf-8"))
    bundle = Bundle.load(folder / "bundle")
    device = torch.device(about["history"]["device"])
    network = bundle.network.to(device)
    parts = {name: read_part(experiment, store, name) for name in ("validation", "test")}
    reports = report_on(network, parts)
    network.cpu()
    run = TrackedRun.attach(about["run_id"])
    history = History.from_dict(about["history"])
    validation, test = reports.get("validation"), reports.get("test")
    return Trained(experiment, store, run, folder, bundle, history, validation, test)
