"""The order control: a trained cell reads the steps of every test sequence in random order."""

from dataclasses import dataclass

import numpy as np

from seqbelt.data.cropping import cut_windows, pool_votes
from seqbelt.data.store import Sequences
from seqbelt.evaluation.controls.control import Control
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.training.scoring import predict_logits


def shuffled_order(cell: str) -> Control:
    """The control that a cell is to itself."""
    return Control(
        name=f"{cell}, shuffled order",
        key=f"shuffled-{cell}",
        about=f"The trained {cell} on the same test steps in random order; not trained again.",
        lesson="order may not matter here",
        knows_order=False,
        cell=cell,
    )


@dataclass(frozen=True)
class ShuffledSequences(Sequences):
    """Sequences whose valid steps come in random order: the same for the same row and seed."""

    ordered: Sequences
    seed: int

    def __getitem__(self, index: int) -> np.ndarray:
        random = np.random.default_rng((self.seed, int(self.rows[index])))
        return random.permutation(self.ordered[index])


def answer_shuffled(network: SequenceNetwork, test: Sequences, seed: int) -> np.ndarray:
    """Answers ``(test rows,)`` to shuffled sequences, each within the steps that are read of it."""
    read, owners = cut_windows(test)
    shuffled = ShuffledSequences(read.store, read.rows, read.lengths, read.labels, read, seed)
    device = next(network.parameters()).device
    return pool_votes(predict_logits(network, shuffled, device), owners).argmax(1)
