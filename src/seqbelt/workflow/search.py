"""Hyperparameter search: trials are trained on training rows and scored on validation rows.

Optuna suggests settings and stores the trials (SQLite), MLflow shows them. A suggestion depends
only on the trials that have ended, so a resumed search suggests the interrupted trial again,
resumes it from its checkpoint, and has the result of an uninterrupted search.
"""

import contextlib
import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from seqbelt.comparison.variants import variant_of
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.tracking.run import TrackedRun
from seqbelt.training.tuning import given, suggest, with_values
from seqbelt.workflow.console import echo
from seqbelt.workflow.run_folders import read_part, run_folder
from seqbelt.workflow.trial import RUN_ID, run_trial
from seqbelt.workflow.workers import run_in_workers

if TYPE_CHECKING:
    import optuna

MISSING = "tuning needs Optuna: pip install 'seqbelt[tune]'"


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search and its best settings."""

    trials: list["optuna.trial.FrozenTrial"]
    best: dict[str, Any]
    """The best trial's settings."""
    score: float
    """Its best validation score."""
    experiment: Experiment
    """The experiment with the best settings."""
    given_score: float | None = None
    """Validation score of the config's settings, which are the first trial."""

    @property
    def num_pruned(self) -> int:
        """Number of pruned trials."""
        return sum(trial.value is None for trial in self.trials)


