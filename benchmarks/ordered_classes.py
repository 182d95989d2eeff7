"""Ordered classes (``data.order``) against the same classes without their order.

A latent sum of two marked values in a sequence, plus noise, is cut into five classes of equal
size. Both models are trained on the same rows with the same settings and read the same test rows:
the unordered one by cross-entropy and the likeliest class, the ordered one as ``data.order`` does.
Also told: the unordered model's median class, which separates the decision from the training.

    python benchmarks/ordered_classes.py --seeds 20 21 22 --rows 150 400 1000 --noise 0.2 0.7 1.5
"""

import argparse
from itertools import product

import numpy as np
import torch

from seqbelt.data.in_memory import in_memory
from seqbelt.data.labels.targets import ORDERED, TARGETS, Target
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits, score

CLASSES = tuple("12345")
NUM_TEST = 2000
MODEL = Model(cell="lstm", hidden_size=32, stem="none")


def draw(num_rows: int, noise: float, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences ``(steps, 3)`` whose third feature marks two steps, and their classes."""
    random, arrays, latent = np.random.default_rng(seed), [], []
    for _ in range(num_rows):
        steps = random.standard_normal((random.integers(20, 40), 3)).astype(np.float32)
        steps[:, 2] = 0
        marked = random.choice(len(steps), 2, replace=False)
        steps[marked, 2] = 1
        latent.append(steps[marked, 0].sum() / np.sqrt(2))
        arrays.append(steps)
    rating = np.array(latent) + noise * random.standard_normal(num_rows)
    edges = np.quantile(rating, np.linspace(0, 1, len(CLASSES) + 1)[1:-1])
    return arrays, np.searchsorted(edges, rating)


def fit(arrays: list[np.ndarray], labels: np.ndarray, target: Target, seed: int):
    train = in_memory(arrays, labels, CLASSES, target)
    settings = Training(seed=seed, device="cpu", num_epochs=20, augmentation="none")
    network, _ = Loop(
        settings, lambda: build_network(MODEL, 3, len(CLASSES), False, train.lengths), train, None
    ).run()
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--rows", type=int, nargs="+", default=[150, 400, 1000])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2, 0.7, 1.5])
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios = []
    print("| rows | noise | MAE unordered | its median | ordered | less by | accuracy | kappa |")
    print("|---|---|---|---|---|---|---|---|")
    for num_rows, noise in product(options.rows, options.noise):
        found = []
        for seed in options.seeds:
            arrays, labels = draw(num_rows, noise, seed)
            test_arrays, test_labels = draw(NUM_TEST, noise, 10_000 + seed)
            test = in_memory(test_arrays, test_labels, CLASSES)
            logits = {
                target.is_ordered: predict_logits(
                    fit(arrays, labels, target, seed), test, torch.device("cpu")
                )
                for target in (TARGETS["per_sequence"], ORDERED)
            }
            likeliest = logits[False].argmax(1)
            unordered = score(logits[False], test_labels, ORDERED, likeliest)
            median = score(logits[False], test_labels, ORDERED)
            ordered = score(logits[True], test_labels, ORDERED)
            found.append([
                unordered.mean_absolute_error, median.mean_absolute_error,
                ordered.mean_absolute_error, unordered.accuracy, ordered.accuracy,
                unordered.quadratic_kappa, ordered.quadratic_kappa,
            ])  # fmt: skip
        mean = np.mean(np.array(found, float), axis=0)
        ratios.append(mean[2] / mean[0])
        print(
            f"| {num_rows:,} | {noise:g} | {mean[0]:.3f} | {mean[1]:.3f} | {mean[2]:.3f} "
            f"| {1 - ratios[-1]:.1%} | {mean[3]:.1%} to {mean[4]:.1%} "
            f"| {mean[5]:.3f} to {mean[6]:.3f} |",
            flush=True,
        )
    print(f"\nmean over the conditions: {1 - np.mean(ratios):.1%} less")


if __name__ == "__main__":
    main()
