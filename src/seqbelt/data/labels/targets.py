"""Targets: one class for each sequence, or one for every step.

Training, scores and statistics count *examples*: sequences, or labelled steps.
"""

from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

TargetName = Literal["per_sequence", "per_step"]

UNLABELLED = -100
"""Class index of a step without a label; the default ``ignore_index`` of torch's losses."""


class Labelled(Protocol):
    """Sequences with their labels, as ``Sequences`` has them."""

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def labels(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def step_labels(self, index: int) -> np.ndarray: ...


class Target(Protocol):
    """The labels of sequences as training and scoring need them."""

    name: TargetName

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> Tensor:
        """Class indices int64 of the sequences of a batch."""
        ...

    def labels(self, sequences: Labelled) -> np.ndarray:
        """Class index of each example, ``(examples,)``, sequence after sequence."""
        ...

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        """Index of each example's sequence, ``(examples,)``, ascending."""
        ...


class SequenceTarget:
    """One class per sequence; an example is a sequence."""

    name: TargetName = "per_sequence"

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(sequences.labels[indices])

    def labels(self, sequences: Labelled) -> np.ndarray:
        return sequences.labels

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        return np.arange(len(sequences))


class StepTarget:
    """A class for every step; an example is a labelled step."""

    name: TargetName = "per_step"

    def of_batch(self, sequences: Labelled, indices: np.ndarray) -> Tensor:
        """``(batch, steps)``; ``UNLABELLED`` in the padding too."""
        labels = np.full((len(indices), sequences.lengths[indices].max()), UNLABELLED, np.int64)
        for row, index in zip(labels, indices, strict=True):
            row[: sequences.lengths[index]] = sequences.step_labels(index)
        return torch.from_numpy(labels)

    def labels(self, sequences: Labelled) -> np.ndarray:
        return np.concatenate([of[of != UNLABELLED] for of in _each(sequences)] or [_NONE])

    def sequence_index(self, sequences: Labelled) -> np.ndarray:
        counts = [np.count_nonzero(of != UNLABELLED) for of in _each(sequences)]
        return np.repeat(np.arange(len(sequences)), counts)


_NONE = np.empty(0, np.int64)


def _each(sequences: Labelled) -> list[np.ndarray]:
    return [sequences.step_labels(index) for index in range(len(sequences))]


TARGETS: dict[str, Target] = {one.name: one for one in (SequenceTarget(), StepTarget())}
