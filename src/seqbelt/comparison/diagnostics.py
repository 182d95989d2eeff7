"""Diagnostics of why cells differ: gradient reach in training, steps needed at prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqbelt.comparison.memory import EARLIER_STEPS, Memory, accuracy_by_length
from seqbelt.comparison.variants import label
from seqbelt.markdown import markdown_table
from seqbelt.texts import Text, join, text
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.words import percent


@dataclass(frozen=True)
class ModelDiagnostics:
    """Diagnostics of one trained model."""

    before: GradientReach
    """Before training."""
    trained: GradientReach
    memory: Memory
    half_lives: Sequence[tuple[int, int]]
    """Pairs of epoch (0: untrained) and half-life of the gradient in steps."""
    clipped_by_epoch: np.ndarray
    """Fraction of updates with a clipped gradient, ``(epochs,)``."""
    correct: np.ndarray
    """Whether each test prediction is correct, bool ``(sequences,)``."""
    lengths: np.ndarray
    """Steps of the test sequences."""
    has_learned: bool
    """Whether the test accuracy is above chance. Without that no number of steps is enough for
    anything."""


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of all models of each cell."""

    models: Mapping[str, Sequence[ModelDiagnostics]]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Medians over the models of each cell; steps count from the sequence's end. The steps
        needed are those of models that have learned, None where none has."""
        return {cell: _summary(of) for cell, of in self.models.items()}

    def markdown(self) -> Text:
        """Two tables: gradient reach and steps needed of each cell; accuracy by length."""
        header = [
            text(f"{name}_column")
            for name in ("cell", "half_life", "reach", "clipped", "needed", "first_fraction")
        ]
        rows = []
        for cell, summary in self.to_dict().items():
            half_life, reach = summary["gradient_half_life_steps"], summary["gradient_reach_steps"]
            counts = summary["memory_steps"].values()
            steps = share = text("none_at_chance")
            if summary["earliest_share"] is not None:
                steps = ", ".join(f"{count:.0f}" for count in counts)
                share = percent(summary["earliest_share"], 0)
            rows.append(
                (
                    label(cell),
                    f"{half_life['before']:.0f}, {half_life['trained']:.0f}",
                    text(
                        "reach_of",
                        before=f"{reach['before']:.0f}",
                        trained=f"{reach['trained']:.0f}",
                        steps=summary["median_steps"],
                    ),
                    percent(summary["clipped"], 0),
                    steps,
                    share,
                )
            )
        table = markdown_table(header, rows)
        return join([text("why_heading"), table, self._by_length()], "\n\n")

    def _by_length(self) -> Text:
        tables = {
            cell: accuracy_by_length(
                np.concatenate([model.correct for model in of]),
                np.concatenate([model.lengths for model in of]),
            )
            for cell, of in self.models.items()
        }
        buckets = next(iter(tables.values()))
        if len(buckets) < 2:
            return text("one_length")
        spans = [
            str(low) if low == high else text("from_to", low=low, high=high)
            for low, high, *_ in buckets
        ]
        rows = [
            [label(cell), *(percent(accuracy) for *_, accuracy in table)]
            for cell, table in tables.items()
        ]
        return markdown_table([text("steps_column"), *spans], rows)


def _summary(models: Sequence[ModelDiagnostics]) -> dict[str, Any]:
    learned = [model for model in models if model.has_learned]

    def median(values: list[float]) -> float:
        return float(np.median(values))

    def both(name: str) -> dict[str, float]:
        return {
            when: median([getattr(getattr(model, when), name) for model in models])
            for when in ("before", "trained")
        }

    return {
        "gradient_half_life_steps": both("half_life"),
        "gradient_reach_steps": both("steps"),
        "median_steps": len(models[0].trained.curve),
        "clipped": median([float(model.clipped_by_epoch.mean()) for model in models]),
        "memory_steps": {
            how: median([model.memory.lengths[how] for model in learned]) if learned else None
            for how in EARLIER_STEPS
        },
        "earliest_share": median([model.memory.sufficient_prefix for model in learned])
        if learned
        else None,
    }
