"""Small stores and plain settings for tests that are not about files or defaults."""

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile

from seqbelt.cli import main
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.base import Features, Learned, Source
from seqbelt.inference.bundle_weights import weights_of
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


def write_tones(folder: Path, num_per_class: int = 8) -> None:
    """Recordings of 0.15 to 0.29 s in ``train/CLASS`` and ``test/CLASS``, a quarter of them in the
    latter: classes a, i and u are tones in noise, each of another frequency."""
    random = np.random.default_rng(0)
    for label, frequency_hz in (("a", 400), ("i", 900), ("u", 2000)):
        for number in range(num_per_class):
            times_s = np.arange(1200 + 160 * (number % 8)) / 8000
            samples = 0.1 * np.sin(2 * np.pi * frequency_hz * random.uniform(0.9, 1.1) * times_s)
            path = folder / ("test" if number % 4 == 3 else "train") / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples + random.normal(0, 0.1, len(times_s)), 8000)


def run_json(*arguments: str) -> dict[str, Any]:
    """The JSON that a command prints, for fixtures that are shared by several tests."""
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as stop:
        main([*arguments, "--json"])
    assert stop.value.code == 0
    return json.loads(out.getvalue().strip().splitlines()[-1])
