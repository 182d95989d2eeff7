"""From logits to probabilities.

SciPy has these functions, but takes longer to import than all else that the prediction of a few
files needs.
"""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Float64 logarithms of the probabilities ``(..., classes)``."""
    below = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Float64 probabilities ``(..., classes)``."""
    return np.exp(log_softmax(logits))


def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Float64 logarithms ``(..., classes)`` of the mean probabilities of several predictions of the
    same items, logits ``(predictions, ..., classes)``."""
    return np.logaddexp.reduce(log_softmax(logits), axis=0) - np.log(len(logits))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Float64 probabilities of logits of any shape."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
