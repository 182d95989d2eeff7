"""The other processes of a training that several share: they train, and the first one speaks."""

from typing import Any

from seqbelt.experiment import Experiment
from seqbelt.training.checkpoint import has_checkpoint
from seqbelt.training.loop import train_network
from seqbelt.workflow.networks import network_builder
from seqbelt.workflow.prepared_data import LONGEST_PREPARATION_S, prepare_data
from seqbelt.workflow.training_run import CHECKPOINT, read_part, run_folder


def follow(experiment: Experiment, resume: bool) -> dict[str, Any]:
    """Take part in a training as the first process of it runs it; log and save nothing."""
    store = prepare_data(experiment, wait_s=LONGEST_PREPARATION_S).store
    rows = {name: read_part(experiment, store, name) for name in ("train", "validation")}
    checkpoint = run_folder(experiment, store) / CHECKPOINT
    _, history = train_network(
        experiment.training,
        network_builder(experiment, store, rows["train"], None),
        rows["train"],
        rows["validation"] if len(rows["validation"]) else None,
        checkpoint=checkpoint,
        resume=resume and has_checkpoint(checkpoint),
    )
    return {"epochs": len(history.epochs), "interrupted": history.interrupted}
