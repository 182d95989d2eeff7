"""Logits of many sequences, and the scores that summarise them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score, f1_score
from torch import nn

from seqbelt.data.batches import evaluation_plan, make_batch
from seqbelt.data.cropped_sequences import average_window_probabilities, cut_windows
from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.data.sequences import Sequences
from seqbelt.probabilities import log_softmax
from seqbelt.training.prefetch import load_batches
from seqbelt.training.step_scoring import predict_step_logits

STEPS_AT_ONCE = {"cuda": 65_536}
"""Padded steps per batch: a GPU is as fast for thousands of sequences as for one."""
ZERO: Any = 0  # scikit-learn accepts a number, its annotations do not
EACH: Any = None  # of the labels, likewise


@dataclass(frozen=True)
class Scores:
    """``accuracy`` and ``macro_f1`` in 0..1; ``loss`` is the mean cross-entropy in nats. With
    several labels ``accuracy`` is the fraction of rows whose labels are all right, and the loss
    the mean over the labels.

    Scores that the labels do not have are None and left out of ``to_dict``.
    """

    accuracy: float
    macro_f1: float
    loss: float
    mean_absolute_error: float | None = None
    """Of ordered classes: mean distance of prediction and label in classes."""
    quadratic_kappa: float | None = None
    """Of ordered classes: agreement beyond chance, weighted by squared distances (Cohen 1968,
    doi:10.1037/h0026256); at most 1."""

    micro_f1: float | None = None
    """Of several labels: F1 of all decisions together."""
    mean_average_precision: float | None = None
    """Of several labels: mean area under the precision-recall curve (average precision) of the
    labels that occur."""

    @property
    def deciding(self) -> tuple[str, float]:
        """The score that models are chosen by, and its value, or minus it, so that more is better:
        of ordered classes the mean absolute error, of several labels the mean average precision,
        else the accuracy."""
        if self.mean_absolute_error is not None:
            return "mean_absolute_error", -self.mean_absolute_error
        if self.mean_average_precision is not None:
            return "mean_average_precision", self.mean_average_precision
        return "accuracy", self.accuracy

    def sort_key(self, monitor: str) -> tuple[float, float]:
        """Key that is larger for better scores: of the one called ``monitor``, then of the loss."""
        monitored = getattr(self, monitor)
        return (-monitored if monitor == "loss" else monitored), -self.loss

    def to_dict(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def predict_logits(model: nn.Module, sequences: Sequences, device: torch.device) -> np.ndarray:
    """Logits float32 ``(examples, classes)`` in the sequences' order; no dropout.

    The examples are the sequences or, with labels for steps, the labelled steps.
    """
    if sequences.store.target.labels_steps:
        return predict_step_logits(model, sequences)
    was_training = model.training
    model.eval()
    windows, sequence_index = cut_windows(sequences)
    plan = evaluation_plan(windows.lengths, STEPS_AT_ONCE.get(device.type, 4096))
    if not plan:
        raise ValueError("no sequences to score")
    with torch.inference_mode():
        batches = load_batches(lambda rows: make_batch(windows, rows), plan, device)
        outputs = [model(batch.inputs, batch.lengths).float() for batch in batches]
        ordered = torch.cat(outputs).cpu().numpy()  # one synchronisation with a GPU
    model.train(was_training)
    logits = np.empty_like(ordered)
    logits[np.concatenate(plan)] = ordered
    return average_window_probabilities(logits, sequence_index, sequences.store.target.is_several)


def score(
    logits: np.ndarray,
    labels: np.ndarray,
    target: Target = TARGETS["per_sequence"],
    predictions: np.ndarray | None = None,
) -> Scores:
    """Scores of logits ``(examples, classes)`` against class indices ``(examples,)``, or with
    several labels bool ``(examples, classes)``.

    Macro-F1 is the mean over the classes that occur among labels or predictions. Where the
    target's classes are ordered, the scores have the errors in classes too. ``predictions``
    ``(examples,)`` are those of calibrated probabilities; without them the logits are taken as
    calibrated.
    """
    if predictions is None:
        predictions = target.predict(logits)
    if target.is_several:
        return _score_sets(logits, labels, predictions)
    log_probabilities = log_softmax(logits)
    return Scores(
        accuracy=float(accuracy_score(labels, predictions)),
        macro_f1=float(f1_score(labels, predictions, average="macro", zero_division=ZERO)),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        **(_ordered_scores(labels, predictions, logits.shape[1]) if target.is_ordered else {}),
    )


def _score_sets(logits: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> Scores:
    """Scores of several labels, bool ``(examples, classes)``. Macro-F1 is the mean over the labels
    that occur among true or predicted ones."""
    occurring = labels.any(axis=0) | predictions.any(axis=0)
    macro_f1 = 0.0
    if occurring.any():
        each = f1_score(labels, predictions, average=EACH, zero_division=ZERO)
        macro_f1 = float(np.mean(np.asarray(each)[occurring]))
    return Scores(
        accuracy=float((labels == predictions).all(axis=1).mean()),
        macro_f1=macro_f1,
        loss=float(binary_losses(logits, labels).mean()),
        micro_f1=float(f1_score(labels, predictions, average="micro", zero_division=ZERO)),
        mean_average_precision=mean_average_precision(logits, labels),
    )


def binary_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean binary cross-entropy of each row's labels in nats, ``(examples,)``."""
    signed = np.where(labels, logits, -np.asarray(logits, np.float64))
    return np.logaddexp(0, -signed).mean(axis=1)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the labels that occur of scikit-learn's average precision; 0 where none does.
    ``scores`` and bool ``labels`` ``(examples, classes)``."""
    occurring = np.flatnonzero(labels.any(axis=0))
    precisions = [
        average_precision_score(labels[:, column], scores[:, column]) for column in occurring
    ]
    return float(np.mean(precisions)) if precisions else 0.0


def _ordered_scores(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> dict[str, float]:
    kappa = cohen_kappa_score(
        labels, predictions, labels=np.arange(num_classes), weights="quadratic"
    )
    return {
        "mean_absolute_error": float(np.abs(labels - predictions).mean()),
        "quadratic_kappa": float(kappa) if np.isfinite(kappa) else 0.0,  # nan: one class alone
    }
