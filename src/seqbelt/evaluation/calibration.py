"""Calibration of confidences: temperature scaling and reliability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds of the search."""
PRIOR_SPREAD = 0.15
"""Standard deviation of the logarithm of the temperature before any row is seen."""
NUM_RESAMPLES = 200
"""Of the bootstrap."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the highest posterior density given validation rows (Guo et al. 2017,
    arXiv:1706.04599, with a prior).

    ``logits`` ``(examples, classes)``, ``labels`` int ``(examples,)``, or of several labels bool
    ``(examples, classes)``. Above 1 the model was
    overconfident. No decision changes; fit on validation rows, never on those of the test. The
    logarithm of the temperature is normal around 0 before any row is seen: ten rows that are all
    right are likeliest at a temperature of 0, but say little.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = np.asarray(logits, dtype=np.float64)
    if labels.ndim == 2:
        signed = np.where(labels, logits, -logits)

        def misfit(scale: float) -> float:
            return float(np.logaddexp(0, -scale * signed).sum())

    else:
        of_labels = logits[np.arange(len(logits)), labels]

        def misfit(scale: float) -> float:
            return float(np.sum(np.asarray(logsumexp(scale * logits, axis=1)) - scale * of_labels))

    def loss(log_temperature: float) -> float:
        fit = misfit(np.exp(-log_temperature))
        return float(fit + (log_temperature / PRIOR_SPREAD) ** 2 / 2)

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    optimum = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(optimum.x))  # type: ignore[union-attr]  # scipy's result is untyped


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
    confidence: np.ndarray,
    correct: np.ndarray,
    num_bins: int = 15,
    binning: Literal["mass", "width"] = "mass",
) -> Reliability:
    """Bin examples by their ``confidence`` in 0..1; ``correct`` bool, both ``(examples,)``.

    ``mass`` puts as many examples in each bin (the fewer bins where there are few examples),
    ``width`` cuts [0, 1] evenly as Guo et al. do; a confidence on an edge belongs below it.
    """
    if binning == "mass":
        ranks = np.searchsorted(np.sort(confidence), confidence)  # equal ones stay together
        bins = ranks * num_bins // max(len(confidence), num_bins)
    else:
        bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    filled = count > 0
    sums = [np.bincount(bins, values, num_bins)[filled] for values in (confidence, correct)]
    return Reliability(sums[0] / count[filled], sums[1] / count[filled], count[filled])


def error_interval(
    confidence: np.ndarray,
    correct: np.ndarray,
    units: Sequence[str] | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Basic bootstrap interval of the expected calibration error (Davison & Hinkley 1997, 5.2.1).

    Resampled rows calibrate worse than new ones, since the error of few rows is biased upwards;
    the basic interval turns that round. ``units`` ``(examples,)`` are resampled whole. Bounds are
    in 0..1.
    """
    members = np.arange(len(correct))
    if units is not None:
        members = np.unique(np.asarray(units), return_inverse=True)[1]
    order = np.argsort(members, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(members))[:-1])
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(NUM_RESAMPLES):
        drawn = rng.integers(0, len(rows), len(rows))
        taken = np.concatenate([rows[unit] for unit in drawn]) if units is not None else drawn
        errors.append(reliability(confidence[taken], correct[taken]).expected_error)
    value = reliability(confidence, correct).expected_error
    tail = (1 - level) / 2
    high, low = np.quantile(errors, [tail, 1 - tail])
    low, high = np.clip([2 * value - low, 2 * value - high], 0, 1)
    return float(low), float(high)
