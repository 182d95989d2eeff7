"""Sequences from arrays in memory, for training and scoring without files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.data.sequences import Sequences
from seqbelt.features.input_layout import InputLayout


@dataclass(frozen=True)
class ArrayStore:
    """Arrays, each float32 ``(steps, features)``, with the interface of a store."""

    arrays: Sequence[np.ndarray]
    classes: tuple[str, ...] = ()
    is_tokens: bool = False
    step_s: float | None = None
    target: Target = TARGETS["per_sequence"]
    """One class each, ordered or not."""

    sections: tuple[tuple[str, int], ...] = ()
    layout: InputLayout | None = None

    @property
    def num_features(self) -> int:
        """Width of a step."""
        return self.arrays[0].shape[1]

    def sequence(self, row: int) -> np.ndarray:
        """Float32 ``(steps, features)``."""
        return self.arrays[row]

    def step_labels(self, row: int) -> np.ndarray:
        """Raises ValueError: arrays have one class each."""
        raise ValueError("sequences in memory have no label for each step")

    def label_sets(self, rows: np.ndarray) -> np.ndarray:
        """Raises ValueError: arrays have one class each."""
        raise ValueError("sequences in memory have one class each")

    def column(self, name: str, rows: np.ndarray) -> list[str]:
        """The rows' numbers as ``id``; arrays have no group, split or hash."""
        return [str(row) if name == "id" else "" for row in rows.tolist()]


def in_memory(
    arrays: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: tuple[str, ...] = (),
    target: Target = TARGETS["per_sequence"],
) -> Sequences:
    """``arrays`` float32 ``(steps, features)`` each, ``labels`` int64 ``(sequences,)``."""
    lengths = np.fromiter((len(array) for array in arrays), np.int64, len(arrays))
    return Sequences(
        ArrayStore(arrays, classes, target=target), np.arange(len(arrays)), lengths, labels
    )
