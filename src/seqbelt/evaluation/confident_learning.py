"""Labels that held-out predictions contradict: confident learning (Northcutt, Jiang & Chuang 2021,
doi:10.1613/jair.1.12125).

Rows are ranked by self-confidence, the probability of the row's own label. A class's threshold is
the mean self-confidence of the rows labelled with it; a row is counted for the most probable class
that reaches its threshold, and where that is not its label, the label is doubtful.

``likely wrong`` are the most confident of the contradicted labels. Wrong labels are contradicted as
often where the model is confident as elsewhere; its own errors are not. So the contradictions
beyond the rate among the most confident rows are the model's, and the list ends where these, which
are alarms on right labels, would be more than a fraction of all rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LIKELY_WRONG, DOUBTFUL, UNDISPUTED = "likely wrong", "doubtful", "undisputed"
MAX_CLEAN_ALARMS = 0.004
"""Estimated fraction of the rows that may be ``likely wrong`` with a right label: with the error of
the estimate it stays below 1 %."""
POOR_MODEL, MAX_LISTED_BY_POOR = 0.2, 0.009
"""A model that contradicts this fraction of the labels or more is often confident and wrong; then
``likely wrong`` has at most this fraction of the rows."""
NUM_BINS, MIN_BINS, MIN_BIN_ROWS = 20, 3, 30
"""Bins by confidence, and the rows that each has at least. Fewer bins than ``MIN_BINS`` are too few
for an estimate; then the limit of a poor model holds."""


@dataclass(frozen=True)
class LabelRanking:
    """The labels of rows against held-out probabilities.

    ``labels`` int ``(rows,)``, class indices; ``probabilities`` float ``(rows, classes)`` by models
    that were not trained on the row.
    """

    labels: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def self_confidences(self) -> np.ndarray:
        """Probability of each row's label, ``(rows,)``."""
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @cached_property
    def suggested(self) -> np.ndarray:
        """The most probable class other than the label, ``(rows,)``."""
        others = self.probabilities.copy()
        others[np.arange(len(self.labels)), self.labels] = -np.inf
        return others.argmax(1)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """Mean self-confidence of the rows of each class, ``(classes,)``; infinite without rows."""
        num_classes = self.probabilities.shape[1]
        counts = np.bincount(self.labels, minlength=num_classes)
        sums = np.bincount(self.labels, self.self_confidences, minlength=num_classes)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)

    @cached_property
    def grades(self) -> np.ndarray:
        """``likely wrong``, ``doubtful`` or ``undisputed`` of each row, ``(rows,)``."""
        reaches = self.probabilities >= self.thresholds
        counted = np.where(reaches, self.probabilities, -np.inf).argmax(1)
        is_doubtful = reaches.any(axis=1) & (counted != self.labels) & self._is_contradicted
        grades = np.where(is_doubtful, DOUBTFUL, UNDISPUTED).astype(object)
        grades[self._most_confident_contradictions] = LIKELY_WRONG
        return grades

    @cached_property
    def order(self) -> np.ndarray:
        """Indices of the rows ``(rows,)``: those that are likely wrong, then the others, each by
        rising self-confidence."""
        return np.lexsort((self.self_confidences, self.grades != LIKELY_WRONG))

    @cached_property
    def _is_contradicted(self) -> np.ndarray:
        return self.probabilities.argmax(1) != self.labels

    @property
    def _most_confident_contradictions(self) -> np.ndarray:
        """Indices of the rows that are likely wrong."""
        num_rows = len(self.labels)
        by_confidence = np.argsort(-self.probabilities.max(axis=1), kind="stable")
        is_contradicted = self._is_contradicted[by_confidence]
        num_bins = int(np.clip(num_rows // MIN_BIN_ROWS, 1, NUM_BINS))
        bins = np.arange(num_rows) * num_bins // max(num_rows, 1)
        own_errors = _rising_rates(is_contradicted, bins)
        own_errors -= own_errors[:1]
        end = np.searchsorted(own_errors[bins].cumsum(), MAX_CLEAN_ALARMS * num_rows, side="right")
        contradicted = by_confidence[:end][is_contradicted[:end]]
        if num_bins < MIN_BINS or is_contradicted.mean() > POOR_MODEL:
            contradicted = contradicted[: int(MAX_LISTED_BY_POOR * num_rows)]
        return contradicted


def _rising_rates(is_contradicted: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The rate of contradictions in each bin, made not to fall from bin to bin."""
    from sklearn.isotonic import IsotonicRegression

    counts = np.bincount(bins)
    rates = np.bincount(bins, is_contradicted) / counts
    places = np.arange(len(counts))
    return IsotonicRegression().fit(places, rates, counts).predict(places)
