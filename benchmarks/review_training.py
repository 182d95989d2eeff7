"""A training epoch on the characters of reviews against a script written by hand.

    python benchmarks/review_training.py REFERENCE.py TRAIN.tsv [--rounds 5] [--reviews 20000]

TRAIN.tsv has a header, a column `document` and a column `label`, and no quoting; gzipped or not.
REFERENCE.py is run as `REFERENCE.py --train FILE --test FILE --tokens char --epochs 1 --batch-size
64 --hidden 128` on the same reviews; the line of each epoch must end in its seconds, as in `1.23s`.
Both train one LSTM of 128 units in one direction on embeddings of 128 in batches of 64; the first
epoch counts. Printed are medians, and the ratio of each round.
"""

import argparse
import csv
import gzip
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.text.text import Character
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

NUM_TESTED = 100
"""Reviews on which the reference measures itself after each epoch, outside of its timing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("--reviews", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = read_rows(arguments.train)[: arguments.reviews]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(rows)} reviews")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "train.tsv", rows)
        write_rows(folder / "test.tsv", rows[:NUM_TESTED])
        ours = prepare_rows(rows, folder / "store")
        pairs = []
        for number in range(arguments.rounds):
            pairs.append((reference_epoch(arguments.reference, folder), our_epoch(ours)))
            print(f"round {number + 1}: by hand {pairs[-1][0]:.2f} s, seqbelt {pairs[-1][1]:.2f} s")
    report(pairs)


def read_rows(path: Path) -> list[tuple[str, str]]:
    """Text and label of each review that has a text."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["document"], row["label"]) for row in table if row["document"].strip()]


def write_rows(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """The table that the reference reads, with quoting."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([("document", "label"), *rows])


def prepare_rows(rows: Sequence[tuple[str, str]], folder: Path) -> Sequences:
    texts, labels = zip(*rows)
    manifest = make_manifest(text=texts, label=labels, split=["train"] * len(rows))
    features = Character(kind="character", vocabulary_size=20_000, min_count=1)
    return prepare(manifest, features, folder, {}).store.split("train")


def reference_epoch(script: Path, folder: Path) -> float:
    """Seconds of the reference's epoch, in a process of its own."""
    command = [sys.executable, str(script), "--train", str(folder / "train.tsv")]
    command += ["--test", str(folder / "test.tsv"), "--tokens", "char", "--epochs", "1"]
    command += ["--batch-size", "64", "--hidden", "128"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.findall(r"([\d.]+)s$", done.stdout, re.MULTILINE)[-1])


def our_epoch(rows: Sequences) -> float:
    """Seconds of our epoch."""
    training = Training(num_epochs=1, batch_size=64, device="cpu")
    model = Model(hidden_size=128, embedding_size=128, pooling="last")  # as by hand
    num_features = rows.store.num_features
    _, history = Loop(
        training, lambda: build_network(model, num_features, 2, True), rows, None
    ).run()
    return history.epochs[-1].train_s


def report(pairs: Sequence[tuple[float, float]]) -> None:
    ratios = sorted(reference / ours for reference, ours in pairs)
    by_hand_s, ours_s = (statistics.median(column) for column in zip(*pairs))
    print(
        f"epoch: by hand {by_hand_s:.2f} s, seqbelt {ours_s:.2f} s; ratio "
        f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    )


if __name__ == "__main__":
    main()
