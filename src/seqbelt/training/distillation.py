"""Distillation from a bag of words: training targets that are partly another classifier's
probabilities (Hinton et al. 2015, arXiv:1503.02531).

A network learns the labels of a few thousand texts by heart. The probabilities of a bag of words
that was fitted without the row say which texts its words leave open, as uniform label smoothing
cannot. Nothing of it is needed to predict.
"""

import warnings
from functools import lru_cache

import numpy as np

from seqbelt.data.sequences import Sequences
from seqbelt.errors import SettingsError
from seqbelt.training.bag_of_words import bag_of_words, documents
from seqbelt.training.hyperparameters import Training

NUM_FOLDS = 5
"""The bag of words is fitted on four fifths of the rows for the last fifth."""
MIN_ROWS = 50
"""Fewer training rows keep their labels: a fifth of them teaches nothing."""


def training_targets(settings: Training, train: Sequences, is_tokens: bool) -> np.ndarray | None:
    """``soft_targets`` by the resolved ``settings``; None for the labels alone.

    Raises SettingsError where a bag of words cannot be fitted.
    """
    assert settings.distillation != "auto"
    if not settings.distillation:
        return None
    target = train.store.target
    if not is_tokens or target.name != "per_sequence" or target.is_ordered:
        raise SettingsError(
            "training.distillation: a bag of words needs token ids with one label each, of "
            "classes without an order; set it to auto or 0"
        )
    return soft_targets(train, settings.distillation, settings.class_weights or settings.sampling)


def soft_targets(
    train: Sequences, fraction: float, class_weight: str | None = None
) -> np.ndarray | None:
    """Targets float32 ``(rows, classes)`` of token ids: the labels, with a ``fraction`` replaced by
    the out-of-fold probabilities of a bag of words. None where nothing is replaced.

    Rows of a class with fewer rows than folds keep their label, which a fold may not have seen.
    ``class_weight`` is scikit-learn's.
    """
    labels, num_classes = train.labels, len(train.store.classes)
    counts = np.bincount(labels, minlength=num_classes)
    if not fraction or len(train) < MIN_ROWS or np.count_nonzero(counts >= NUM_FOLDS) < 2:
        return None
    texts = tuple(documents(train))
    probabilities = _out_of_fold(texts, tuple(labels.tolist()), num_classes, class_weight)
    if probabilities is None:
        return None
    targets = np.eye(num_classes, dtype=np.float32)[labels]
    taught = counts[labels] >= NUM_FOLDS
    targets[taught] += fraction * (probabilities[taught] - targets[taught])
    return targets


@lru_cache(maxsize=2)  # the cells and seeds of a comparison have the same training rows
def _out_of_fold(
    texts: tuple[str, ...], labels: tuple[int, ...], num_classes: int, class_weight: str | None
) -> np.ndarray | None:
    """Probabilities float32 ``(rows, classes)`` of each row by a bag of words of the other folds;
    None where the texts share no token."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer rows than folds
        try:
            found = cross_val_predict(
                bag_of_words(class_weight), texts, labels, cv=folds, method="predict_proba"
            )
        except ValueError:
            return None
    probabilities = np.zeros((len(texts), num_classes), np.float32)
    probabilities[:, np.unique(labels)] = np.asarray(found)
    return probabilities
