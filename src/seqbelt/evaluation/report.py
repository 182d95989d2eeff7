"""Results of one model on one part of the data: scores, per class, worst errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import bdtrc, log_softmax
from sklearn.metrics import classification_report, confusion_matrix

from seqbelt.data.labels.targets import Target
from seqbelt.data.sequences import Sequences
from seqbelt.evaluation.calibration import Reliability, error_interval, reliability
from seqbelt.training.scoring import ZERO, Scores, score
from seqbelt.words import percent

CHANCE = 0.05
"""Probability below which a result is not taken for chance."""


@dataclass(frozen=True)
class Report:
    """Predictions of a model for some sequences; ``logits`` float32 ``(examples, classes)``.

    The examples are the sequences; in a ``StepReport`` they are the labelled steps.
    """

    sequences: Sequences
    logits: np.ndarray
    temperature: float = 1.0
    """Divisor of the logits for confidences; the likeliest class does not depend on it."""
    thresholds: np.ndarray | None = None
    """With several labels: the probability ``(classes,)`` from which each label is given."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sequences.store.classes

    @property
    def labels(self) -> np.ndarray:
        """True class indices ``(examples,)``."""
        return self.sequences.labels

    @property
    def target(self) -> Target:
        """How predictions follow from probabilities."""
        return self.sequences.store.target

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated probabilities float64 ``(examples, classes)``."""
        return self.target.probabilities(self._scaled(self.temperature))

    def _scaled(self, temperature: float) -> np.ndarray:
        return np.asarray(self.logits, np.float64) / temperature

    @property
    def groups(self) -> list[str]:
        """The group of each example: speaker, subject or source recording."""
        return self.sequences.column("group")

    @cached_property
    def scores(self) -> Scores:
        """Accuracy, macro-F1, loss, and what else the labels have."""
        return score(self.logits, self.labels, self.target, self.predictions)

    @property
    def losses(self) -> np.ndarray:
        """Cross-entropy of each example in nats ``(examples,)``, of the network itself."""
        log_probabilities = log_softmax(self.logits.astype(np.float64), axis=1)
        return -log_probabilities[np.arange(len(self.labels)), self.labels]

    @property
    def is_above_chance(self) -> bool:
        """Whether more examples are right than the most frequent class (or set of labels) would
        have, by more than chance (binomial, 5 %). Of ordered classes: whether more predictions are
        nearer to the label than the median class is, than are farther from it."""
        if self.target.is_ordered:
            gaps = np.abs(self.predictions - self.labels)
            other = np.abs(int(np.median(self.labels)) - self.labels)
            nearer, farther = int((gaps < other).sum()), int((gaps > other).sum())
            return nearer > 0 and bool(bdtrc(nearer - 1, nearer + farther, 0.5) < CHANCE)
        majority = np.unique(self.labels, axis=0, return_counts=True)[1].max() / len(self.labels)
        num_right = int(self.correct.sum())
        return num_right > 0 and bool(bdtrc(num_right - 1, len(self.labels), majority) < CHANCE)

    @cached_property
    def predictions(self) -> np.ndarray:
        """Predicted class indices ``(examples,)``."""
        return self.target.predict(self._scaled(self.temperature), self.thresholds)

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct, bool ``(examples,)``."""
        return self.target.are_correct(self.predictions, self.labels)

    @property
    def units(self) -> list[str] | None:
        """The unit of each example, where examples of one unit are not independent; else None."""
        return None

    def to_dict(self) -> dict[str, float]:
        """All scores by name."""
        return self.scores.to_dict()

    @classmethod
    def merged_dict(cls, reports: Sequence["Report"]) -> dict[str, float]:
        """All scores of several reports' examples together."""
        logits, labels, predictions = (
            np.concatenate([getattr(report, name) for report in reports])
            for name in ("logits", "labels", "predictions")
        )
        return score(logits, labels, reports[0].target, predictions).to_dict()

    def confusion(self) -> np.ndarray:
        """Counts ``(true class, predicted class)``."""
        return confusion_matrix(self.labels, self.predictions, labels=range(len(self.classes)))

    @property
    def true_counts(self) -> np.ndarray:
        """Examples of each class ``(classes,)``."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def predicted_counts(self) -> np.ndarray:
        """Examples predicted as each class ``(classes,)``."""
        return np.bincount(self.predictions, minlength=len(self.classes))

    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 and count of each class."""
        report = classification_report(
            self.labels,
            self.predictions,
            labels=range(len(self.classes)),
            target_names=self.classes,
            output_dict=True,
            zero_division=ZERO,
        )
        frame = pd.DataFrame(report).T.loc[list(self.classes)]
        return frame.rename_axis("class").reset_index().astype({"support": int})

    @property
    def confidences(self) -> np.ndarray:
        """Calibrated probability of each prediction ``(examples,)``."""
        return self.target.confidence(self.probabilities, self.thresholds)

    def reliability(self, temperature: float) -> Reliability:
        """Confidence against accuracy, at a temperature."""
        logits = self._scaled(temperature)
        probabilities = self.target.probabilities(logits)
        confidence = self.target.confidence(probabilities, self.thresholds)
        predictions = self.target.predict(logits, self.thresholds)
        return reliability(confidence, self.target.are_correct(predictions, self.labels))

    def calibration_error_interval(self) -> tuple[float, float]:
        """95 % interval of the calibrated probabilities' expected calibration error."""
        return error_interval(self.confidences, self.correct, self.units)

    def worst_errors(self, count: int = 50) -> pd.DataFrame:
        """The wrong predictions with the highest confidence."""
        probabilities = self.probabilities
        wrong = np.flatnonzero(~self.correct)
        worst = wrong[np.argsort(-probabilities[wrong, self.predictions[wrong]])][:count]
        names = np.array(self.classes, dtype=object)
        return pd.DataFrame(
            {
                "id": self.sequences.take(worst).column("id"),
                "true": names[self.labels[worst]],
                "predicted": names[self.predictions[worst]],
                "confidence": probabilities[worst, self.predictions[worst]],
                "p_true": probabilities[worst, self.labels[worst]],
                "num_steps": self.sequences.lengths[worst],
            }
        )


def format_scores(scores: Scores) -> str:
    """The scores of one part of the data in one line."""
    error, precision = scores.mean_absolute_error, scores.mean_average_precision
    return (
        f"{percent(scores.accuracy)}, macro-F1 {percent(scores.macro_f1)}, "
        + (f"mean absolute error {error:.3f}, " if error is not None else "")
        + ("" if precision is None else f"mean average precision {percent(precision)}, ")
        + f"loss {scores.loss:.3f}"
    )
