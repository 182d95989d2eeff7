"""From probabilities to the predicted class or labels, as they are written."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.errors import NOT_FINITE, BadInput

SEPARATORS = ("|", ";", ",", " / ")
"""What may part the labels in a cell of a table, the first choice first."""


def choose_separator(classes: Sequence[str]) -> str:
    """A separator that no class has in its name, if there is one."""
    free = (separator for separator in SEPARATORS if not any(separator in name for name in classes))
    return next(free, SEPARATORS[0])


def find_overflow(probabilities: np.ndarray) -> BadInput | None:
    """The error of probabilities that are not finite, since finite weights can overflow; None of
    finite ones."""
    if np.isfinite(probabilities).all():
        return None
    return BadInput(NOT_FINITE, "the network's output is NaN or infinite")


class Decision(NamedTuple):
    """The predicted class, or labels, of probabilities."""

    target: Target
    thresholds: np.ndarray | None = None
    """With several labels: the probability from which each is given; None with one."""
    separator: str = SEPARATORS[0]
    """Parts the labels in a cell of a table."""

    def label_values(
        self, probabilities: np.ndarray, classes: Sequence[str], as_text: bool
    ) -> list[str] | list[list[str]]:
        """The label of each row of ``probabilities`` ``(rows, classes)``; with several labels a
        list, or ``as_text`` the labels of one cell."""
        if not self.target.is_several:
            return np.array(classes, dtype=object)[self.target.decide(probabilities)].tolist()
        sets = [self.names(row, classes) for row in probabilities]
        return [self.separator.join(names) for names in sets] if as_text else sets

    def names(self, probabilities: np.ndarray, classes: Sequence[str]) -> list[str]:
        """The predicted class, or all predicted labels, of one row ``(classes,)``."""
        return self.target.names(self.target.decide(probabilities, self.thresholds), classes)

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """The probability ``(...)`` that the prediction of ``(..., classes)`` is right."""
        return self.target.confidence(probabilities, self.thresholds)


ONE_CLASS = Decision(TARGETS["per_sequence"])
