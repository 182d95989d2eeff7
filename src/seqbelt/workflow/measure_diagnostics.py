"""The reasons beside a comparison's verdict, measured on its models and its test rows."""

from collections.abc import Sequence

import numpy as np
import torch

from seqbelt.comparison.diagnostics import ModelReasons, Reasons
from seqbelt.comparison.memory import measure_memory
from seqbelt.experiment import Experiment
from seqbelt.training.gradient_reach import GradientReach, draw_sample, measure_reach
from seqbelt.workflow.console import bar
from seqbelt.workflow.training_run import Trained, read_part


def find_reasons(experiment: Experiment, trained: Sequence[Trained]) -> Reasons:
    """Measure every model of the comparison; nothing is trained.

    Empty where every step is labelled: a step's answer has no beginning and end to take away.
    """
    if experiment.data.labels == "per_step":
        return Reasons({})
    found: dict[str, list[ModelReasons]] = {cell: [] for cell in experiment.comparison.cells}
    with bar("measuring what the models remember", len(trained)) as progress:
        for one in trained:
            found[one.cell].append(_measure(one))
            progress()
    return Reasons(found)


def _measure(one: Trained) -> ModelReasons:
    network, test = one.bundle.network, one.test
    assert test is not None  # a comparison has a test part
    train = read_part(one.experiment, one.store, "train")
    _, curve = one.history.reaches[0]
    return ModelReasons(
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
