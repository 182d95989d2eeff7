"""How many steps a trained model needs, measured on its test predictions.

Two curves: accuracy by the number of last steps kept (the memory the model uses), with the earlier
steps cut, shuffled or replaced by another sequence's; and accuracy by the fraction of first steps
kept (how early it could decide). Nothing is retrained, so a model that never saw short sequences
may do badly on them: the curves describe this model, not what the data would allow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from seqbelt.data.cropped_sequences import read_stretch
from seqbelt.data.sequences import Sequences
from seqbelt.training.scoring import predict_logits

MAX_SEQUENCES = 1000
"""Largest number of test sequences measured; enough to resolve about one point of accuracy."""
NUM_LAGS = 12
PREFIX_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TOLERATED_LOSS = 0.01
"""Loss of accuracy up to which a shortened sequence counts as sufficient."""
EarlierSteps = Literal["cut", "shuffled", "replaced"]
EARLIER_STEPS: tuple[EarlierSteps, ...] = get_args(EarlierSteps)
"""Treatment of the steps before the kept ones. Cutting also makes the sequence shorter than those
trained on; where the three agree, the content of the earlier steps was needed."""


@dataclass(frozen=True)
class Memory:
    """Accuracy 0..1 of one model on shortened sequences."""

    last_steps: np.ndarray
    """Number of last steps kept, ``(points,)``, rising to the longest sequence."""
    accuracy_by_suffix: Mapping[EarlierSteps, np.ndarray]
    """Accuracy ``(points,)`` at each of ``last_steps``, by treatment of the earlier steps."""
    accuracy_by_prefix: np.ndarray
    """Accuracy at each of ``PREFIX_FRACTIONS``."""
    num_sequences: int

    @property
    def lengths(self) -> dict[EarlierSteps, int]:
        """Fewest last steps whose accuracy, and that of all longer ones, is within tolerance."""
        return {
            how: int(self.last_steps[_first_within_tolerance(accuracy)])
            for how, accuracy in self.accuracy_by_suffix.items()
        }

    @property
    def sufficient_prefix(self) -> float:
        """Smallest first fraction from which on the accuracy stays within tolerance."""
        return PREFIX_FRACTIONS[_first_within_tolerance(self.accuracy_by_prefix)]


def measure_memory(network: nn.Module, sequences: Sequences, device: torch.device) -> Memory:
    """Measure accuracy on suffixes and prefixes of sampled sequences."""
    order = np.random.default_rng(0).permutation(len(sequences))[:MAX_SEQUENCES]
    sample = sequences.take(np.sort(order))
    target = sample.store.target
    lengths, labels = sample.lengths, target.labels(sample)
    longest = int(lengths.max())
    last_steps = np.unique(np.geomspace(1, longest, NUM_LAGS).round().astype(np.int64))

    def accuracy(altered: Sequences) -> float:
        logits = predict_logits(network, altered, device)
        return float(target.are_correct(target.predict(logits), labels).mean())

    shorten: dict[EarlierSteps, Callable[[np.ndarray], Sequences]] = {
        "cut": lambda kept: read_stretch(sample, lengths - kept, kept),
        "shuffled": lambda kept: _with_past(sample, kept, _shuffle),
        "replaced": lambda kept: _with_past(sample, kept, _replace),
    }
    ends = [np.minimum(lengths, count) for count in last_steps]
    prefixes = [np.ceil(lengths * fraction).astype(np.int64) for fraction in PREFIX_FRACTIONS]
    return Memory(
        last_steps=last_steps,
        accuracy_by_suffix={
            how: np.array([accuracy(alter(kept)) for kept in ends])
            for how, alter in shorten.items()
        },
        accuracy_by_prefix=np.array(
            [accuracy(read_stretch(sample, np.zeros_like(kept), kept)) for kept in prefixes]
        ),
        num_sequences=len(sample),
    )


@dataclass(frozen=True)
class _Altered(Sequences):
    """Sequences whose steps before the last ``kept`` are altered."""

    original: Sequences
    kept: np.ndarray
    alter: Callable[[Sequences, int, int], np.ndarray]

    def __getitem__(self, index: int) -> np.ndarray:
        steps = self.original[index]
        num_before = len(steps) - int(self.kept[index])
        return np.concatenate([self.alter(self.original, index, num_before), steps[num_before:]])


def _with_past(
    sample: Sequences, kept: np.ndarray, alter: Callable[[Sequences, int, int], np.ndarray]
) -> Sequences:
    original = read_stretch(sample, np.zeros_like(kept), sample.lengths)
    return _Altered(
        original.store, original.rows, original.lengths, original.labels, original, kept, alter
    )


def _shuffle(sample: Sequences, index: int, num_steps: int) -> np.ndarray:
    """The first steps in random order, the same for the same row."""
    random = np.random.default_rng(int(sample.rows[index]))
    return sample[index][random.permutation(num_steps)]


def _replace(sample: Sequences, index: int, num_steps: int) -> np.ndarray:
    """As many steps of another sequence, repeated where it is too short."""
    random = np.random.default_rng(int(sample.rows[index]))
    others = np.delete(np.arange(len(sample)), index)
    other = sample[int(random.choice(others))] if len(others) else sample[index]
    return np.resize(other, (num_steps, *other.shape[1:]))


def accuracy_by_length(
    correct: np.ndarray, lengths: np.ndarray, num_buckets: int = 5
) -> list[tuple[int, int, int, float]]:
    """Accuracy in buckets of equal counts: shortest, longest (steps), count, accuracy.

    ``correct`` bool and ``lengths`` in steps, ``(sequences,)``. Sequences of one length share a
    bucket, so there may be fewer.
    """
    fractions = np.arange(1, num_buckets + 1) / num_buckets
    bucket = np.searchsorted(np.unique(np.quantile(lengths, fractions, method="lower")), lengths)
    buckets = []
    for number in np.unique(bucket):
        members = bucket == number
        shortest, longest = int(lengths[members].min()), int(lengths[members].max())
        buckets.append((shortest, longest, int(members.sum()), float(correct[members].mean())))
    return buckets


def _first_within_tolerance(accuracy: np.ndarray) -> int:
    """First index from which the accuracy never falls below the last one less the tolerance."""
    short = np.flatnonzero(accuracy < accuracy[-1] - TOLERATED_LOSS)
    return int(short[-1]) + 1 if len(short) else 0
