"""Measure the diagnostics of a comparison's models on its test rows."""

from collections.abc import Sequence

import numpy as np
import torch

from seqbelt.comparison.diagnostics import Diagnostics, ModelDiagnostics
from seqbelt.comparison.memory import measure_memory
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.training.gradient_reach import GradientReach, draw_sample, measure_reach
from seqbelt.workflow.console import bar
from seqbelt.workflow.training_run import Trained, read_part


def measure_diagnostics(experiment: Experiment, trained: Sequence[Trained]) -> Diagnostics:
    """Measure every model of the comparison; nothing is trained.

    Empty where every step is labelled: a step has no beginning and end to cut.
    """
    if experiment.data.labels == "per_step":
        return Diagnostics({})
    found: dict[str, list[ModelDiagnostics]] = {cell: [] for cell in experiment.comparison.cells}
    with bar("measuring gradient reach and memory", len(trained)) as progress:
        for one in trained:
            found[one.cell].append(_measure(one))
            progress()
    return Diagnostics(found)


def _measure(one: Trained) -> ModelDiagnostics:
    network, test = one.bundle.network, one.test
    assert test is not None  # a comparison has a test part
    assert isinstance(network, SequenceNetwork)  # a run trains one network
    train = read_part(one.experiment, one.store, "train")
    _, curve = one.history.reaches[0]
    return ModelDiagnostics(
        before=GradientReach(np.array(curve)),
        trained=measure_reach(network, draw_sample(train, one.seed)),
        memory=measure_memory(network, test.sequences, torch.device("cpu")),
        half_lives=[
            (epoch, GradientReach(np.array(curve)).half_life)
            for epoch, curve in one.history.reaches
        ],
        clipped_by_epoch=np.array([epoch.clipped for epoch in one.history.epochs]),
        correct=test.correct,
        lengths=test.sequences.lengths,
    )
