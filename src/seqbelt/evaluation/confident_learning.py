"""Labels that held-out predictions contradict: confident learning (Northcutt, Jiang & Chuang 2021,
doi:10.1613/jair.1.12125).

Rows are ranked by self-confidence, the probability of the row's own label. A class's threshold is
the mean self-confidence of the rows labelled with it; a row is counted for the most probable class
that reaches its threshold, and where that is not its label, the label is doubtful.

``likely wrong`` are the most confident of the contradicted labels. Wrong labels are contradicted as
often where the model is confident as elsewhere; its own errors are not. So the contradictions
beyond the rate among the most confident rows are the model's, and the list ends where these, which
are alarms on right labels, would be more than a fraction of all rows.

With several labels a row, each label is two classes for itself, given or not; a row is doubtful if
one of its labels is, and ranked by the probability that all of them are right. Among the labels
that the model gives the rate of wrong ones is another than among those that it does not give: a
label is more often forgotten than given by mistake.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqbelt.data.labels.targets import DEFAULT_THRESHOLD, TARGETS, Target

LIKELY_WRONG, DOUBTFUL, UNDISPUTED = "likely wrong", "doubtful", "undisputed"
MAX_CLEAN_ALARMS = 0.004
"""Estimated fraction of the rows that may be ``likely wrong`` with a right label: with the error of
the estimate it stays below 1 %."""
POOR_MODEL, MAX_LISTED_BY_POOR = 0.2, 0.009
"""A model that contradicts this fraction of the labels or more (of several labels, of those that it
gives) is often confident and wrong; then ``likely wrong`` has at most this fraction
of the rows."""
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

    @property
    def target(self) -> Target:
        """What the labels are."""
        return TARGETS["per_sequence"]

    @cached_property
    def self_confidences(self) -> np.ndarray:
        """Probability of each row's label, or that all of its labels are right, ``(rows,)``."""
        return self.target.probability_of(self.probabilities, self.labels)

    @cached_property
    def suggested(self) -> np.ndarray:
        """The most probable class other than the label, ``(rows,)``."""
        others = self.probabilities.copy()
        others[np.arange(len(self.labels)), self.labels] = -np.inf
        return others.argmax(1)

    @property
    def suggested_confidences(self) -> np.ndarray:
        """Probability of what is ``suggested``, ``(rows,)``."""
        return self.target.probability_of(self.probabilities, self.suggested)

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
        confidences = self.probabilities.max(axis=1)
        is_poor = bool(self._is_contradicted.mean() > POOR_MODEL)
        likely = most_confident(self._is_contradicted, confidences, len(self.labels), is_poor)
        grades[likely] = LIKELY_WRONG
        return grades

    @cached_property
    def order(self) -> np.ndarray:
        """Indices of the rows ``(rows,)``: those that are likely wrong, then the others, each by
        rising self-confidence."""
        return np.lexsort((self.self_confidences, self.grades != LIKELY_WRONG))

    @cached_property
    def _is_contradicted(self) -> np.ndarray:
        return self.probabilities.argmax(1) != self.labels


