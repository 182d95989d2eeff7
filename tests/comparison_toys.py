"""Predictions and diagnostics of models that nobody trained."""

import numpy as np

from seqbelt.comparison.diagnostics import ModelDiagnostics
from seqbelt.comparison.memory import EARLIER_STEPS, PREFIX_FRACTIONS, Memory
from seqbelt.training.gradient_reach import GradientReach


def rights(share: float, count: int = 1000, seed: int = 0) -> np.ndarray:
    """Whether each of ``count`` answers is right, in random order."""
    return np.random.default_rng(seed).permutation(np.arange(count) < share * count)


def model(fade: float, enough: int, lengths=(5, 9), correct=(True, False)) -> ModelDiagnostics:
    """A model whose gradient fades by a factor a step and that needs so many last steps."""
    reach = GradientReach(fade ** np.arange(40))
    steps = np.array([1, 2, 4, 8, 16, 40])
    memory = Memory(
        last_steps=steps,
        accuracy_by_suffix={how: np.where(steps >= enough, 0.9, 0.5) for how in EARLIER_STEPS},
        accuracy_by_prefix=np.linspace(0.1, 0.9, len(PREFIX_FRACTIONS)),
        num_sequences=2,
    )
    return ModelDiagnostics(
        before=GradientReach(np.ones(40)),
        trained=reach,
        memory=memory,
        half_lives=[(0, 40), (1, reach.half_life)],
        clipped_by_epoch=np.array([0.5, 0.0]),
        correct=np.array(correct),
        lengths=np.array(lengths),
        has_learned=True,
    )
