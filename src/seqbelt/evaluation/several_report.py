"""Results of one model with several labels for each sequence."""

from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from seqbelt.data.labels.targets import DEFAULT_THRESHOLD
from seqbelt.evaluation.proportions import proportion_interval
from seqbelt.evaluation.report import Report
from seqbelt.training.scoring import binary_losses

MIN_ROWS = 10
"""Validation rows with a label, and without it, that a threshold is chosen by; with fewer it stays
at ``DEFAULT_THRESHOLD``."""
SHARED_ROWS = 50
"""Validation rows with a label at which its own best threshold counts as much as that of all labels
together: the best of few rows is mostly chance."""


def choose_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The thresholds ``(classes,)`` of labels, chosen on validation rows.

    ``probabilities`` and bool ``labels`` ``(rows, classes)``. A label's threshold is between the
    one with its highest F1 and the one with the highest F1 of all labels together (micro-F1), the
    nearer to its own the more rows it has (``SHARED_ROWS``).
    """
    thresholds = np.full(labels.shape[1], DEFAULT_THRESHOLD)
    chosen = np.flatnonzero(has_enough_rows(labels))
    if not len(chosen):
        return thresholds
    shared = best_threshold(probabilities[:, chosen].ravel(), labels[:, chosen].ravel())
    for label in chosen:
        own = best_threshold(probabilities[:, label], labels[:, label])
        with_label = int(labels[:, label].sum())
        num_rows = min(with_label, len(labels) - with_label)
        thresholds[label] = (num_rows * own + SHARED_ROWS * shared) / (num_rows + SHARED_ROWS)
    return thresholds


def best_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the highest F1, in the middle between two neighbouring ``probabilities``;
    ``labels`` are bool, both ``(examples,)``."""
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + hits[-1])
    is_end = np.append(ranked[1:] < ranked[:-1], True)  # equal ones stay together
    last = int(np.argmax(np.where(is_end, f1, -1)))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + below) / 2)


def has_enough_rows(labels: np.ndarray) -> np.ndarray:
    """Whether each label has enough rows with and without it to choose a threshold by,
    ``(classes,)``."""
    with_label = labels.sum(axis=0)
    return np.minimum(with_label, len(labels) - with_label) >= MIN_ROWS


class SeveralReport(Report):
    """Predictions of labels: ``logits`` ``(rows, classes)``, labels and predictions bool of that
    shape.

    A row is correct if all of its labels are: ``accuracy``, the confidence and its calibration are
    of whole rows, F1 and average precision of labels.
    """

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        return self.target.labels(self.sequences)

    @property
    def losses(self) -> np.ndarray:
        """Mean binary cross-entropy of each row's labels in nats ``(rows,)``."""
        return binary_losses(self.logits, self.labels)

    @property
    def true_counts(self) -> np.ndarray:
        return self.labels.sum(axis=0)

    @property
    def predicted_counts(self) -> np.ndarray:
        return self.predictions.sum(axis=0)

    def per_class(self) -> pd.DataFrame:
        """Precision, recall with its 95 % interval, F1, average precision, threshold and count of
        each label."""
        rows = []
        thresholds = self.thresholds
        for index, name in enumerate(self.classes):
            true, predicted = self.labels[:, index], self.predictions[:, index]
            hits, num_predicted, support = (
                int((true & predicted).sum()),
                predicted.sum(),
                true.sum(),
            )
            low, high = proportion_interval(predicted[true]) if support else (0.0, 1.0)
            rows.append(
                {
                    "class": name,
                    "precision": hits / num_predicted if num_predicted else 0.0,
                    "recall": hits / support if support else 0.0,
                    "recall_low": low,
                    "recall_high": high,
                    "f1-score": 2 * hits / (num_predicted + support)
                    if num_predicted + support
                    else 0.0,
                    "average_precision": float(average_precision_score(true, self.logits[:, index]))
                    if support
                    else np.nan,
                    "threshold": DEFAULT_THRESHOLD if thresholds is None else thresholds[index],
                    "support": int(support),
                }
            )
        return pd.DataFrame(rows)

    def worst_errors(self, count: int = 50) -> pd.DataFrame:
        """The wrong rows with the highest confidence."""
        confidences = self.confidences
        wrong = np.flatnonzero(~self.correct)
        worst = wrong[np.argsort(-confidences[wrong])][:count]
        return pd.DataFrame(
            {
                "id": self.sequences.take(worst).column("id"),
                "true": [self._named(self.labels[row]) for row in worst],
                "predicted": [self._named(self.predictions[row]) for row in worst],
                "confidence": confidences[worst],
                "num_steps": self.sequences.lengths[worst],
            }
        )

    def _named(self, is_label: np.ndarray) -> str:
        return ", ".join(self.classes[index] for index in np.flatnonzero(is_label))
