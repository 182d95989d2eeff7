"""Sequences of which a model reads a part, as ``Cropping`` sets it."""

from dataclasses import dataclass, replace

import numpy as np

from seqbelt.cropping import Crop, Cropping
from seqbelt.data.sequences import Sequences
from seqbelt.probabilities import mean_log_probabilities, sigmoid

TINY = 1e-9
"""Smallest mean probability whose log-odds are taken."""


def average_window_probabilities(
    logits: np.ndarray, sequence_index: np.ndarray, is_several: bool = False
) -> np.ndarray:
    """Logits ``(sequences, classes)`` from those of windows ``(windows, classes)``.

    ``sequence_index`` ``(windows,)``, ascending from 0, is the index of each window's sequence. A
    sequence with several windows gets the log of the mean of their probabilities, one with a
    single window keeps its logits. With several labels (``is_several``) it is the log-odds of the
    mean.
    """
    firsts = np.flatnonzero(np.diff(sequence_index, prepend=-1))
    pooled = logits[firsts]
    counts = np.diff(np.append(firsts, len(sequence_index)))
    for index in np.flatnonzero(counts > 1):
        windows = logits[firsts[index] :][: counts[index]]
        if is_several:
            mean = sigmoid(windows).mean(axis=0).clip(TINY, 1 - TINY)
            pooled[index] = np.log(mean / (1 - mean))
        else:
            pooled[index] = mean_log_probabilities(windows)
    return pooled


@dataclass(frozen=True)
class CroppedSequences(Sequences):
    """Sequences of which ``lengths`` steps are read, beginning at ``starts``."""

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
        """A selection of these sequences with their crops."""
        names = ("rows", "lengths", "labels", "starts", "full_lengths")
        return replace(self, **{name: getattr(self, name)[indices] for name in names})


def crop_sequences(sequences: Sequences, cropping: Cropping) -> Sequences:
    """The sequences as a model reads them; unchanged if none is longer.

    With ``windows`` this is the first window: ``cut_windows`` returns all, ``draw_crops`` a random
    one.
    """
    full, max_steps, crop = sequences.lengths, cropping.max_steps, cropping.crop
    if max_steps is None or not len(full) or full.max() <= max_steps:
        return sequences
    lengths = np.minimum(full, max_steps)
    starts = full - lengths if crop == "tail" else np.zeros_like(full)
    return CroppedSequences(
        sequences.store, sequences.rows, lengths, sequences.labels, starts, full, crop
    )


def crop_part(sequences: Sequences, cropping: Cropping, for_training: bool) -> Sequences:
    """Training or test rows as a model reads them.

    With labels for steps all steps are read: training reads the windows that cover a recording, and
    prediction the complete recording.
    """
    if not sequences.store.target.labels_steps:
        return crop_sequences(sequences, cropping)
    if not for_training:
        return sequences
    if cropping.crop in ("head", "tail"):
        return crop_sequences(sequences, cropping)
    return cut_windows(crop_sequences(sequences, replace(cropping, crop="windows")))[0]


def uncropped(sequences: Sequences) -> tuple[Sequences, np.ndarray]:
    """The sequences with all their steps, and the start of each crop."""
    if not isinstance(sequences, CroppedSequences):
        return sequences, np.zeros(len(sequences), np.int64)
    store, rows, labels = sequences.store, sequences.rows, sequences.labels
    return Sequences(store, rows, sequences.full_lengths, labels), sequences.starts


def read_stretch(sequences: Sequences, starts: np.ndarray, lengths: np.ndarray) -> Sequences:
    """A part of each sequence, relative to its crop: ``starts`` and ``lengths`` ``(sequences,)`` in
    steps."""
    first = sequences.starts if isinstance(sequences, CroppedSequences) else 0
    return CroppedSequences(
        sequences.store, sequences.rows, lengths, sequences.labels, first + starts,
        first + starts + lengths, "head",
    )  # fmt: skip


def draw_crops(sequences: Sequences, seed: int, epoch: int) -> Sequences:
    """The sequences as one epoch of training reads them, with new random windows.

    The windows depend on seed and epoch only, so that every model with one seed reads the same
    steps, and a resumed training those of an uninterrupted one.
    """
    if not isinstance(sequences, CroppedSequences) or sequences.crop in ("head", "tail"):
        return sequences
    random = np.random.default_rng((seed, epoch))
    return replace(
        sequences, starts=random.integers(sequences.full_lengths - sequences.lengths + 1)
    )


def cut_windows(sequences: Sequences) -> tuple[Sequences, np.ndarray]:
    """All windows that predictions read, and ``sequence_index`` ``(windows,)`` for
    ``average_window_probabilities``."""
    if not isinstance(sequences, CroppedSequences) or sequences.crop != "windows":
        return sequences, np.arange(len(sequences))
    starts = [
        Cropping(length, "windows").starts(full)
        for full, length in zip(sequences.full_lengths.tolist(), sequences.lengths.tolist())
    ]
    sequence_index = np.repeat(
        np.arange(len(sequences)), [len(window_starts) for window_starts in starts]
    )
    return replace(sequences.take(sequence_index), starts=np.concatenate(starts)), sequence_index


def lost_steps(sequences: Sequences) -> float:
    """Fraction of the sequences' steps, 0..1, that one epoch of training does not read."""
    if not isinstance(sequences, CroppedSequences):
        return 0.0
    firsts = np.unique(sequences.rows, return_index=True)[1]  # windows of one row lose nothing
    total = sequences.full_lengths[firsts].sum()
    return float(max(0.0, 1 - sequences.lengths.sum() / total))
