"""Controls that are fitted on the training rows, each on less than the cells read."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score
from sklearn.tree import DecisionTreeClassifier

from seqbelt.comparison.baselines.baseline import Control, ControlResult
from seqbelt.comparison.baselines.random_convolutions import random_convolutions
from seqbelt.comparison.baselines.signal_baselines import (
    SPANS,
    answer_from,
    answer_steps,
    statistics,
    statistics_in_time,
)
from seqbelt.comparison.baselines.text_baselines import bag_of_words, mean_of_embeddings
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.store import SequenceStore
from seqbelt.models.classifier import Model, SequenceNetwork
from seqbelt.training.hyperparameters import Training
from seqbelt.training.scoring import ZERO


@dataclass(frozen=True)
class Fold:
    """What the cells of one fold read, and what builds their untrained network."""

    train: Sequences
    validation: Sequences
    test: Sequences
    build: Callable[[], SequenceNetwork]


@dataclass(frozen=True)
class FittedControl(Control):
    """A control with ``answer``: fit on a fold's training rows, answers ``(test rows,)``."""

    answer: Callable[[Fold], np.ndarray]

    def run(self, folds: Sequence[Fold]) -> ControlResult:
        """Fit and answer on every fold; the folds' test rows are joined in their order."""
        labels = np.concatenate([example_labels(fold.test) for fold in folds])
        return measure(
            self, labels, lambda: np.concatenate([self.answer(fold) for fold in folds])[None]
        )


def fitted_controls(store: SequenceStore, model: Model, training: Training) -> list[FittedControl]:
    """The controls for token ids, for numbers or for labelled steps; those that know least come
    first.

    ``model`` and ``training`` are the cells': the mean of embeddings is trained as they are.
    """
    if store.target.name == "per_step":
        return [_MAJORITY, *_STEPS]
    return [_MAJORITY, _LENGTH, *(_texts(model, training) if store.is_tokens else _SIGNALS)]


def example_labels(sequences: Sequences) -> np.ndarray:
    """Class index of each example: of the sequences, or of their labelled steps."""
    return sequences.store.target.labels(sequences)


def _majority_class(fold: Fold) -> np.ndarray:
    most = np.bincount(example_labels(fold.train)).argmax()
    return np.full(len(example_labels(fold.test)), most)


def _length_only(fold: Fold) -> np.ndarray:
    # Ten rows in a leaf: a length that few rows have is chance.
    tree = DecisionTreeClassifier(min_samples_leaf=10, random_state=0)
    tree.fit(fold.train.lengths[:, None], fold.train.labels)
    return tree.predict(fold.test.lengths[:, None])


_MAJORITY = FittedControl(
    name="majority class",
    key="majority",
    about="The most frequent class of the training rows, whatever the sequence.",
    lesson="the best cell may have learned nothing",
    knows_order=False,
    answer=_majority_class,
)
_LENGTH = FittedControl(
    name="length only",
    key="length",
    about="How many steps a sequence has, by a decision tree.",
    lesson="the length may give the class away here",
    knows_order=False,
    answer=_length_only,
)
_SIGNALS = (
    FittedControl(
        name="summary statistics",
        key="statistics",
        about="Mean, deviation, extremes and quantiles of each feature over the steps, in no "
        "order, by logistic regression.",
        lesson="order may not matter here",
        knows_order=False,
        answer=lambda fold: answer_from(statistics, fold.train, fold.test),
    ),
    FittedControl(
        name="thirds and spectrum",
        key="spectrum",
        about="The summary statistics, the mean of each third of the steps and how fast each "
        "feature changes, by logistic regression.",
        lesson="no more than coarse order may matter here",
        knows_order=True,
        answer=lambda fold: answer_from(statistics_in_time, fold.train, fold.test),
    ),
    FittedControl(
        name="random convolutions",
        key="convolutions",
        about="How often and how far 2,000 random kernels answer (ROCKET), by ridge regression.",
        lesson="short patterns may matter here, and no memory beyond them",
        knows_order=True,
        answer=lambda fold: random_convolutions(fold.train, fold.test),
    ),
)
_STEPS = (
    FittedControl(
        name="single steps",
        key="step",
        about="The step itself, without what is around it, by logistic regression.",
        lesson="the steps may tell their classes alone here",
        knows_order=False,
        answer=lambda fold: answer_steps(fold.train, fold.test, spans=()),
    ),
    FittedControl(
        name="steps and their surroundings",
        key="surroundings",
        about="The step and the means of 9, 33 and 129 steps around it, in no order, by logistic "
        "regression.",
        lesson="order may not matter here",
        knows_order=False,
        answer=lambda fold: answer_steps(fold.train, fold.test, spans=SPANS),
    ),
)


def _texts(model: Model, training: Training) -> tuple[FittedControl, ...]:
    embeddings = partial(mean_of_embeddings, model=model, training=training)
    return (
        FittedControl(
            name="bag of words",
            key="bag-of-words",
            about="Which tokens and pairs of neighbours occur (tf-idf), by logistic regression.",
            lesson="order beyond neighbours may not matter here",
            knows_order=False,
            answer=lambda fold: bag_of_words(fold.train, fold.test),
        ),
        FittedControl(
            name="mean of embeddings",
            key="embeddings",
            about="Which tokens occur: the cells' network without its recurrent layer, trained "
            "as they are.",
            lesson="order may not matter here",
            knows_order=False,
            answer=lambda fold: embeddings(
                fold.train, fold.validation, fold.test, build=fold.build
            ),
        ),
    )


def measure(
    control: Control, labels: np.ndarray, answer: Callable[[], np.ndarray]
) -> ControlResult:
    """Score what ``answer`` gives, class indices ``(seeds, examples)``, against ``labels``.

    Whatever it raises becomes the result's ``error``: a control never costs the comparison.
    """
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # A thousand iterations are enough of a care for a control.
            warnings.simplefilter("ignore", ConvergenceWarning)
            answers = answer()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return ControlResult(control, time.perf_counter() - began, error=reason[:300])
    seconds = time.perf_counter() - began
    macro_f1 = [f1_score(labels, row, average="macro", zero_division=ZERO) for row in answers]
    return ControlResult(control, seconds, answers == labels, float(np.mean(macro_f1)))
