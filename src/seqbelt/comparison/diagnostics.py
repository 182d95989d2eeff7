"""Why cells differ: what their gradients reached in training, what their answers make use of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqbelt.comparison.memory import PASTS, Memory, accuracy_by_length
from seqbelt.comparison.variants import label
from seqbelt.training.gradient_reach import GradientReach


@dataclass(frozen=True)
class ModelReasons:
    """What was measured on one model of a cell."""

    before: GradientReach
    """Before training."""
    trained: GradientReach
    memory: Memory
    half_lives: Sequence[tuple[int, int]]
    """After some epochs, 0 before the first: the gradient's half-life in steps."""
    clipped_by_epoch: np.ndarray
    """Share of an epoch's updates whose gradient was clipped."""
    correct: np.ndarray
    """Whether each test answer is right, bool ``(sequences,)``."""
    lengths: np.ndarray
    """Steps of the test sequences."""


@dataclass(frozen=True)
class Reasons:
    """The measurements of all models of each cell."""

    models: Mapping[str, Sequence[ModelReasons]]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """For each cell the medians over its models; steps count from the sequence's end."""
        return {cell: _summary(of) for cell, of in self.models.items()}

    def markdown(self) -> str:
        """Two tables: what each cell could learn from and makes use of; accuracy by length."""
        lines = [
            "### Why",
            "",
            "| cell | gradient's half-life, steps: before, trained | reach: before, trained "
            "| updates clipped | last steps that are enough, the past cut, shuffled, replaced "
            "| share heard that is enough |",
            "|---|---|---|---|---|---|",
        ]
        for cell, found in self.to_dict().items():
            half_life, reach = found["gradient_half_life_steps"], found["gradient_reach_steps"]
            steps = ", ".join(f"{count:.0f}" for count in found["memory_steps"].values())
            lines.append(
                f"| {label(cell)} | {half_life['before']:.0f}, {half_life['trained']:.0f} "
                f"| {reach['before']:.0f}, {reach['trained']:.0f} of {found['median_steps']} "
                f"| {found['clipped']:.0%} | {steps} "
                f"| {found['earliest_share']:.0%} |"
            )
        return "\n".join([*lines, "", *self._by_length()])

    def _by_length(self) -> list[str]:
        tables = {
            cell: accuracy_by_length(
                np.concatenate([one.correct for one in of]),
                np.concatenate([one.lengths for one in of]),
            )
            for cell, of in self.models.items()
        }
        buckets = next(iter(tables.values()))
        if len(buckets) < 2:
            return ["All test sequences are of one length."]
        spans = [f"{low}" if low == high else f"{low} to {high}" for low, high, *_ in buckets]
        lines = [f"| steps | {' | '.join(spans)} |", "|---" * (len(buckets) + 1) + "|"]
        for cell, table in tables.items():
            shares = " | ".join(f"{100 * accuracy:.1f} %" for *_, accuracy in table)
            lines.append(f"| {label(cell)} | {shares} |")
        return lines


def _summary(of: Sequence[ModelReasons]) -> dict[str, Any]:
    def median(values: list[float]) -> float:
        return float(np.median(values))

    def both(name: str) -> dict[str, float]:
        return {
            when: median([getattr(getattr(one, when), name) for one in of])
            for when in ("before", "trained")
        }

    return {
        "gradient_half_life_steps": both("half_life"),
        "gradient_reach_steps": both("steps"),
        "median_steps": len(of[0].trained.curve),
        "clipped": median([float(one.clipped_by_epoch.mean()) for one in of]),
        "memory_steps": {how: median([one.memory.lengths[how] for one in of]) for how in PASTS},
        "earliest_share": median([one.memory.earliest_share for one in of]),
    }
