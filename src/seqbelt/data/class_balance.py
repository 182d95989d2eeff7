"""Imbalanced rows: class weights, and epochs in which classes or rows are read by weight."""

import numpy as np


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Weight of a row of each class in the loss, ``(classes,)``: all classes have the same total
    weight, and the mean weight of a row is 1. A class without rows has weight 0."""
    counts = np.bincount(labels, minlength=num_classes)
    present = counts > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0.0)


def label_weights(labels: np.ndarray) -> np.ndarray:
    """Weights ``(2, classes)`` of a row without and with each label, of bool ``(rows, classes)``:
    rows with and without a label have the same total weight, and the mean weight is 1. A label
    that no row has, or every row, has weight 1."""
    with_label = labels.mean(axis=0)
    shares = np.stack([1 - with_label, with_label])
    both = (shares > 0).all(axis=0)
    return np.where(both, 0.5 / np.where(shares > 0, shares, 1.0), 1.0)


def balanced_rows(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Draw ``len(labels)`` row indices with all classes equally frequent.

    A frequent class is subsampled, a rare one is repeated evenly. Depends on seed and epoch only.
    """
    random = np.random.default_rng((seed, epoch, 1))  # another random stream than for shuffling
    classes = np.unique(labels)
    counts = np.full(len(classes), len(labels) // len(classes))
    counts[random.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    chosen = []
    for label, count in zip(classes, counts):
        rows = np.flatnonzero(labels == label)
        rounds = [random.permutation(rows) for _ in range(-(-count // len(rows)))]
        chosen.append(np.concatenate([rows[:0], *rounds])[:count])
    return np.concatenate(chosen)


def weighted_rows(weights: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Draw ``len(weights)`` row indices, each row as often as its weight says.

    A row whose weight is ``k`` times the mean is drawn ``k`` times, up to rounding (systematic
    sampling), over epochs exactly so on average. Depends on seed and epoch only.
    """
    random = np.random.default_rng((seed, epoch, 2))  # another stream than for classes
    order = random.permutation(len(weights))
    bounds = np.cumsum(weights[order])
    positions = (np.arange(len(weights)) + random.random()) / len(weights) * bounds[-1]
    return order[np.searchsorted(bounds, positions, side="right").clip(max=len(weights) - 1)]