@dataclass(frozen=True)
class SeveralRanking(LabelRanking):
    """As ``LabelRanking`` where a row has any number of labels: ``labels`` bool
    ``(rows, classes)``, and each of the probabilities for itself."""

    @property
    def target(self) -> Target:
        return TARGETS["several"]

    @cached_property
    def each_confidence(self) -> np.ndarray:
        """Probability that each label is rightly given, or not given, ``(rows, classes)``."""
        return np.where(self.labels, self.probabilities, 1 - self.probabilities)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """Mean ``each_confidence`` of the rows without and with each label, ``(2, classes)``;
        infinite without rows."""
        sides = np.stack([~self.labels, self.labels])
        counts = sides.sum(axis=1)
        sums = (sides * self.each_confidence).sum(axis=1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)

    @cached_property
    def each_grade(self) -> np.ndarray:
        """The grade of each label, whether given or not, ``(rows, classes)``."""
        without, with_label = self.thresholds
        # Of the other side: not to give a label that is given, and to give one that is not.
        needed = np.where(self.labels, without, with_label)
        is_doubtful = self._is_contradicted & (1 - self.each_confidence >= needed)
        grades = np.where(is_doubtful, DOUBTFUL, UNDISPUTED).astype(object)
        confidences = np.maximum(self.probabilities, 1 - self.probabilities)
        is_predicted = self.probabilities >= DEFAULT_THRESHOLD
        contradicted = self._is_contradicted[is_predicted]
        is_poor = bool(contradicted.sum() > POOR_MODEL * len(contradicted))
        for side in (is_predicted, ~is_predicted):
            # Half of the rows that may be listed; a row is wrong if one of its labels is.
            likely = most_confident(
                self._is_contradicted[side], confidences[side], len(self.labels) / 2, is_poor
            )
            rows, columns = np.nonzero(side)
            grades[rows[likely], columns[likely]] = LIKELY_WRONG
        return grades

    @cached_property
    def grades(self) -> np.ndarray:
        """The worst grade of each row's labels, ``(rows,)``."""
        grades = np.full(len(self.labels), UNDISPUTED, dtype=object)
        for grade in (DOUBTFUL, LIKELY_WRONG):
            grades[(self.each_grade == grade).any(axis=1)] = grade
        return grades

    @cached_property
    def suggested(self) -> np.ndarray:
        """The labels with the disputed ones given or taken away, bool ``(rows, classes)``; where
        none is disputed, the most doubtful one."""
        is_disputed = self.each_grade != UNDISPUTED
        none = np.flatnonzero(~is_disputed.any(axis=1))
        is_disputed[none, self.each_confidence[none].argmin(axis=1)] = True
        return self.labels ^ is_disputed

    @cached_property
    def _is_contradicted(self) -> np.ndarray:
        """Of each label, ``(rows, classes)``."""
        return self.each_confidence < DEFAULT_THRESHOLD


def rank_labels(target: Target, labels: np.ndarray, probabilities: np.ndarray) -> LabelRanking:
    """The ranking of the ``labels`` of rows, as ``target`` has them."""
    return (SeveralRanking if target.is_several else LabelRanking)(labels, probabilities)


def most_confident(
    is_contradicted: np.ndarray, confidences: np.ndarray, num_rows: float, is_poor: bool
) -> np.ndarray:
    """Indices of the contradicted labels ``(labels,)`` that are likely wrong.

    ``confidences`` are of the predictions; the limits are fractions of ``num_rows``, and those of a
    model that ``is_poor``.
    """
    num_labels = len(is_contradicted)
    by_confidence = np.argsort(-confidences, kind="stable")
    is_contradicted = is_contradicted[by_confidence]
    num_bins = int(np.clip(num_labels // MIN_BIN_ROWS, 1, NUM_BINS))
    bins = np.arange(num_labels) * num_bins // max(num_labels, 1)
    own_errors = _rising_rates(is_contradicted, bins)
    own_errors -= own_errors[:1]
    end = np.searchsorted(own_errors[bins].cumsum(), MAX_CLEAN_ALARMS * num_rows, side="right")
    contradicted = by_confidence[:end][is_contradicted[:end]]
    if num_bins < MIN_BINS or is_poor:
        contradicted = contradicted[: int(MAX_LISTED_BY_POOR * num_rows)]
    return contradicted


def _rising_rates(is_contradicted: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The rate of contradictions in each bin, made not to fall from bin to bin."""
    from sklearn.isotonic import IsotonicRegression

    counts = np.bincount(bins)
    rates = np.bincount(bins, is_contradicted) / counts
    positions = np.arange(len(counts))
    return IsotonicRegression().fit(positions, rates, counts).predict(positions)
