"""Sequences that are arrays already: what training and scoring read, without files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from seqbelt.data.store import Sequences, SequenceStore
from seqbelt.data.targets import TARGETS, Target


@dataclass(frozen=True)
class InMemoryStore:
    """Arrays in the place of a prepared store: sequences by number, and nothing else."""

    arrays: Sequence[np.ndarray]
    target: ClassVar[Target] = TARGETS["per_sequence"]

    def sequence(self, row: int) -> np.ndarray:
        """Float32 ``(steps, features)``."""
        return self.arrays[row]


def in_memory(arrays: Sequence[np.ndarray], labels: np.ndarray) -> Sequences:
    """``arrays`` float32 ``(steps, features)`` each, ``labels`` int64 ``(sequences,)``."""
    lengths = np.fromiter((len(array) for array in arrays), np.int64, len(arrays))
    store = cast(SequenceStore, InMemoryStore(arrays))
    return Sequences(store, np.arange(len(arrays)), lengths, labels)
