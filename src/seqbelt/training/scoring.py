"""Logits of many sequences, and the scores that summarise them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score
from torch import nn

from seqbelt.data.batches import evaluation_plan, make_batch
from seqbelt.data.cropping import average_window_probabilities, cut_windows
from seqbelt.data.labels.targets import TARGETS, Target
from seqbelt.data.sequences import Sequences
from seqbelt.training.prefetch import load_batches
from seqbelt.training.step_scoring import predict_step_logits

STEPS_AT_ONCE = {"cuda": 65_536}
"""Padded steps per batch: a GPU is as fast for thousands of sequences as for one."""
ZERO: Any = 0  # scikit-learn accepts a number, its annotations do not


@dataclass(frozen=True)
class Scores:
    """``accuracy`` and ``macro_f1`` in 0..1; ``loss`` is the mean cross-entropy in nats.

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

    def to_dict(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def predict_logits(model: nn.Module, sequences: Sequences, device: torch.device) -> np.ndarray:
    """Logits float32 ``(examples, classes)`` in the sequences' order; no dropout.

    The examples are the sequences or, with labels for steps, the labelled steps.
    """
    if sequences.store.target.name == "per_step":
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
    return average_window_probabilities(logits, sequence_index)


def score(
    logits: np.ndarray,
    labels: np.ndarray,
    target: Target = TARGETS["per_sequence"],
    predictions: np.ndarray | None = None,
) -> Scores:
    """Scores of logits ``(examples, classes)`` against class indices ``(examples,)``.

    Macro-F1 is the mean over the classes that occur among labels or predictions. Where the
    target's classes are ordered, the scores have the errors in classes too. ``predictions``
    ``(examples,)`` are those of calibrated probabilities; without them the logits are taken as
    calibrated.
    """
    if predictions is None:
        predictions = target.predict(logits)
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return Scores(
        accuracy=float(accuracy_score(labels, predictions)),
        macro_f1=float(f1_score(labels, predictions, average="macro", zero_division=ZERO)),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        **(_ordered_scores(labels, predictions, logits.shape[1]) if target.is_ordered else {}),
    )


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
