"""Baselines fitted on the training rows, each on less information than the cells read."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score
from sklearn.tree import DecisionTreeClassifier

from seqbelt.comparison.baselines.baseline import Baseline, BaselineResult, fit_predict
from seqbelt.comparison.baselines.random_convolutions import random_convolutions
from seqbelt.comparison.baselines.signal_baselines import (
    SPANS,
    predict_from,
    predict_steps,
    statistics,
    statistics_in_time,
)
from seqbelt.comparison.baselines.text_baselines import mean_of_embeddings, predict_from_words
from seqbelt.data.joined_views import cells_of
from seqbelt.data.labels.targets import DEFAULT_THRESHOLD
from seqbelt.data.sequences import RowSource, Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.model import Model
from seqbelt.texts import text
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import ZERO


@dataclass(frozen=True)
class Fold:
    """The rows the cells of one fold read, and a builder of their untrained network."""

    train: Sequences
    validation: Sequences
    test: Sequences
    build: Callable[[], SequenceNetwork]


@dataclass(frozen=True)
class FittedBaseline(Baseline):
    """A baseline with ``predict``: fit on a fold's training rows, predicted class indices
    ``(test rows,)``."""

    predict: Callable[[Fold], np.ndarray]

    def run(self, folds: Sequence[Fold]) -> BaselineResult:
        """Fit and predict on every fold; the folds' test rows are concatenated in order."""
        labels = np.concatenate([example_labels(fold.test) for fold in folds])
        return measure(
            self, labels, lambda: np.concatenate([self.predict(fold) for fold in folds])[None]
        )


def fitted_baselines(store: RowSource, model: Model, training: Training) -> list[FittedBaseline]:
    """The baselines for token ids, for numbers, for labelled steps or for several inputs, simplest
    first; then each section of the features alone.

    ``model`` and ``training`` are the cells': the mean of embeddings is trained as they are.
    """
    if store.target.labels_steps:
        return [_MAJORITY, *_STEPS]
    if store.layout is not None:
        return [_MAJORITY, _LENGTH, *([_COLUMNS] if store.layout.columns else [])]
    by_kind = _texts(model, training) if store.is_tokens else _SIGNALS
    return [_MAJORITY, _LENGTH, *by_kind, *_each_section(store.sections)]


def _each_section(sections: Sequence[tuple[str, int]]) -> Iterator[FittedBaseline]:
    """A baseline for each section of the features, on its features alone."""
    start = 0
    for number, (kind, width) in enumerate(sections):
        chosen = slice(start, start + width)
        yield FittedBaseline(
            name=text("control_alone", name=f"features[{number}]"),
            key=f"section-{number}",
            description=text("reads_section", number=number, kind=kind),
            implication=text("implies_section", number=number, kind=kind),
            uses_order=True,
            predict=partial(_predict_from_section, chosen=chosen),
        )
        start += width


def _predict_from_section(fold: Fold, chosen: slice) -> np.ndarray:
    return predict_from(lambda steps: statistics_in_time(steps[:, chosen]), fold.train, fold.test)


def example_labels(sequences: Sequences) -> np.ndarray:
    """Class index of each example: of the sequences, or of their labelled steps."""
    return sequences.store.target.labels(sequences)


def _majority_class(fold: Fold) -> np.ndarray:
    labels, num_test = example_labels(fold.train), len(example_labels(fold.test))
    if labels.ndim == 2:
        return np.tile(labels.mean(axis=0) >= DEFAULT_THRESHOLD, (num_test, 1))
    return np.full(num_test, np.bincount(labels).argmax())


def _length_only(fold: Fold) -> np.ndarray:
    # Ten rows in a leaf: a length that few rows have is chance.
    tree = DecisionTreeClassifier(min_samples_leaf=10, random_state=0)
    return fit_predict(tree, fold.train.lengths[:, None], fold.train, fold.test.lengths[:, None])


def _columns_only(fold: Fold) -> np.ndarray:
    forest = RandomForestClassifier(200, min_samples_leaf=2, random_state=0)
    return fit_predict(forest, cells_of(fold.train), fold.train, cells_of(fold.test))


def _baseline(
    key: str,
    predict: Callable[[Fold], np.ndarray],
    *,
    uses_order: bool = False,
    implies: str = "",
    input_name: str = "",
) -> FittedBaseline:
    """A baseline whose texts have its key in theirs; ``implies`` is the key of the implication
    where several share it."""
    return FittedBaseline(
        name=text(f"control_{key}"),
        key=key,
        description=text(f"reads_{key}"),
        implication=text(f"implies_{implies or key}"),
        uses_order=uses_order,
        predict=predict,
        input_name=input_name,
    )


_MAJORITY = _baseline("majority", _majority_class)
_LENGTH = _baseline("length", _length_only)
_COLUMNS = _baseline("columns", _columns_only, uses_order=True, input_name="columns")
_SIGNALS = (
    _baseline("statistics", lambda fold: predict_from(statistics, fold.train, fold.test)),
    _baseline(
        "spectrum",
        lambda fold: predict_from(statistics_in_time, fold.train, fold.test),
        uses_order=True,
    ),
    _baseline(
        "convolutions", lambda fold: random_convolutions(fold.train, fold.test), uses_order=True
    ),
)
_STEPS = (
    _baseline("step", lambda fold: predict_steps(fold.train, fold.test, spans=())),
    _baseline(
        "surroundings",
        lambda fold: predict_steps(fold.train, fold.test, spans=SPANS),
        implies="statistics",
    ),
)


def _texts(model: Model, training: Training) -> tuple[FittedBaseline, ...]:
    def embeddings(fold: Fold) -> np.ndarray:
        return mean_of_embeddings(
            fold.train, fold.validation, fold.test, model, training, fold.build
        )

    return (
        _baseline("bag-of-words", lambda fold: predict_from_words(fold.train, fold.test)),
        _baseline("embeddings", embeddings, implies="statistics"),
    )


def measure(
    baseline: Baseline, labels: np.ndarray, predict: Callable[[], np.ndarray]
) -> BaselineResult:
    """Score ``predict()``, class indices ``(seeds, examples)`` or with several labels bool
    ``(seeds, examples, classes)``, against ``labels``.

    An exception becomes the result's ``error``: a failing baseline never aborts the comparison.
    """
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # A thousand iterations suffice for a baseline.
            warnings.simplefilter("ignore", ConvergenceWarning)
            predictions = predict()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return BaselineResult(baseline, time.perf_counter() - began, error=reason[:300])
    seconds = time.perf_counter() - began
    macro_f1 = [f1_score(labels, row, average="macro", zero_division=ZERO) for row in predictions]
    correct = predictions == labels
    if correct.ndim == 3:
        correct = correct.all(axis=2)
    return BaselineResult(baseline, seconds, correct, float(np.mean(macro_f1)))
