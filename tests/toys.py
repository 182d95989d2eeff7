"""Small stores and plain settings for tests that are not about files or defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.base import Features, Learned, Source
from seqbelt.inference.bundle import weights_of
from seqbelt.models.numpy_network import NumpyNetwork, numpy_networks
from seqbelt.models.numpy_streaming import NumpyStreamingClassifier

PLAIN = {
    "scaling": "rows",
    "differences": False,
    "stem": "none",
    "bidirectional": False,
    "pooling": "attention",
    "dropout": 0.0,
    "input_dropout": 0.0,
    "embedding_dropout": 0.0,
}
"""Model settings that leave one direction of the recurrence, a pooling and a linear layer: for
laws that are about these alone."""
UNCHANGED = {"label_smoothing": 0.0, "distillation": 0.0, "augmentation": "none"}
"""Training settings that leave rows and labels as they are."""


class Ready(Features):
    """Arrays that are sequences already."""

    kind: Literal["ready"] = "ready"
    width: int = 3

    @property
    def num_features(self) -> int:
        return self.width

    def read(self, source: Source) -> np.ndarray:
        assert isinstance(source, np.ndarray)
        return source

    def encoder(self, learned: Learned) -> "Ready":
        return self

    def encode(self, raws: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(raws)


def toy_store(
    folder: Path, count: int = 60, seed: int = 0, learnable: bool = True
) -> SequenceStore:
    """Two classes of noisy sequences of 2 to 12 steps; the first step's sign tells the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    arrays = []
    for label in labels:
        steps = random.normal(size=(random.integers(2, 13), 3)).astype(np.float32)
        if learnable:
            steps[0] += 3 * (2 * label - 1)
        arrays.append(steps)
    manifest = make_manifest(
        label=[("no", "yes")[label] for label in labels],
        split=[("train", "train", "validation", "test")[row % 4] for row in range(count)],
        contents=arrays,
    )
    return prepare(manifest, Ready(), folder, {}).store


SMALL_CLASSIFIER = {
    "hidden_size": 8,
    "num_epochs": 12,
    "learning_rate": 0.02,
    "batch_size": 16,
    "device": "cpu",
}


def numpy_networks_of(network) -> list[NumpyNetwork]:
    """A network of torch, or each of an ensemble, in NumPy."""
    return numpy_networks(network.settings, network.is_tokens, weights_of(network))


def streaming(network) -> NumpyStreamingClassifier:
    return NumpyStreamingClassifier(numpy_networks_of(network))


def toy_sequences(count=60, seed=0):
    """Sequences of 2 to 12 steps and their labels; the first step's sign tells the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    X = [random.normal(size=(random.integers(2, 13), 3)) for _ in labels]
    for one, label in zip(X, labels):
        one[0] += 3 * (2 * label - 1)
    return X, np.array(["no", "yes"])[labels]
