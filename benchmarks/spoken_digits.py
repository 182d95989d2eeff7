"""Spoken digits against the loop that a user would write by hand, in one interleaved run.

    python benchmarks/spoken_digits.py MANIFEST [--rounds 5]

MANIFEST is what `seqbelt data get fsdd` prints. The reference is the tutorial's way: librosa MFCC
file by file; padded, packed, nn.LSTM, last state, Adam. Both use 40 MFCC at a hop of 10 ms, one
LSTM of 128 units in one direction, batches of 64. Printed are medians and the ratios of each round.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.audio.audio import Mfcc
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

FEATURES = Mfcc(kind="mfcc", sample_rate=8000, window_ms=64, hop_ms=10, num_coefficients=40)
HIDDEN, BATCH = 128, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    manifest = Data(source=arguments.manifest).load()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(manifest)} files")

    paths = [str(manifest.source(row)) for row in range(len(manifest))]
    by_hand(paths[:1]), FEATURES.encode([FEATURES.read(Path(paths[0]))])  # warm both
    features = interleave(
        arguments.rounds, lambda: timed(by_hand, paths), lambda: prepare_seconds(manifest)
    )
    report("files to features, files/s", features, len(paths))

    with tempfile.TemporaryDirectory() as folder:
        rows = prepare(manifest, FEATURES, Path(folder), {}).store.split("train")
        step = reference_epoch(rows)
        epochs = interleave(arguments.rounds, step, lambda: our_epoch(rows))
        report("training, epochs/s", epochs, 1)


def by_hand(paths: list[str]) -> None:
    """The reference's feature loop, as it stands."""
    for path in paths:
        signal, rate = librosa.load(path, sr=8000)
        librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=40, n_fft=512, hop_length=80).T.copy()


def prepare_seconds(manifest: Manifest) -> float:
    """Our preparation from files to a store on disk, from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return prepare(manifest, FEATURES, Path(folder), {}).prepare_s


class Net(nn.Module):
    """The reference's network."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(40, HIDDEN, batch_first=True)
        self.fc = nn.Linear(HIDDEN, 10)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.rnn(packed)
        return self.fc(hidden[-1])


def reference_epoch(rows: Sequences) -> Callable[[], float]:
    """The reference's training epoch on the same features."""
    data = [(torch.from_numpy(rows[i].copy()), int(rows.labels[i])) for i in range(len(rows))]

    def collate(batch):
        steps, labels = zip(*batch)
        lengths = torch.tensor([len(one) for one in steps])
        return pad_sequence(steps, batch_first=True), lengths, torch.tensor(labels)

    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, collate_fn=collate)
    net, loss_of = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch() -> float:
        began = time.perf_counter()
        for inputs, lengths, labels in loader:
            optimizer.zero_grad()
            loss_of(net(inputs, lengths), labels).backward()
            optimizer.step()
        return time.perf_counter() - began

    return epoch


def our_epoch(rows: Sequences) -> float:
    """One of our epochs, the last of four: the reference, too, has run before it is timed."""
    training = Training(num_epochs=4, batch_size=BATCH, device="cpu")
    model = Model(hidden_size=HIDDEN, pooling="last")  # as by hand
    _, history = Loop(training, lambda: build_network(model, 40, 10, False), rows, None).run()
    return history.epochs[-1].train_s


def timed(work: Callable, *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def interleave(
    rounds: int, reference: Callable[[], float], ours: Callable[[], float]
) -> list[tuple[float, float]]:
    """Seconds of both, in turn, after one round that is not counted."""
    return [(reference(), ours()) for _ in range(rounds + 1)][1:]


def report(name: str, seconds: list[tuple[float, float]], amount: float) -> None:
    ratios = sorted(reference / ours for reference, ours in seconds)
    by_hand_s, ours_s = (statistics.median(column) for column in zip(*seconds))
    print(
        f"{name}: by hand {amount / by_hand_s:,.2f}, seqbelt {amount / ours_s:,.2f}; "
        f"ratio {np.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    )


if __name__ == "__main__":
    main()
