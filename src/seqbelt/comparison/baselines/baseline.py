"""A baseline without recurrence (a "control" to users), and its result on the test rows."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqbelt.data.sequences import Sequences
from seqbelt.texts import text

NO_RECURRENCE = "no-recurrence"
"""Key of the baseline that is the cells' network without its recurrent layer."""


@dataclass(frozen=True)
class Baseline:
    """A classifier that lacks something the cells have: order, memory or the input itself."""

    name: str
    key: str
    """Short name; the baseline's MLflow run is named ``control-<key>``."""
    description: str
    """One sentence: what it reads of a sequence."""
    implication: str
    """What may hold of the data where the baseline is as accurate as the best cell."""
    uses_order: bool
    """Whether it reads the order of steps beyond two neighbours. A cell that does not beat a
    baseline without order has not been shown to learn the task."""
    input_name: str = field(default="", kw_only=True)
    """The only one of several inputs that it reads, or ``columns`` for those of the manifest."""
    cell: str = field(default="", kw_only=True)
    """The cell whose trained models predict, if any."""

    @property
    def run_name(self) -> str:
        return f"control-{self.key}"


def no_recurrence_baseline(uses_order: bool) -> Baseline:
    """The cells' network without its recurrent layer; it uses order where convolutions
    precede the recurrent layer."""
    return Baseline(
        name=text(f"control_{NO_RECURRENCE}"),
        key=NO_RECURRENCE,
        description=text(f"reads_{NO_RECURRENCE}"),
        implication=text(f"implies_{NO_RECURRENCE}"),
        uses_order=uses_order,
    )


def input_baseline(name: str) -> Baseline:
    """The cells' network on one of several inputs."""
    return Baseline(
        name=text("control_alone", name=name),
        key=f"input-{name}",
        description=text("reads_input", name=name),
        implication=text("implies_input", name=name),
        uses_order=True,
        input_name=name,
    )


@dataclass(frozen=True)
class BaselineResult:
    """Test scores of a baseline, or the error that prevented them."""

    baseline: Baseline
    seconds: float
    """Seconds to fit (where it is fitted) and to predict."""
    correct: np.ndarray | None = None
    """Whether each test prediction is correct, bool ``(seeds, examples)``."""
    macro_f1: float | None = None
    error: str | None = None
    """Why there are no predictions."""

    @property
    def test_accuracy(self) -> float | None:
        return None if self.correct is None else float(self.correct.mean())

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "name": self.baseline.name,
            "about": self.baseline.description,
            "knows_order": self.baseline.uses_order,
            "test_accuracy": self.test_accuracy,
            "macro_f1": self.macro_f1,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


def fit_predict(classifier: Any, inputs: Any, train: Sequences, test_inputs: Any) -> np.ndarray:
    """Predictions of a scikit-learn classifier fitted on the labels of ``train``: class indices
    ``(test rows,)``, or with several labels bool ``(test rows, classes)`` of one classifier for
    each label."""
    target = train.store.target
    labels = target.labels(train)
    if not target.is_several:
        return classifier.fit(inputs, labels).predict(test_inputs)
    # Every command imports this module, and scikit-learn takes a second.
    from sklearn.multiclass import OneVsRestClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label that all training rows have
        fitted = OneVsRestClassifier(classifier).fit(inputs, labels.astype(int))
    return np.asarray(fitted.predict(test_inputs)).astype(bool)
