"""Ranks > 0 of a distributed training: they train, but write no files and no runs."""

from seqbelt.experiment import Experiment
from seqbelt.training.checkpoint import has_checkpoint
from seqbelt.training.several_networks import train_networks
from seqbelt.workflow.networks import network_builder
from seqbelt.workflow.outcome import DONE, FAILED, Outcome
from seqbelt.workflow.prepared_data import LONGEST_PREPARATION_S, prepare_data
from seqbelt.workflow.run_folders import CHECKPOINT, read_part, run_folder


def train_as_worker(experiment: Experiment, resume: bool) -> Outcome:
    """Train on this rank's part of every batch; rank 0 logs, saves and registers.

    The exit code is FAILED if the training was interrupted.
    """
    store = prepare_data(experiment, wait_s=LONGEST_PREPARATION_S).store
    rows = {name: read_part(experiment, store, name) for name in ("train", "validation")}
    checkpoint = run_folder(experiment, store) / CHECKPOINT
    _, history = train_networks(
        experiment.training,
        network_builder(experiment, store, rows["train"], None),
        rows["train"],
        rows["validation"] if len(rows["validation"]) else None,
        checkpoint=checkpoint,
        resume=resume and has_checkpoint(checkpoint),
    )
    result = {"epochs": len(history.epochs), "interrupted": history.interrupted}
    return Outcome(result, FAILED if history.interrupted else DONE)
