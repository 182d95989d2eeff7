"""Skewed classes: what each class weighs, and epochs in which all classes are as frequent."""

import numpy as np


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """What a row of each class weighs in the loss, ``(classes,)``: all classes weigh the same in
    sum, and a row weighs 1 on average. A class without rows weighs nothing."""
    counts = np.bincount(labels, minlength=num_classes)
    present = counts > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0.0)


def balanced_rows(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """As many rows as there are, by their numbers, each class as often as the others.

    Of a frequent class another part is read in every epoch, of a rare one each row several times,
    all rows of it as often, give or take one. Depends on seed and epoch alone.
    """
    random = np.random.default_rng((seed, epoch, 1))  # not the draw that shuffles the batches
    classes = np.unique(labels)
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[random.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    chosen = []
    for label, share in zip(classes, shares):
        rows = np.flatnonzero(labels == label)
        rounds = [random.permutation(rows) for _ in range(-(-share // len(rows)))]
        chosen.append(np.concatenate([rows[:0], *rounds])[:share])
    return np.concatenate(chosen)
