"""Cropping: of a sequence longer than a model reads, which steps it is given.

The rule is the model's (``model.max_steps`` and ``model.crop``), so a saved model carries it and
training, evaluation and prediction read the same steps. ``random`` and ``windows`` train on
another random stretch in every epoch. An answer must not depend on chance: ``random`` answers from
the head, ``windows`` from as many evenly spread stretches as cover the sequence, by mean
probability.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import log_softmax, logsumexp

from seqbelt.data.sequences import Sequences

Crop = Literal["head", "tail", "random", "windows"]


def crop_steps(sequence: np.ndarray, max_steps: int | None, crop: Crop) -> list[np.ndarray]:
    """The stretches of one sequence ``(steps, …)`` that an answer is read from; not copied."""
    length = len(sequence)
    if max_steps is None or length <= max_steps:
        return [sequence]
    return [sequence[start : start + max_steps] for start in _starts(length, max_steps, crop)]


def average_window_probabilities(logits: np.ndarray, sequence_index: np.ndarray) -> np.ndarray:
    """Logits ``(sequences, classes)`` from those of windows ``(windows, classes)``.

    ``sequence_index`` ``(windows,)``, ascending from 0: which sequence each window belongs to. A
    sequence with several windows gets the log of the mean of their probabilities, one with a
    single window keeps its logits.
    """
    firsts = np.flatnonzero(np.diff(sequence_index, prepend=-1))
    pooled = logits[firsts]
    counts = np.diff(np.append(firsts, len(sequence_index)))
    for index in np.flatnonzero(counts > 1):
        windows = logits[firsts[index] :][: counts[index]].astype(np.float64)
        pooled[index] = logsumexp(log_softmax(windows, axis=1), axis=0) - np.log(counts[index])
    return pooled


def share_read(num_steps: int, max_steps: int | None, crop: Crop) -> float:
    """The share, 0..1, of a sequence's steps that its answer is read from."""
    if max_steps is None or crop == "windows" or num_steps <= max_steps:
        return 1.0
    return max_steps / num_steps


def _starts(length: int, max_steps: int, crop: Crop) -> np.ndarray:
    """Where the stretches begin that an answer is read from, for a longer sequence."""
    last = length - max_steps
    if crop == "windows":
        return np.linspace(0, last, -(-length // max_steps)).round().astype(np.int64)
    return np.array([last if crop == "tail" else 0])


@dataclass(frozen=True)
class CroppedSequences(Sequences):
    """Sequences of which a stretch is read: ``lengths`` steps from ``starts`` on."""

    starts: np.ndarray
    full_lengths: np.ndarray
    crop: Crop

    def __getitem__(self, index: int) -> np.ndarray:
        start = self.starts[index]
        return super().__getitem__(index)[start : start + self.lengths[index]]

    def step_labels(self, index: int) -> np.ndarray:
        start = self.starts[index]
        return super().step_labels(index)[start : start + self.lengths[index]]

    def take(self, indices: np.ndarray) -> "CroppedSequences":
        """A selection of these sequences, each cropped as it was."""
        names = ("rows", "lengths", "labels", "starts", "full_lengths")
        return replace(self, **{name: getattr(self, name)[indices] for name in names})


def crop_sequences(sequences: Sequences, max_steps: int | None, crop: Crop) -> Sequences:
    """The sequences as they are read; unchanged where none is longer.

    Of ``windows`` this is the first: ``cut_windows`` gives all, ``draw_crops`` one by chance.
    """
    full = sequences.lengths
    if max_steps is None or not len(full) or full.max() <= max_steps:
        return sequences
    lengths = np.minimum(full, max_steps)
    starts = full - lengths if crop == "tail" else np.zeros_like(full)
    return CroppedSequences(
        sequences.store, sequences.rows, lengths, sequences.labels, starts, full, crop
    )


def crop_part(
    sequences: Sequences, max_steps: int | None, crop: Crop, for_training: bool
) -> Sequences:
    """The sequences as a model reads them. Where steps are labelled, every step is: training reads
    as many stretches as cover a recording, and answers are read from the whole."""
    if sequences.store.target.name == "per_sequence":
        return crop_sequences(sequences, max_steps, crop)
    if not for_training:
        return sequences
    if crop in ("head", "tail"):
        return crop_sequences(sequences, max_steps, crop)
    return cut_windows(crop_sequences(sequences, max_steps, "windows"))[0]


def uncropped(sequences: Sequences) -> tuple[Sequences, np.ndarray]:
    """The sequences with all their steps, and the step that each is read from."""
    if not isinstance(sequences, CroppedSequences):
        return sequences, np.zeros(len(sequences), np.int64)
    store, rows, labels = sequences.store, sequences.rows, sequences.labels
    return Sequences(store, rows, sequences.full_lengths, labels), sequences.starts


def read_stretch(sequences: Sequences, starts: np.ndarray, lengths: np.ndarray) -> Sequences:
    """A stretch of each sequence, counted from what is read of it: ``starts`` and ``lengths``
    ``(sequences,)`` in steps."""
    first = sequences.starts if isinstance(sequences, CroppedSequences) else 0
    return CroppedSequences(
        sequences.store, sequences.rows, lengths, sequences.labels, first + starts,
        first + starts + lengths, "head",
    )  # fmt: skip


def draw_crops(sequences: Sequences, seed: int, epoch: int) -> Sequences:
    """The sequences as one epoch of training reads them: random stretches are drawn anew.

    They depend on seed and epoch alone, so that every model trained under one seed reads the
    same steps, and an interrupted training goes on with the ones it would have read.
    """
    if not isinstance(sequences, CroppedSequences) or sequences.crop in ("head", "tail"):
        return sequences
    random = np.random.default_rng((seed, epoch))
    return replace(
        sequences, starts=random.integers(sequences.full_lengths - sequences.lengths + 1)
    )


def cut_windows(sequences: Sequences) -> tuple[Sequences, np.ndarray]:
    """All windows that a prediction is computed from, and ``sequence_index`` ``(windows,)``, as
    ``average_window_probabilities`` takes it."""
    if not isinstance(sequences, CroppedSequences) or sequences.crop != "windows":
        return sequences, np.arange(len(sequences))
    starts = [
        _starts(full, length, "windows") if full > length else np.zeros(1, np.int64)
        for full, length in zip(sequences.full_lengths.tolist(), sequences.lengths.tolist())
    ]
    sequence_index = np.repeat(np.arange(len(sequences)), [len(found) for found in starts])
    return replace(sequences.take(sequence_index), starts=np.concatenate(starts)), sequence_index


def lost_steps(sequences: Sequences) -> float:
    """Share of the sequences' steps, 0..1, that one epoch of training leaves unread."""
    if not isinstance(sequences, CroppedSequences):
        return 0.0
    firsts = np.unique(sequences.rows, return_index=True)[1]  # windows of one row lose nothing
    whole = sequences.full_lengths[firsts].sum()
    return float(max(0.0, 1 - sequences.lengths.sum() / whole))
