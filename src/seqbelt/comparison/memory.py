"""What a trained model uses of the past, measured on its answers.

Steps are taken away and the model is asked again: of the end, how much is enough (the memory it
makes use of) when what was before is cut off, comes in random order, or is another sequence's; of
the beginning, how much is enough (how early it could decide). Nothing is trained
again, so a model that was never shown short sequences may answer them badly: the curves say what
*this* model needs, not what the data would allow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from seqbelt.data.cropping import read_stretch
from seqbelt.data.sequences import Sequences
from seqbelt.training.scoring import predict_logits

MAX_SEQUENCES = 1000
"""Test sequences that are asked again, at most: one point of accuracy can be seen with them."""
NUM_LAGS = 12
HEARD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ENOUGH = 0.01
"""Accuracy that may be lost by what is still called enough."""
Past = Literal["cut", "shuffled", "replaced"]
PASTS: tuple[Past, ...] = get_args(Past)
"""What is done to the steps before the kept ones. A cut also makes the sequence shorter than any
the model may know; where the three agree, it is the past's content that was needed."""


@dataclass(frozen=True)
class Memory:
    """Accuracy 0..1 of one model on shortened sequences."""

    last_steps: np.ndarray
    """How many steps at the end were kept: ``(points,)``, rising to the longest sequence."""
    by_last_steps: Mapping[Past, np.ndarray]
    """For each thing that is done to the steps before, accuracy at each of ``last_steps``."""
    by_heard_share: np.ndarray
    """Accuracy after the first tenth, two tenths, … of each sequence."""
    num_sequences: int

    @property
    def lengths(self) -> dict[Past, int]:
        """Fewest steps at the end from which on no more matters: the accuracy stays enough."""
        return {
            how: int(self.last_steps[_first_enough(accuracy)])
            for how, accuracy in self.by_last_steps.items()
        }

    @property
    def earliest_share(self) -> float:
        """Smallest share of a sequence from which on the accuracy stays enough."""
        return HEARD_SHARES[_first_enough(self.by_heard_share)]


def measure_memory(network: nn.Module, sequences: Sequences, device: torch.device) -> Memory:
    """Ask a model about the ends and the beginnings of sampled sequences."""
    order = np.random.default_rng(0).permutation(len(sequences))[:MAX_SEQUENCES]
    sample = sequences.take(np.sort(order))
    lengths = sample.lengths
    longest = int(lengths.max())
    last_steps = np.unique(np.geomspace(1, longest, NUM_LAGS).round().astype(np.int64))

    def accuracy(asked: Sequences) -> float:
        logits = predict_logits(network, asked, device)
        return float((logits.argmax(1) == sample.labels).mean())

    ask: dict[Past, Callable[[np.ndarray], Sequences]] = {
        "cut": lambda kept: read_stretch(sample, lengths - kept, kept),
        "shuffled": lambda kept: _with_past(sample, kept, _shuffle),
        "replaced": lambda kept: _with_past(sample, kept, _replace),
    }
    ends = [np.minimum(lengths, count) for count in last_steps]
    heads = [np.ceil(lengths * share).astype(np.int64) for share in HEARD_SHARES]
    return Memory(
        last_steps=last_steps,
        by_last_steps={
            how: np.array([accuracy(altered(kept)) for kept in ends])
            for how, altered in ask.items()
        },
        by_heard_share=np.array(
            [accuracy(read_stretch(sample, np.zeros_like(kept), kept)) for kept in heads]
        ),
        num_sequences=len(sample),
    )


@dataclass(frozen=True)
class _Altered(Sequences):
    """Sequences whose steps before the last ``kept`` ones are others."""

    own: Sequences
    kept: np.ndarray
    alter: Callable[[Sequences, int, int], np.ndarray]

    def __getitem__(self, index: int) -> np.ndarray:
        steps = self.own[index]
        num_before = len(steps) - int(self.kept[index])
        return np.concatenate([self.alter(self.own, index, num_before), steps[num_before:]])


def _with_past(
    sample: Sequences, kept: np.ndarray, alter: Callable[[Sequences, int, int], np.ndarray]
) -> Sequences:
    own = read_stretch(sample, np.zeros_like(kept), sample.lengths)
    return _Altered(own.store, own.rows, own.lengths, own.labels, own, kept, alter)


def _shuffle(sample: Sequences, index: int, num_steps: int) -> np.ndarray:
    """The first steps in random order, the same for the same row."""
    random = np.random.default_rng(int(sample.rows[index]))
    return sample[index][random.permutation(num_steps)]


def _replace(sample: Sequences, index: int, num_steps: int) -> np.ndarray:
    """As many steps of another sequence, again from its beginning where it is too short."""
    random = np.random.default_rng(int(sample.rows[index]))
    others = np.delete(np.arange(len(sample)), index)
    other = sample[int(random.choice(others))] if len(others) else sample[index]
    return np.resize(other, (num_steps, *other.shape[1:]))


def accuracy_by_length(
    correct: np.ndarray, lengths: np.ndarray, num_buckets: int = 5
) -> list[tuple[int, int, int, float]]:
    """Accuracy in buckets of as many sequences each: shortest, longest, count, accuracy.

    ``correct`` bool and ``lengths`` in steps, ``(sequences,)``. Sequences of one length share a
    bucket, so there may be fewer.
    """
    shares = np.arange(1, num_buckets + 1) / num_buckets
    bucket = np.searchsorted(np.unique(np.quantile(lengths, shares, method="lower")), lengths)
    found = []
    for number in np.unique(bucket):
        own = bucket == number
        shortest, longest = int(lengths[own].min()), int(lengths[own].max())
        found.append((shortest, longest, int(own.sum()), float(correct[own].mean())))
    return found


def _first_enough(accuracy: np.ndarray) -> int:
    """Index from which on the accuracy never falls short of the last one."""
    short = np.flatnonzero(accuracy < accuracy[-1] - ENOUGH)
    return int(short[-1]) + 1 if len(short) else 0