@dataclass(frozen=True)
class Search:
    """A search that starts from ``experiment``; the model settings named in ``fixed`` define the
    variant and are not searched."""

    experiment: Experiment
    store: SequenceStore
    num_trials: int
    fixed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not len(self.store.split("validation")):
            raise SettingsError(
                "tuning: trials are scored on validation rows, but the data has none; set "
                "data.validation_fraction above 0"
            )

    @property
    def space(self):
        """The search space by dotted names."""
        return self.experiment.tuning.space(self.experiment.model, self.fixed)

    @property
    def folder(self) -> Path:
        """Folder of the searches of this experiment."""
        return self.experiment.output / f"{self.experiment.name}-tuning"

    @property
    def name(self) -> str:
        """Identifies settings, space and data; more trials continue the same search."""
        tuning, experiment = self.experiment.tuning, self.experiment
        about = [
            experiment.model.to_dict(), experiment.training_identity(), tuning.seed, tuning.pruning,
            tuning.to_dict()["model"], tuning.to_dict()["training"], sorted(self.space),
            self.store.fingerprint,
        ]  # fmt: skip
        digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=4).hexdigest()
        return f"{variant_of(experiment.model)}-{digest}"

    @property
    def database(self) -> Path:
        return self.folder / f"{self.name}.db"

    def run(self, num_workers: int = 1) -> "optuna.Study":
        """Run the remaining trials; returns the study with all of them.

        Raises SeqbeltError if another process is running the same search.
        """
        study = self.open()
        with self._locked():
            _fail_interrupted_trials(study)
            done = len(_counted(study))
            if done:
                echo(f"{self.database}: {done} of {self.num_trials} trials are already done")
            if num_workers == 1 or self.num_trials - done < 2:
                self.work()
            else:
                plain = self.experiment.to_dict()
                parts = plain, self.store.folder, self.num_trials, self.fixed
                for _ in run_in_workers(_run_worker, [parts] * num_workers, num_workers):
                    pass
        shutil.rmtree(self.folder / self.name, ignore_errors=True)  # left by interrupted trials
        return self.open()

    def work(self, is_only_worker: bool = True) -> None:
        """Run trials until there are enough or the time is over; called by each worker."""
        study = self.open()
        limit = self.experiment.tuning.max_minutes
        end = math.inf if limit is None else time.monotonic() + 60 * limit
        while time.monotonic() < end and (trial := self._ask(study)) is not None:
            proposed = self._with(trial.params)
            # Workers may try the same settings at the same time.
            suffix = "" if is_only_worker else f"-{trial.number}"
            folder = self.folder / self.name / f"{run_folder(proposed, self.store).name}{suffix}"
            run_trial(study, trial, self._renamed(proposed), self.store, folder)

    def open(self) -> "optuna.Study":
        """The Optuna study, created if necessary."""
        optuna = _import_optuna()
        self.folder.mkdir(parents=True, exist_ok=True)
        train = read_part(self.experiment, self.store, "train")
        training = self.experiment.resolve(self.store.is_tokens, train).training
        num_epochs = training.plan(len(train)).num_epochs
        tuning = self.experiment.tuning
        with FileLock(f"{self.database}.lock"), _quiet():
            return optuna.create_study(
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{self.database.resolve()}",
                    engine_kwargs={"connect_args": {"timeout": 60}},
                ),
                study_name=self.name,
                load_if_exists=True,
                direction="minimize" if training.monitor == "loss" else "maximize",
                pruner=optuna.pruners.MedianPruner(n_warmup_steps=-(-num_epochs // 3))
                if tuning.pruning
                else optuna.pruners.NopPruner(),
            )

    def result(self, study: "optuna.Study") -> "SearchResult":
        """The result of the first ``num_trials`` trials, ignoring those of a longer search.

        Raises SeqbeltError if none of them was completed.
        """
        trials = sorted(_counted(study), key=lambda trial: trial.number)[: self.num_trials]
        completed = [trial for trial in trials if trial.value is not None]
        if not completed:
            raise SeqbeltError(
                f"{self.database}: none of {len(trials)} trials was completed; lower the "
                "learning rates in tuning.training"
            )
        sign = 1 if study.direction.name == "MINIMIZE" else -1
        best = min(completed, key=lambda trial: sign * (trial.value or 0.0))
        first = trials[0]
        return SearchResult(
            trials,
            best.params,
            best.value or 0.0,
            self._with(best.params),
            first.value if self._is_given(first.params) else None,
        )

    def _is_given(self, params: dict[str, Any]) -> bool:
        """Whether a trial has the config's settings."""
        return params == given(self.space, self.experiment.model, self.experiment.training)

    def _ask(self, study: "optuna.Study") -> "optuna.Trial | None":
        """The next trial, or None if there are enough."""
        optuna = _import_optuna()
        with FileLock(f"{self.database}.lock"), _quiet():
            done = len(_counted(study))
            if done >= self.num_trials:
                return None
            study.sampler = optuna.samplers.TPESampler(seed=self.experiment.tuning.seed + done)
            waiting = optuna.trial.TrialState.WAITING
            if not done and not study.get_trials(deepcopy=False, states=(waiting,)):
                # The config's settings are tried first.
                first = given(self.space, self.experiment.model, self.experiment.training)
                study.enqueue_trial(first)
            trial = study.ask()
            suggest(self.space, trial)
            return trial

    def _with(self, values: dict[str, Any]) -> Experiment:
        experiment = self.experiment
        model, training = with_values(experiment.model, experiment.training, values)
        return experiment.replace(model=model, training=training)

    def _renamed(self, experiment: Experiment) -> Experiment:
        """Put trials in a separate experiment, apart from the runs of a comparison."""
        return experiment.replace(name=self.folder.name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the search; the system releases the lock of a killed process."""
        try:
            with FileLock(f"{self.database}.search.lock", timeout=0):
                yield
        except Timeout:
            raise SeqbeltError(
                f"{self.database}: another process is running this search; wait, or raise "
                "tuning.num_workers in that process"
            ) from None


def _run_worker(
    settings: dict[str, Any], store_folder: Path, num_trials: int, fixed: frozenset[str]
) -> None:
    search = Search(Experiment.parse(settings), SequenceStore(store_folder), num_trials, fixed)
    search.work(is_only_worker=False)


def _counted(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials that were not interrupted."""
    state = _import_optuna().trial.TrialState
    states = (state.COMPLETE, state.PRUNED, state.RUNNING)
    return study.get_trials(deepcopy=False, states=states)


def _fail_interrupted_trials(study: "optuna.Study") -> None:
    """Mark trials of killed processes, which are still RUNNING, as failed."""
    state = _import_optuna().trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        study.tell(trial.number, state=state.FAIL)
        if RUN_ID in trial.user_attrs:
            TrackedRun.attach(trial.user_attrs[RUN_ID]).finish("KILLED")


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SettingsError(MISSING) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's warnings about experimental features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
