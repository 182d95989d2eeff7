"""One trial of a search: a training that may be pruned; the test part is not used."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from seqbelt.comparison.variants import variant_of
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.training.checkpoint import has_checkpoint
from seqbelt.training.history import Epoch
from seqbelt.training.loop import Loop
from seqbelt.workflow.console import bar, echo
from seqbelt.workflow.networks import network_builder
from seqbelt.workflow.run_folders import CHECKPOINT, open_run, read_part

if TYPE_CHECKING:
    import optuna

RUN_ID = "run_id"
"""Trial attribute with the id of its MLflow run."""


class _Pruned(Exception):
    """The trial was pruned."""


def run_trial(
    study: "optuna.Study",
    trial: "optuna.Trial",
    experiment: Experiment,
    store: SequenceStore,
    folder: Path,
) -> None:
    """Train with a trial's settings, report every epoch, and record the result in the study.

    The training resumes from a checkpoint in ``folder``, which is removed at the end.
    Raises KeyboardInterrupt after Ctrl-C, with the state saved.
    """
    from optuna.trial import TrialState

    name = f"{variant_of(experiment.model)}-t{trial.number:03d}"
    tags = {"tuning.study": study.study_name, "tuning.trial": str(trial.number)}
    run = open_run(experiment, store, folder, resume=True, tags=tags, name=name)
    trial.set_user_attr(RUN_ID, run.run_id)
    monitor = experiment.training.monitor
    scores: list[float] = []
    best = min if monitor == "loss" else max

    def on_epoch(epoch: Epoch) -> None:
        run.log_epoch(epoch)
        assert epoch.validation is not None  # the search has checked that there are rows
        scores.append(getattr(epoch.validation, monitor))
        trial.report(best(scores), epoch.number)
        if trial.should_prune():
            raise _Pruned

    state, status, value = TrialState.COMPLETE, "FINISHED", None
    try:
        history = _fit(experiment, store, folder, name, run, on_epoch)
        if history.interrupted:
            study.tell(trial, state=TrialState.FAIL)
            run.finish("KILLED")
            raise KeyboardInterrupt
        # Including the epochs before a resume.
        scores = [getattr(epoch.validation, monitor) for epoch in history.epochs]
        value = scores[history.best_epoch - 1]  # of the kept weights
    except _Pruned:
        state = TrialState.PRUNED
    except SeqbeltError as error:  # the loss is not finite
        echo(f"{name}: {error}")
        state, status = TrialState.PRUNED, "FAILED"
    study.tell(trial, value, state)
    reached = value if value is not None else best(scores) if scores else None
    if reached is not None:
        run.log_metrics({"tuning/score": reached})
    run.log_tags({"tuning.state": state.name.lower()})
    run.finish(status)
    shutil.rmtree(folder)
    score_text = "no score" if reached is None else f"{monitor} {reached:.4f}"
    echo(f"{name}: {score_text}, {state.name.lower()}")


def _fit(experiment, store, folder, name, run, on_epoch):
    train, validation = (read_part(experiment, store, part) for part in ("train", "validation"))
    training = experiment.resolve(store.is_tokens, train).training
    with bar(f"trial {name}", training.plan(len(train)).num_updates) as progress:
        loop = Loop(
            training,
            network_builder(experiment, store, train, run),
            train,
            validation,
            checkpoint=folder / CHECKPOINT,
            on_epoch=on_epoch,
            on_step=progress,
        )
        _, history = loop.run(resume=has_checkpoint(folder / CHECKPOINT))
    return history
