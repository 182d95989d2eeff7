"""Cropping: of a sequence longer than a model reads, which steps it is given.

The rule is the model's (``model.max_steps`` and ``model.crop``), so a saved model carries it and
training, evaluation and prediction read the same steps. A random stretch is for training alone:
an answer must not depend on chance, so everywhere else it is the head.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from seqbelt.data.store import Sequences

Crop = Literal["head", "tail", "random"]


def crop_steps(sequence: np.ndarray, max_steps: int | None, crop: Crop) -> np.ndarray:
    """The steps of one sequence ``(steps, …)`` that are read for an answer; not copied."""
    if max_steps is None or len(sequence) <= max_steps:
        return sequence
    return sequence[-max_steps:] if crop == "tail" else sequence[:max_steps]


@dataclass(frozen=True)
class CroppedSequences(Sequences):
    """Sequences of which a stretch is read: ``lengths`` steps from ``starts`` on."""

    starts: np.ndarray
    full_lengths: np.ndarray
    crop: Crop

    def __getitem__(self, index: int) -> np.ndarray:
        start = self.starts[index]
        return super().__getitem__(index)[start : start + self.lengths[index]]

    def take(self, indices: np.ndarray) -> "CroppedSequences":
        """A selection of these sequences, each cropped as it was."""
        names = ("rows", "lengths", "labels", "starts", "full_lengths")
        return replace(self, **{name: getattr(self, name)[indices] for name in names})


def crop_sequences(sequences: Sequences, max_steps: int | None, crop: Crop) -> Sequences:
    """The sequences as they are read for an answer; unchanged where none is longer."""
    full = sequences.lengths
    if max_steps is None or not len(full) or full.max() <= max_steps:
        return sequences
    lengths = np.minimum(full, max_steps)
    starts = full - lengths if crop == "tail" else np.zeros_like(full)
    return CroppedSequences(
        sequences.store, sequences.rows, lengths, sequences.labels, starts, full, crop
    )


def draw_crops(sequences: Sequences, seed: int, epoch: int) -> Sequences:
    """The sequences as they are read in one epoch of training: random crops are drawn anew.

    They depend on seed and epoch alone, so that every model trained under one seed reads the
    same steps, and an interrupted training goes on with the ones it would have read.
    """
    if not isinstance(sequences, CroppedSequences) or sequences.crop != "random":
        return sequences
    random = np.random.default_rng((seed, epoch))
    return replace(
        sequences, starts=random.integers(sequences.full_lengths - sequences.lengths + 1)
    )


def lost_steps(sequences: Sequences) -> float:
    """Share of the sequences' steps, 0..1, that cropping leaves unread in one pass."""
    if not isinstance(sequences, CroppedSequences):
        return 0.0
    return float(1 - sequences.lengths.sum() / sequences.full_lengths.sum())
