"""Measure the diagnostics of a comparison's models on its test rows."""

from collections.abc import Sequence

import numpy as np
import torch

from seqbelt.comparison.diagnostics import Diagnostics, ModelDiagnostics
from seqbelt.comparison.memory import measure_memory
from seqbelt.experiment import Experiment
from seqbelt.training.gradient_reach import GradientReach, draw_sample, measure_reach
from seqbelt.workflow.console import bar
from seqbelt.workflow.run_folders import read_part
from seqbelt.workflow.training_run import Trained


def measure_diagnostics(experiment: Experiment, trained: Sequence[Trained]) -> Diagnostics:
    """Measure every model of the comparison; nothing is trained.

    Empty with labels for steps, where there is no beginning and end to cut, and with several
    inputs, which would have to be cut apart.
    """
    if experiment.data.labels_steps or trained[0].store.layout is not None:
        return Diagnostics({})
    measured: dict[str, list[ModelDiagnostics]] = {cell: [] for cell in experiment.comparison.cells}
    with bar("measuring gradient reach and memory", len(trained)) as progress:
        for model in trained:
            measured[model.cell].append(_measure(model))
            progress()
    return Diagnostics(measured)


def _measure(trained: Trained) -> ModelDiagnostics:
    network, test = trained.bundle.network, trained.test
    assert test is not None  # a comparison has a test part
    train = read_part(trained.experiment, trained.store, "train")
    _, curve = trained.history.reaches[0]
    return ModelDiagnostics(
        before=GradientReach(np.array(curve)),
        trained=measure_reach(network.networks[0], draw_sample(train, trained.seed)),
        memory=measure_memory(network, test.sequences, torch.device("cpu")),
        half_lives=[
            (epoch, GradientReach(np.array(curve)).half_life)
            for epoch, curve in trained.history.reaches
        ],
        clipped_by_epoch=np.array([epoch.clipped for epoch in trained.history.epochs]),
        correct=test.correct,
        lengths=test.sequences.lengths,
        has_learned=test.is_above_chance,
    )
