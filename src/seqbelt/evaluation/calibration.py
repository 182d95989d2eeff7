"""Calibration of confidences: temperature scaling and reliability."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds of the search."""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities ``(examples, classes)`` of ``logits / temperature``."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that maximises the likelihood of validation rows (Guo et al. 2017,
    arXiv:1706.04599).

    ``logits`` ``(examples, classes)``, ``labels`` int ``(examples,)``. Above 1 the model was
    overconfident. No predicted class changes. Fit it on validation rows, never on test rows. Where
    all n rows are right, the maximum would be at full certainty; so each row's target leaves 1 / (n
    + 2) to the other classes (the rule of succession, as in Platt 1999).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = np.asarray(logits, dtype=np.float64)
    num_rows, num_classes = logits.shape
    doubt = 1 / (num_rows + 2)
    targets = np.full(logits.shape, doubt / (num_classes - 1))
    targets[np.arange(num_rows), labels] = 1 - doubt
    target_logits = (targets * logits).sum(axis=1)

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * logits, axis=1) - scale * target_logits))

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    result = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(result.x))  # type: ignore[union-attr]  # scipy's result is untyped


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins, empty bins left out; arrays ``(bins,)``."""

    confidence: np.ndarray
    """Mean confidence in the predicted class."""
    accuracy: np.ndarray
    """Fraction of correct predictions."""
    count: np.ndarray
    """Examples in the bin."""

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean gap of confidence and accuracy over the examples."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.average(gaps, weights=self.count))


def reliability(
    probabilities: np.ndarray,
    labels: np.ndarray,
    num_bins: int = 15,
    binning: Literal["mass", "width"] = "mass",
) -> Reliability:
    """Bin examples by their confidence: ``(examples, classes)``, labels int ``(examples,)``.

    ``mass`` puts as many examples in each bin (the fewer bins where there are few examples),
    ``width`` cuts [0, 1] evenly as Guo et al. do; a confidence on an edge belongs below it.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    if binning == "mass":
        ranks = np.searchsorted(np.sort(confidence), confidence)  # equal ones stay together
        bins = ranks * num_bins // max(len(confidence), num_bins)
    else:
        bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    filled = count > 0
    sums = [np.bincount(bins, values, num_bins)[filled] for values in (confidence, right)]
    return Reliability(sums[0] / count[filled], sums[1] / count[filled], count[filled])
