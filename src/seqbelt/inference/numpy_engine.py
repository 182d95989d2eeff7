"""The computation of a bundle's network by NumPy, while there is little to compute.

torch takes longer to import than a few files to predict.
"""

from collections.abc import Sequence

import numpy as np

from seqbelt.inference.bundle import Bundle
from seqbelt.models.numpy_network import average_logits

MAX_PRODUCTS = 5e9
MAX_STEPS = 20_000
"""Multiplications, and steps read one after the other, that NumPy computes in a third of the time
in which torch is imported."""


class NumpyEngine:
    """A bundle's network in NumPy, until the work is worth importing torch; for a bundle that
    ``can_compute`` accepts."""

    is_on_cpu = True

    def __init__(self, bundle: Bundle) -> None:
        self._networks = bundle.numpy_networks
        self._products = self._steps = 0.0

    def accepts(self, sequences: Sequence[np.ndarray]) -> bool:
        """Whether these sequences, with all accepted before, are little to compute."""
        for sequence in sequences:
            products, steps = self._networks[0].work(len(sequence))
            self._products += products * len(self._networks)
            self._steps += steps * len(self._networks)
        return self._products <= MAX_PRODUCTS and self._steps <= MAX_STEPS

    def logits(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Logits float32 ``(sequences, classes)`` of encoded sequences."""
        return average_logits([np.stack(network(sequences)) for network in self._networks])

    def step_logits(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits float32 ``(steps, classes)`` of each sequence."""
        each = zip(*(network(sequences) for network in self._networks), strict=True)
        return [average_logits(logits) for logits in each]


def can_compute(bundle: Bundle) -> bool:
    """Whether NumPy computes this bundle, and neither its features nor its steps need torch."""
    is_carried = bundle.model.labels_steps and bundle.model.max_steps is not None
    return bundle.layout is None and not bundle.features.needs_torch and not is_carried
