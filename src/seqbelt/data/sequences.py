"""Rows of prepared data, on disk or in memory, for training, evaluation and figures."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqbelt.data.labels.targets import Target
from seqbelt.features.input_layout import InputLayout


class RowSource(Protocol):
    """Storage of rows: a ``SequenceStore`` on disk or an ``ArrayStore`` in memory."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels' indices."""
        ...

    @property
    def num_features(self) -> int:
        """Width of a step; for token ids, the size of the vocabulary."""
        ...

    @property
    def is_tokens(self) -> bool:
        """Whether the sequences are token ids."""
        ...

    @property
    def step_s(self) -> float | None:
        """Seconds between two steps; None if steps have no time."""
        ...

    @property
    def target(self) -> Target:
        """The kind of labels: one class per sequence, or one for every step."""
        ...

    @property
    def sections(self) -> tuple[tuple[str, int], ...]:
        """Kind and width of each section of the features; empty for one kind."""
        ...

    @property
    def layout(self) -> InputLayout | None:
        """Where the inputs of an item are in its sequence; None where an item has one input."""
        ...

    def sequence(self, row: int) -> np.ndarray:
        """Float32 ``(steps, features)`` or int32 ``(steps,)``."""
        ...

    def step_labels(self, row: int) -> np.ndarray:
        """Class index of each step of one sequence, ``(steps,)``."""
        ...

    def label_sets(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of some rows has each label, bool ``(rows, classes)``."""
        ...

    def column(self, name: str, rows: np.ndarray) -> list[str]:
        """``id``, ``group``, ``split`` or ``content_hash`` of some rows."""
        ...


@dataclass(frozen=True)
class Sequences:
    """Some rows of a store.

    ``lengths`` int64 ``(rows,)`` in steps, ``labels`` int64 ``(rows,)`` class indices; with labels
    for steps, the most frequent class of the steps, and with several labels the first, or -1.
    """

    store: RowSource
    rows: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        """One sequence, float32 ``(steps, features)`` or int32 ``(steps,)``, not copied."""
        return self.store.sequence(self.rows[index])

    def step_labels(self, index: int) -> np.ndarray:
        """Class index of each step of one sequence, ``(steps,)``; ``UNLABELLED`` where there is
        none. Only where the store has labels for steps."""
        return self.store.step_labels(self.rows[index])

    def label_sets(self) -> np.ndarray:
        """Whether each sequence has each label, bool ``(sequences, classes)``. Only where the
        store has several labels for a sequence."""
        return self.store.label_sets(self.rows)

    def take(self, indices: np.ndarray) -> "Sequences":
        """A selection of these sequences."""
        return Sequences(
            self.store, self.rows[indices], self.lengths[indices], self.labels[indices]
        )

    def column(self, name: str) -> list[str]:
        """``id``, ``group``, ``split`` or ``content_hash`` of each row."""
        return self.store.column(name, self.rows)

    def flat(self) -> np.ndarray:
        """All steps of all sequences, one after the other: ``(sum of lengths, features)``."""
        return np.concatenate([self[index] for index in range(len(self))])


MAX_ROWS_COMPARED = 200
MAX_INTERPOLATION_ERROR = 0.75
"""White noise has 1.5, a slow signal nearly 0."""


def is_interpolable(sequences: Sequences) -> bool:
    """Whether a step can be interpolated from its neighbours, so that sequences can be stretched.

    It cannot where the mean of the two neighbours misses a step by more than
    ``MAX_INTERPOLATION_ERROR`` of the variance, in the median over features: of vibration near its
    highest frequency, for example. Up to ``MAX_ROWS_COMPARED`` random sequences are compared.
    """
    rows = np.random.default_rng(0).permutation(len(sequences))[:MAX_ROWS_COMPARED]
    error, variance = 0.0, 0.0
    for row in rows.tolist():
        steps = sequences[row].astype(np.float64)
        if len(steps) > 2:
            middle = (steps[:-2] + steps[2:]) / 2
            error = error + np.square(steps[1:-1] - middle).mean(0)
            variance = variance + steps.var(0)
    if not np.any(variance):
        return True
    ratio = np.divide(error, variance, out=np.zeros_like(error), where=np.asarray(variance) > 0)
    return float(np.median(ratio)) <= MAX_INTERPOLATION_ERROR
