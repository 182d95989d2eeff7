"""What is run: real sequences with their real lengths, in random and in bucketed batches."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from seqbelt.data.batches import Batch, fill, pad, training_plan
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.manifest import Manifest
from seqbelt.errors import BadInput
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Character

BUCKET_BATCHES = 16
NUM_TEXTS = 20_000
SEED = 0


@dataclass(frozen=True)
class Workload:
    """Sequences drawn from a data set, float32 ``(steps, features)`` or token ids ``(steps,)``."""

    name: str
    about: str
    """Where the values and the lengths come from."""
    sequences: list[np.ndarray]
    labels: np.ndarray
    input_size: int
    """Width of what the recurrence reads: of a step, or of a token's embedding."""
    vocabulary_size: int | None
    bidirectional: bool
    batch_size: int
    longest: int
    """Steps of the data set's longest sequence, which need not be among those drawn."""
    num_slow_batches: int
    """Batches that a contender runs if it would take minutes for all of them."""

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each sequence, int64."""
        return np.array([len(sequence) for sequence in self.sequences])

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    def plan(self, bucketed: bool) -> list[np.ndarray]:
        """The product's own plan of one epoch, bucketed by length or fully random."""
        bucket_batches = BUCKET_BATCHES if bucketed else 1
        return training_plan(self.lengths, self.batch_size, SEED, 0, bucket_batches)

    def batches(self, bucketed: bool, to_longest: bool = False) -> list[Batch]:
        """The batches of ``plan``, padded to the batch's or to the data set's longest."""
        return [self._batch(indices, to_longest) for indices in self.plan(bucketed)]

    def _batch(self, indices: np.ndarray, to_longest: bool) -> Batch:
        inputs, lengths = pad([self.sequences[index] for index in indices])
        if to_longest:
            missing = self.longest - inputs.shape[1]
            inputs = F.pad(inputs, (0, missing) if inputs.ndim == 2 else (0, 0, 0, missing))
        return Batch(inputs, lengths, torch.from_numpy(self.labels[indices]), indices)

    def describe(self) -> str:
        """One line for the report."""
        lengths = self.lengths
        shares = [
            f"{fill(lengths, self.plan(bucketed)):.2f} {name}"
            for bucketed, name in ((True, "bucketed"), (False, "random"))
        ]
        return (
            f"**{self.name}**: {self.about}; {len(lengths)} sequences in batches of "
            f"{self.batch_size}, {lengths.min()} to {lengths.max()} steps, median "
            f"{np.median(lengths):.0f} (the set's longest: {self.longest}), input width "
            f"{self.input_size}, {('one direction', 'two directions')[self.bidirectional]}; "
            f"valid share of the padded steps: {', '.join(shares)}"
        )


def load_workloads(names: list[str], quick: bool) -> list[Workload]:
    """The named workloads; ``quick`` draws an eighth of the sequences."""
    makers = {"audio": _short_audio, "text": _text, "long": _long_signals}
    return [makers[name](8 if quick else 1) for name in names]


NAMES = ("audio", "text", "long")


def _short_audio(divisor: int) -> Workload:
    features = LogMel(kind="log_mel", sample_rate=8000)
    manifest = Data(source="fsdd").load()
    rows = _draw(np.flatnonzero(manifest.column("split") == "train"), 1024 // divisor)
    return Workload(
        name="audio",
        about="spoken digits (FSDD), log-mel at a hop of 10 ms",
        sequences=_log_mel(manifest, rows, features),
        labels=_labels(manifest, rows),
        input_size=features.num_features,
        vocabulary_size=None,
        bidirectional=True,
        batch_size=64,
        longest=_longest_recording(manifest, features),
        num_slow_batches=4,
    )


def _long_signals(divisor: int) -> Workload:
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=64, hop_ms=0.625)
    manifest = Data(source="fsdd").load()
    rows = _draw(np.flatnonzero(manifest.column("split") == "train"), 256 // divisor)
    return Workload(
        name="long",
        about="the same recordings at a hop of 0.625 ms, 64 bands",
        sequences=_log_mel(manifest, rows, features),
        labels=_labels(manifest, rows),
        input_size=features.num_features,
        vocabulary_size=None,
        bidirectional=False,
        batch_size=32,
        longest=_longest_recording(manifest, features),
        num_slow_batches=1,
    )


def _text(divisor: int) -> Workload:
    features = Character(kind="character")
    manifest = Data(source="nsmc").load()
    rows = _draw(np.flatnonzero(manifest.column("split") == "train"), NUM_TEXTS)
    texts, kept = [], []
    for row, source in zip(rows, manifest.sources(rows.tolist())):
        try:
            texts.append(features.read(source))
        except BadInput:  # an empty review
            continue
        kept.append(row)
    encoder = features.encoder(features.learn(texts))
    tokens = encoder.encode(texts)
    count = 1024 // divisor
    return Workload(
        name="text",
        about=f"characters of film reviews (NSMC; vocabulary of {NUM_TEXTS:,} reviews)",
        sequences=tokens[:count],
        labels=_labels(manifest, np.array(kept[:count])),
        input_size=128,
        vocabulary_size=encoder.num_features,
        bidirectional=False,
        batch_size=64,
        longest=max(map(len, tokens)),
        num_slow_batches=4,
    )


def _draw(rows: np.ndarray, count: int) -> np.ndarray:
    return np.random.default_rng(SEED).permutation(rows)[:count]


def _labels(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    classes, labels = np.unique(manifest.column("label"), return_inverse=True)
    assert len(classes) > 1
    return labels[rows].astype(np.int64)


def _log_mel(manifest: Manifest, rows: np.ndarray, features: LogMel) -> list[np.ndarray]:
    """Standardised, as the network would do it first: saturated gates would flatter bf16."""
    sources = manifest.sources(rows.tolist())
    sequences = features.encode([features.read(source) for source in sources])
    steps = np.concatenate(sequences)
    mean, deviation = steps.mean(0), steps.std(0)
    return [(sequence - mean) / deviation for sequence in sequences]


def _longest_recording(manifest: Manifest, features: LogMel) -> int:
    sources = manifest.sources()
    return max(features.num_steps(len(features.read(source).samples)) for source in sources)
