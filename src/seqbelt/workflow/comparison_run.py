"""The journal of a comparison, from which an interrupted comparison resumes.

The journal is a file beside the models, one for all seed lists of a comparison. Finished models are
loaded, interrupted ones resume from their checkpoints; the result is that of an uninterrupted
comparison. With more seeds than before, the finished models are loaded and the looks at the
comparison counted; with the same seeds a complete comparison is repeated, which is no further look.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from seqbelt.comparison.looks import Looks
from seqbelt.data.store.parts import write_json
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.step_report import report_on
from seqbelt.experiment import Experiment
from seqbelt.inference.bundle import Bundle
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.checkpoint import remove_checkpoint
from seqbelt.training.history import History
from seqbelt.workflow.console import ModelCount, bar, echo
from seqbelt.workflow.run_folders import CHECKPOINT, RUN, read_part, run_folder
from seqbelt.workflow.training_run import Trained, train_model
from seqbelt.workflow.workers import run_in_workers

FINISHED = "finished.json"


@dataclass(frozen=True)
class Job:
    """A model to train and the variant it belongs to."""

    variant: str
    experiment: Experiment


class PastLook(TypedDict):
    """A complete comparison, as the journal keeps it."""

    seeds: list[int]
    metric: str
    fingerprint: str
    """Of the data."""


_NEWER = {"ensemble", "metric", "max_seeds"}
"""Settings of a comparison that an earlier version did not know, or left out of the name."""
_NEW_OF_DATA = (
    "background", "corrections", "label_map", "order", "label_separator", "label_columns",
    "unlabeled",
)  # fmt: skip
"""Settings of the data that an earlier version did not know; left out of the name where unset."""
_NOT_TRAINED = _NEWER | {"seeds", "margin", "confidence", "controls"}
"""Settings that change which models are trained, or what is reported of them, but no model."""


def _digest(experiment: Experiment, without: set[str]) -> str:
    # How many models are trained at a time changes nothing that is asked for.
    asked = experiment.replace(comparison=experiment.comparison.replace(num_workers=1))
    values = {**asked.to_dict(), "training": experiment.training_identity()}
    for name in without:
        values["comparison"].pop(name)
    for name in _NEW_OF_DATA:
        default = type(asked.data).model_fields[name].get_default(call_default_factory=True)
        if getattr(asked.data, name) == default:
            del values["data"][name]
    del values["report"]  # changes no model
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


class CompareJournal:
    """The id of a comparison and the models that it has started."""

    def __init__(self, experiment: Experiment) -> None:
        self._comparison = experiment.comparison
        self._fingerprint = ""
        folder = experiment.output / experiment.name
        self.path = folder / f"compare-{_digest(experiment, _NOT_TRAINED)}.json"
        self._old_path = folder / f"compare-{_digest(experiment, _NEWER)}.json"
        """Name of the journal in earlier versions."""
        content = {}
        for path in (self._old_path, self.path):
            content |= json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._begun: list[str] = content.get("begun", [])
        self._looks: list[PastLook] = content.get("looks", [])
        self._kept: list[str] = content.get("kept", [])
        """Folders of the models that were trained for an earlier look."""
        seen = self._seen
        is_longer = not self._looks or seen < set(self._comparison.seeds)
        if not is_longer and not self._begun:
            self._kept = []
        self.compare_id: str = content.get("compare_id", "")
        if not self.compare_id or not (self._begun or self._kept):
            self.compare_id = uuid.uuid4().hex[:8]
        if self._begun:
            echo(f"{self.path}: resuming the interrupted comparison")
        elif self._kept:
            echo(
                f"{self.path}: extending the comparison of {len(seen)} seeds "
                f"({len(self._kept)} models); {self.looks.words}"
            )

    @property
    def _seen(self) -> set[int]:
        """All seeds of the looks so far at this metric."""
        return {seed for look in self._looks_at_metric for seed in look["seeds"]}

    @property
    def _looks_at_metric(self) -> list[PastLook]:
        return [look for look in self._looks if look["metric"] == self._comparison.metric]

    @property
    def looks(self) -> Looks:
        """This look and those before it. The same seeds once more are the same look."""
        seeds = set(self._comparison.seeds)
        before = list[set[int]]()
        for look in self._looks_at_metric:
            if set(look["seeds"]) == seeds:
                break
            before.append(set(look["seeds"]))
        counts = list[int]()
        all_seeds = set[int]()
        for earlier in before:
            all_seeds |= earlier
            counts.append(len(all_seeds))
        is_grown = all(earlier <= after for earlier, after in zip(before, [*before[1:], seeds]))
        return Looks(
            len(seeds) if is_grown else len(all_seeds | seeds),
            tuple(counts),
            self._comparison.max_seeds,
            is_grown,
        )

    def check_data(self, fingerprint: str) -> None:
        """Discard the looks at other data."""
        if any(look["fingerprint"] != fingerprint for look in self._looks):
            echo(f"{self.path}: the data changed; looks are counted from the start")
            self._looks, self._kept = [], []
        self._fingerprint = fingerprint

    def train(
        self,
        jobs: Sequence[Job],
        store: SequenceStore,
        tags: dict[str, str],
        num_workers: int,
        count: ModelCount,
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
            for number, job in enumerate(jobs):
                if number in missing:
                    count.begin(job.experiment.run_name)
                    trained[number] = train_one(job.experiment, store, tags, resumed[number])
                else:
                    count.skip()
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
        if is_kept := str(folder) in self._kept:
            is_kept = (folder / FINISHED).exists()
        if not is_kept:
            for name in (FINISHED, RUN):  # of an earlier comparison
                (folder / name).unlink(missing_ok=True)
            remove_checkpoint(folder / CHECKPOINT)
        self._begun.append(str(folder))
        self._write()
        return is_kept

    def close(self) -> None:
        """Record the look of the complete comparison, and keep its models for more seeds."""
        look: PastLook = {
            "seeds": list(self._comparison.seeds),
            "metric": self._comparison.metric,
            "fingerprint": self._fingerprint,
        }
        if look not in self._looks:
            self._looks.append(look)
        self._kept = list(dict.fromkeys([*self._kept, *self._begun]))
        self._begun = []
        self._write()
        if self._old_path != self.path:
            self._old_path.unlink(missing_ok=True)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "compare_id": self.compare_id,
            "begun": self._begun,
            "kept": self._kept,
            "looks": self._looks,
        }
        write_json(self.path, state)


def train_one(
    experiment: Experiment, store: SequenceStore, tags: dict[str, str], resume: bool
) -> Trained:
    """Train one model and record it as finished. Raises KeyboardInterrupt if interrupted."""
    trained = train_model(experiment, store, resume=resume, tags=tags, show_advice=False)
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
    reports = report_on(network, parts, bundle.about.get("shortest_segment", 1))
    network.cpu()
    run = TrackedRun.attach(about["run_id"])
    history = History.from_dict(about["history"])
    validation, test = reports.get("validation"), reports.get("test")
    return Trained(experiment, store, run, folder, bundle, history, validation, test)
