"""What a comparison has done so far, on disk: killed at any moment, the same command goes on.

The journal stands beside the models while a comparison is under way and is removed at its end, so
that a comparison that is asked for anew is made anew. A model that is finished is read back, one
that was cut off goes on from its checkpoint; both give the very result of an undisturbed run.
"""

import hashlib
import json
import uuid
from dataclasses import asdict
from pathlib import Path

import torch

from seqbelt.data.parts import write_json
from seqbelt.data.store import SequenceStore
from seqbelt.evaluation.step_report import make_report
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.stages.progress import say
from seqbelt.stages.train import CHECKPOINT, RUN, Trained, read_part, run_folder, train_model
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.history import History
from seqbelt.training.scoring import predict_logits

FINISHED = "finished.json"


class CompareJournal:
    """One comparison's identity, and which of its models were begun."""

    def __init__(self, experiment: Experiment) -> None:
        text = json.dumps(experiment.plain(), sort_keys=True, default=str)
        name = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        self.path = experiment.output / experiment.name / f"compare-{name}.json"
        found = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
        self.compare_id: str = found.get("compare_id", uuid.uuid4().hex[:8])
        self._begun: list[str] = found.get("begun", [])
        if self._begun:
            say(f"{self.path}: going on with a comparison that was cut off")

    def train(self, experiment: Experiment, store: SequenceStore, tags: dict[str, str]) -> Trained:
        """Train one model of this comparison, or go on with it, or read it back."""
        folder = run_folder(experiment, store)
        known = str(folder) in self._begun
        finished = folder / FINISHED
        if known and finished.exists():
            say(f"{experiment.run_name}: finished before, read back from {folder}")
            return _read_back(experiment, store, folder)
        if not known:
            for name in (FINISHED, CHECKPOINT, RUN):  # of an earlier comparison
                (folder / name).unlink(missing_ok=True)
            self._begun.append(str(folder))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"compare_id": self.compare_id, "begun": self._begun})
        trained = train_model(experiment, store, resume=known, tags=tags)
        if trained.history.interrupted:
            trained.run.finish("KILLED")
            raise KeyboardInterrupt
        trained.run.finish()
        write_json(finished, {"run_id": trained.run.run_id, "history": asdict(trained.history)})
        return trained

    def close(self) -> None:
        """The comparison is made: the next one begins anew."""
        self.path.unlink(missing_ok=True)


def _read_back(experiment: Experiment, store: SequenceStore, folder: Path) -> Trained:
    """A finished model; its answers are computed again, for they are not kept."""
    about = json.loads((folder / FINISHED).read_text("utf-8"))
    bundle = Bundle.load(folder / "bundle")
    device = torch.device(about["history"]["device"])
    network = bundle.network.to(device)
    reports = []
    for part in ("validation", "test"):
        rows = read_part(experiment, store, part)
        answers = predict_logits(network, rows, device) if len(rows) else None
        reports.append(None if answers is None else make_report(rows, answers))
    network.cpu()
    run = TrackedRun.attach(about["run_id"])
    history = History.from_plain(about["history"])
    return Trained(experiment, store, run, folder, bundle, history, reports[0], reports[1])
