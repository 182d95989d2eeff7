"""How many labels reach 95 % of the full accuracy, in the order of doubt and in random order?

    python benchmarks/active_labelling.py PREPARED [--draws 3] [--sets fsdd,...]

PREPARED is as for wrong_labels.py, whose quick settings train the networks. A fifth of the rows is
the test; a twentieth of the others, drawn at random, is labelled at first. In each round a network
is trained on what is labelled, and a twentieth more is labelled: drawn at random, or the rows whose
predicted class has the lowest probability, as `seqbelt review` lists predictions.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from wrong_labels import SETS, accuracy, argument_parser, draw_rows, keep_test, train

from seqbelt.data.sequences import Sequences
from seqbelt.training.scoring import predict_logits

SHARE, ENOUGH = 0.05, 0.95
CPU = torch.device("cpu")


def labels_needed(
    pool: Sequences, test: Sequences, by_doubt: bool, wanted: float, num_updates: int, seed: int
) -> int:
    """Labels until a network on them reaches the ``wanted`` accuracy."""
    order = np.random.default_rng(seed).permutation(len(pool))
    step = max(1, round(SHARE * len(pool)))
    labelled, others = order[:step], order[step:]
    while len(others):
        network = train(pool.take(labelled), num_updates, seed)
        reached = accuracy(network, test)
        print(f"  {len(labelled):,} labels: {reached:.1%}", file=sys.stderr, flush=True)
        if reached >= wanted:
            break
        if by_doubt:
            certainty = softmax(predict_logits(network, pool.take(others), CPU), axis=1).max(1)
            others = others[np.argsort(certainty, kind="stable")]
        labelled, others = np.concatenate([labelled, others[:step]]), others[step:]
    return len(labelled)


def draw(name: str, prepared: Path, seed: int) -> None:
    """Print one line on one draw."""
    began, num_updates = time.perf_counter(), SETS[name][1]
    pool, test = keep_test(draw_rows(name, prepared, np.random.default_rng(seed)), seed)
    full = accuracy(train(pool, num_updates, seed), test)
    needed = [
        labels_needed(pool, test, by_doubt, ENOUGH * full, num_updates, seed)
        for by_doubt in (False, True)
    ]
    print(
        f"| {name} | {len(pool):,} | {seed} | {full:.1%} | {needed[0]:,} | {needed[1]:,} "
        f"| {needed[1] / needed[0]:.0%} | {time.perf_counter() - began:.0f} s |",
        flush=True,
    )


def main() -> None:
    options = argument_parser(__doc__, draws=3).parse_args()
    print(
        "| set | rows | draw | accuracy with all labels | labels, random order | by doubt | ratio "
        "| time |\n" + "|---" * 8 + "|"
    )
    for name in options.sets.split(","):
        for seed in range(options.draws):
            draw(name, options.prepared, seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
