"""Labels flipped at random: how many are in the first 7 % of the list, how many alarms are false?

    python benchmarks/wrong_labels.py PREPARED [--draws 1] [--sets fsdd,nsmc,...] [--rate 0.05]

PREPARED is a folder of stores that `seqbelt prepare` made, each named as its set. A draw flips 5 %
of the labels of train, validation and test rows together to another class, trains one LSTM on each
of three stratified folds (of rows, as with `data.folds: 3, data.whole_groups: false`) and ranks the
labels of all rows by the held-out probabilities. The settings are quick ones: one seed, few
updates, 64 units. With `--rate 0` no label is flipped, and every `likely wrong` is an alarm.

With `--recover` a fifth of the rows is kept as a test with its true labels, the others are flipped
and ranked as above, and three more networks of the same settings are trained: on the true labels,
on the flipped ones, and on the flipped ones after one review of the first 7 % of the list, in
which each label is replaced by the true one.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import nn

from seqbelt.data.sequences import Sequences
from seqbelt.data.store.store import SequenceStore
from seqbelt.evaluation.confident_learning import LIKELY_WRONG, LabelRanking
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits

SETS = {
    "japanese_vowels": (100_000, 300),
    "epilepsy": (100_000, 300),
    "utd_mhad": (100_000, 400),
    "kor_chatbot_topic": (100_000, 300),
    "fsdd": (100_000, 400),
    "nsmc": (20_000, 400),
}
"""Largest number of rows, and updates of a training."""
NUM_FOLDS, LISTED = 3, 0.07
FOUND = (
    "| set | rows | classes | draw | accuracy by the true labels | flips in the first 7 % | "
    "likely wrong | alarms among right labels | time |"
)
RECOVERED = (
    "| set | rows | test rows | draw | flips in the first 7 % | true labels | flipped | reviewed "
    "| time |"
)


def flip(labels: np.ndarray, num_classes: int, rate: float, random: np.random.Generator):
    """The labels, a fraction of them changed to another class drawn uniformly."""
    flipped = labels.copy()
    rows = random.choice(len(labels), round(rate * len(labels)), replace=False)
    flipped[rows] = (labels[rows] + random.integers(1, num_classes, len(rows))) % num_classes
    return flipped


def draw_rows(name: str, prepared: Path, random: np.random.Generator) -> Sequences:
    """The rows of a set that are used, at most those of ``SETS``."""
    store = SequenceStore(prepared / name)
    return store.select(np.sort(random.permutation(store.index.num_rows)[: SETS[name][0]]))


def keep_test(rows: Sequences, seed: int) -> tuple[Sequences, Sequences]:
    """The other rows, and a fifth of them as a test."""
    others, kept = train_test_split(
        np.arange(len(rows)), test_size=0.2, stratify=rows.labels, random_state=seed
    )
    return rows.take(others), rows.take(kept)


def argument_parser(about: str | None, draws: int) -> argparse.ArgumentParser:
    """The arguments that the measurements on these sets have in common."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--draws", type=int, default=draws)
    parser.add_argument("--sets", default=",".join(SETS))
    return parser


def train(rows: Sequences, num_updates: int, seed: int) -> nn.Module:
    """A network of the quick settings, trained on all of the rows."""
    store = rows.store
    model = Model(hidden_size=64).resolve(store.is_tokens, rows.lengths)
    training = Training(device="cpu", seed=seed, num_updates=num_updates)
    training = training.resolve(len(rows), store.is_tokens, False, store.num_features == 40)

    def build() -> nn.Module:
        return build_network(
            model, store.num_features, len(store.classes), store.is_tokens, rows.lengths
        )

    network, _ = Loop(training, build, rows, None).run()
    return network


def held_out_probabilities(rows: Sequences, num_updates: int, seed: int) -> np.ndarray:
    """Probabilities ``(rows, classes)`` of every row by a network that was not trained on it."""
    found = np.zeros((len(rows), len(rows.store.classes)))
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for fold, (others, test) in enumerate(folds.split(rows.rows, rows.labels)):
        network = train(rows.take(others), num_updates, seed)
        logits = predict_logits(network, rows.take(test), torch.device("cpu"))
        found[test] = softmax(logits, axis=1)
        print(f"  fold {fold + 1} of {NUM_FOLDS}", file=sys.stderr, flush=True)
    return found


def accuracy(network: nn.Module, test: Sequences) -> float:
    """Of a network on the test rows."""
    logits = predict_logits(network, test, torch.device("cpu"))
    return float((logits.argmax(1) == test.labels).mean())


def recover(name: str, prepared: Path, rate: float, seed: int) -> None:
    """Print one line on what one review of the first rows of the list gives back."""
    began, num_updates = time.perf_counter(), SETS[name][1]
    random = np.random.default_rng(seed)
    true, test = keep_test(draw_rows(name, prepared, random), seed)
    given = replace(true, labels=flip(true.labels, len(true.store.classes), rate, random))
    ranking = LabelRanking(given.labels, held_out_probabilities(given, num_updates, seed))
    listed = ranking.order[: round(LISTED * len(given))]
    corrected = given.labels.copy()
    corrected[listed] = true.labels[listed]
    is_wrong = given.labels != true.labels
    scores = [
        accuracy(train(labelled, num_updates, seed), test)
        for labelled in (true, given, replace(given, labels=corrected))
    ]
    print(
        f"| {name} | {len(given):,} | {len(test):,} | {seed} "
        f"| {is_wrong[listed].sum() / is_wrong.sum():.1%} | "
        + " | ".join(f"{score:.1%}" for score in scores)
        + f" | {time.perf_counter() - began:.0f} s |",
        flush=True,
    )


def draw(name: str, prepared: Path, rate: float, seed: int) -> None:
    """Print one line on one draw."""
    began, num_updates = time.perf_counter(), SETS[name][1]
    random = np.random.default_rng(seed)
    rows = draw_rows(name, prepared, random)
    true, num_classes = rows.labels, len(rows.store.classes)
    given = replace(rows, labels=flip(true, num_classes, rate, random))
    ranking = LabelRanking(given.labels, held_out_probabilities(given, num_updates, seed))
    is_wrong = given.labels != true
    listed = ranking.order[: round(LISTED * len(true))]
    likely = ranking.grades == LIKELY_WRONG
    right = int((ranking.probabilities.argmax(1) == true).sum())
    found = f"{is_wrong[listed].sum() / is_wrong.sum():.1%}" if is_wrong.any() else "-"
    print(
        f"| {name} | {len(true):,} | {num_classes} | {seed} | {right / len(true):.1%} "
        f"| {found} | {likely.sum():,}, of them {(likely & is_wrong).sum():,} flipped "
        f"| {(likely & ~is_wrong).sum() / (~is_wrong).sum():.2%} "
        f"| {time.perf_counter() - began:.0f} s |",
        flush=True,
    )


def main() -> None:
    parser = argument_parser(__doc__, draws=1)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--recover", action="store_true", help="what a review gives back")
    options = parser.parse_args()
    measure, header = (recover, RECOVERED) if options.recover else (draw, FOUND)
    print(f"{header}\n" + "|---" * header.count(" | ") + "|---|")
    for name in options.sets.split(","):
        for seed in range(options.draws):
            measure(name, options.prepared, options.rate, seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
