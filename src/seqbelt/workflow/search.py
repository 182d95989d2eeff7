"""Searching the settings of one kind of model: trials on training rows, scored on validation rows.

Optuna proposes and remembers (SQLite), MLflow shows. A trial's proposal depends on the trials that
have ended and on nothing else, so that a search that was killed proposes the very trial again that
it was at, goes on with it from its checkpoint, and ends as it would have ended.
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
from seqbelt.workflow.training_run import read_part, run_folder
from seqbelt.workflow.trial import RUN_ID, run_trial
from seqbelt.workflow.workers import run_in_workers

if TYPE_CHECKING:
    import optuna

MISSING = "tuning needs Optuna: pip install 'seqbelt[tune]'"


@dataclass(frozen=True)
class SearchResult:
    """What a search has found."""

    trials: list["optuna.trial.FrozenTrial"]
    best: dict[str, Any]
    """The best trial's settings."""
    score: float
    """Its best validation score."""
    experiment: Experiment
    """What was searched from, with these settings."""
    given_score: float | None = None
    """Validation score of the settings as they were given, which are the first trial."""

    @property
    def num_pruned(self) -> int:
        """Trials that were given up early."""
        return sum(trial.value is None for trial in self.trials)


@dataclass(frozen=True)
class Search:
    """One search: ``experiment`` is what it starts from, ``fixed`` names model settings that make
    the variant what it is."""

    experiment: Experiment
    store: SequenceStore
    num_trials: int
    fixed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not len(self.store.split("validation")):
            raise SettingsError(
                "tuning: trials are scored on validation rows, and the data has none; set "
                "data.validation_fraction above 0"
            )

    @property
    def space(self):
        """What is searched, under dotted names."""
        return self.experiment.tuning.space(self.experiment.model, self.fixed)

    @property
    def folder(self) -> Path:
        """Where the searches of this experiment are kept."""
        return self.experiment.output / f"{self.experiment.name}-tuning"

    @property
    def name(self) -> str:
        """Another setting, space or data is another search; more trials go on with this one."""
        tuning, experiment = self.experiment.tuning, self.experiment
        about = [
            experiment.model.to_dict(), experiment.training.to_dict(), tuning.seed, tuning.pruning,
            tuning.to_dict()["model"], tuning.to_dict()["training"], sorted(self.space),
            self.store.fingerprint,
        ]  # fmt: skip
        digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=4).hexdigest()
        return f"{variant_of(experiment.model)}-{digest}"

    @property
    def database(self) -> Path:
        return self.folder / f"{self.name}.db"

    def run(self, num_workers: int = 1) -> "optuna.Study":
        """Make the trials that are still missing; returns the search with all of them.

        Raises SeqbeltError where another process is at work on the same search.
        """
        study = self.open()
        with self._locked():
            _fail_interrupted_trials(study)
            done = len(_counted(study))
            if done:
                echo(f"{self.database}: {done} of {self.num_trials} trials are there")
            if num_workers == 1 or self.num_trials - done < 2:
                self.work()
            else:
                plain = self.experiment.to_dict()
                parts = plain, self.store.folder, self.num_trials, self.fixed
                for _ in run_in_workers(_run_worker, [parts] * num_workers, num_workers):
                    pass
        shutil.rmtree(self.folder / self.name, ignore_errors=True)  # of trials that were killed
        return self.open()

    def work(self, is_only_worker: bool = True) -> None:
        """Ask, train, tell, until there are enough trials or the time is over: what each worker
        does."""
        study = self.open()
        limit = self.experiment.tuning.max_minutes
        end = math.inf if limit is None else time.monotonic() + 60 * limit
        while time.monotonic() < end and (trial := self._ask(study)) is not None:
            proposed = self._with(trial.params)
            # Beside others the same settings may be tried twice at a time.
            suffix = "" if is_only_worker else f"-{trial.number}"
            folder = self.folder / self.name / f"{run_folder(proposed, self.store).name}{suffix}"
            run_trial(study, trial, self._renamed(proposed), self.store, folder)

    def open(self) -> "optuna.Study":
        """The search as it is kept, made if need be."""
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
        """What the first ``num_trials`` trials gave: a longer search has no say in a shorter one.

        Raises SeqbeltError where none of them was trained to its end.
        """
        trials = sorted(_counted(study), key=lambda trial: trial.number)[: self.num_trials]
        whole = [trial for trial in trials if trial.value is not None]
        if not whole:
            raise SeqbeltError(
                f"{self.database}: none of {len(trials)} trials could be trained to its end; lower "
                "the learning rates in tuning.training"
            )
        sign = 1 if study.direction.name == "MINIMIZE" else -1
        best = min(whole, key=lambda trial: sign * (trial.value or 0.0))
        first = trials[0]
        return SearchResult(
            trials,
            best.params,
            best.value or 0.0,
            self._with(best.params),
            first.value if self._is_given(first.params) else None,
        )

    def _is_given(self, params: dict[str, Any]) -> bool:
        """Whether a trial is of the settings as they are given."""
        return params == given(self.space, self.experiment.model, self.experiment.training)

    def _ask(self, study: "optuna.Study") -> "optuna.Trial | None":
        """The next trial, or None where there are enough."""
        optuna = _import_optuna()
        with FileLock(f"{self.database}.lock"), _quiet():
            done = len(_counted(study))
            if done >= self.num_trials:
                return None
            study.sampler = optuna.samplers.TPESampler(seed=self.experiment.tuning.seed + done)
            waiting = optuna.trial.TrialState.WAITING
            if not done and not study.get_trials(deepcopy=False, states=(waiting,)):
                # What the config says is tried first.
                own = given(self.space, self.experiment.model, self.experiment.training)
                study.enqueue_trial(own)
            trial = study.ask()
            suggest(self.space, trial)
            return trial

    def _with(self, values: dict[str, Any]) -> Experiment:
        experiment = self.experiment
        model, training = with_values(experiment.model, experiment.training, values)
        return experiment.replace(model=model, training=training)

    def _renamed(self, experiment: Experiment) -> Experiment:
        """Trials are runs of an experiment of their own: they would hide a comparison's."""
        return experiment.replace(name=self.folder.name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """No other command on this search; a killed one gives its lock back."""
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
    """Trials that were not cut off."""
    state = _import_optuna().trial.TrialState
    wanted = (state.COMPLETE, state.PRUNED, state.RUNNING)
    return study.get_trials(deepcopy=False, states=wanted)


def _fail_interrupted_trials(study: "optuna.Study") -> None:
    """A trial whose process was killed still says that it runs, here and on the server."""
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
    """Optuna warns that parts of it are new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
