"""Three sets of real sequences, as prepared stores, each with the settings that train it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.base import Features
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training

NUM_REVIEWS = 30_000
NUM_LONG = 160
NAMES = ("fsdd", "nsmc", "long")


@dataclass(frozen=True)
class Workload:
    """A prepared set, and the network and the training that it is given."""

    name: str
    about: str
    store: SequenceStore
    model: Model
    training: Training
    max_rows: int | None = None
    """Rows of a part that are used, at most."""

    def part(self, name: str) -> Sequences:
        """The rows of ``train`` or ``validation``."""
        rows = self.store.split(name)
        return rows.take(np.arange(len(rows))[: self.max_rows])

    def change_model(self, **changes: Any) -> Model:
        """The model's settings with some of them changed."""
        return Model.model_validate({**self.model.to_dict(), **changes})

    def describe(self) -> str:
        """One line for the report."""
        train = self.part("train")
        lengths, model = train.lengths, self.model
        return (
            f"**{self.name}**: {self.about}; {len(train):,} rows train, {lengths.min()} to "
            f"{lengths.max()} steps, median {np.median(lengths):.0f}; batches of "
            f"{self.training.batch_size}; {model.hidden_size} units, "
            f"{('one direction', 'two directions')[model.bidirectional]}, pooling {model.pooling}"
        )


def load_workloads(folder: Path, max_rows: int | None = None) -> list[Workload]:
    """The workloads of the stores in ``folder``; missing ones are prepared from the known sets."""
    for name in NAMES:
        if not (folder / name / "store.json").exists():
            _prepare(name, folder / name)
    stores = {name: SequenceStore(folder / name) for name in NAMES}
    last = Model(pooling="last")
    audio = Model(bidirectional=True, pooling="attention", dropout=0.3)
    text = Model(bidirectional=True, pooling="max", dropout=0.3, embedding_dropout=0.2)
    return [
        Workload("fsdd", "spoken digits, log-mel at a hop of 10 ms", stores["fsdd"], audio,
                 Training(num_epochs=20, batch_size=32, learning_rate=2e-3), max_rows),
        Workload("nsmc", "film reviews, subwords", stores["nsmc"], text,
                 Training(num_epochs=8, batch_size=128, learning_rate=2e-3), max_rows),
        Workload("long", "the digits at a hop of 0.625 ms", stores["long"], last,
                 Training(num_epochs=12, batch_size=32, learning_rate=1e-3), max_rows),
    ]  # fmt: skip


def _prepare(name: str, folder: Path) -> None:
    from seqbelt.data.sources.dataset import Data
    from seqbelt.features.audio.audio import LogMel
    from seqbelt.features.text.text import Subword

    digits = Data(source="fsdd", validation_fraction=0.1)
    if name == "fsdd":
        features: Features = LogMel(kind="log_mel", sample_rate=8000)
        _store(digits.load(), features, folder, None)
    elif name == "long":
        features = LogMel(kind="log_mel", sample_rate=8000, num_bands=64, hop_ms=0.625)
        _store(digits.load(), features, folder, NUM_LONG)
    else:
        features = Subword(kind="subword", vocabulary_size=16_000, max_length=128)
        _store(Data(source="nsmc", validation_fraction=0.1).load(), features, folder, NUM_REVIEWS)


def _store(manifest: Manifest, features: Features, folder: Path, count: int | None) -> None:
    """A store of the rows that are not the test's, or of ``count`` of them, drawn at random."""
    rows = np.flatnonzero(manifest.column("split") != "test")
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:count])
    drawn = replace(manifest, table=manifest.table.take(pa.array(chosen)), odd={})
    prepare(drawn, features, folder, {})
