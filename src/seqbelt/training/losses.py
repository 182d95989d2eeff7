"""The loss, and the detection of losses that are not finite."""

import math

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.batches import Batch
from seqbelt.data.class_balance import class_weights, label_weights
from seqbelt.data.labels.targets import UNLABELLED, Target
from seqbelt.data.sequences import Sequences


class MeanCrossEntropy(nn.Module):
    """Mean cross-entropy over a batch's sequences or labelled steps; 0 if there are none.

    ``weights`` ``(classes,)`` scale the examples of each class. torch's mean reduction divides by
    the sum of the batch's weights, which undoes them in a batch of one class.
    """

    weights: Tensor | None

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.label_smoothing = label_smoothing

    def without_labels(self, batch: Batch) -> Batch:
        """The batch with all labels masked, so that it adds nothing to the loss."""
        masked = 0 if batch.labels.is_floating_point() else UNLABELLED
        return batch._replace(labels=torch.full_like(batch.labels, masked))

    def count(self, labels: Tensor) -> Tensor:
        """Number of examples among ``labels``, as a tensor on their device."""
        if labels.is_floating_point():
            return labels.sum().round().long()
        return (labels != UNLABELLED).sum()

    def forward(self, logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
        """``logits`` ``(batch, classes)`` or ``(batch, steps, classes)``; ``labels`` int64 of the
        same shape without the classes, or float32 probabilities ``(batch, classes)`` after mixup.
        ``count`` is that of the full batch where this is a piece of it."""
        total = functional.cross_entropy(
            logits.flatten(0, -2),
            labels if labels.is_floating_point() else labels.flatten(),
            weight=self.weights,
            ignore_index=UNLABELLED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / (self.count(labels).clamp_min(1) if count is None else count)


class OrderedCrossEntropy(MeanCrossEntropy):
    """Mean cross-entropy plus the squared earth mover's distance of ordered classes (Hou et al.
    2016, arXiv:1611.05916): the squared differences of the cumulative probabilities.

    Both are least at the true probabilities, so those stay calibrated.
    """

    def forward(self, logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
        cross_entropy = super().forward(logits, labels, count)
        targets = labels
        if not labels.is_floating_point():
            targets = functional.one_hot(labels.clamp_min(0), logits.shape[-1]).to(logits.dtype)
        gaps = logits.softmax(-1).cumsum(-1) - targets.cumsum(-1)
        distances = gaps.square().sum(-1)
        if labels.is_floating_point():
            distances = distances * labels.sum(-1)  # 0 where the labels are masked
        else:
            weights = 1.0 if self.weights is None else self.weights[labels.clamp_min(0)]
            distances = (distances * weights).masked_fill(labels == UNLABELLED, 0)
        total = distances.sum()
        mean = total / (self.count(labels).clamp_min(1) if count is None else count)
        return cross_entropy + DISTANCE_WEIGHT * mean


class MeanBinaryCrossEntropy(MeanCrossEntropy):
    """Mean binary cross-entropy over a batch's sequences and labels; 0 if there are none.

    ``weights`` ``(2, classes)`` scale the rows without and with each label. Smoothed targets are
    nearer to one half.
    """

    def without_labels(self, batch: Batch) -> Batch:
        return batch._replace(labels=torch.full_like(batch.labels, -1))

    def count(self, labels: Tensor) -> Tensor:
        return (labels[:, 0] >= 0).sum()

    def forward(self, logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
        """``logits`` and float32 ``labels`` in 0..1 ``(batch, classes)``; mixup makes fractions."""
        is_labelled = (labels >= 0).to(logits.dtype)
        targets = labels.clamp_min(0) * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.weights is not None:
            without, with_label = self.weights
            losses = losses * torch.lerp(without, with_label, labels.clamp_min(0))
        total = (losses * is_labelled).sum() / logits.shape[-1]
        return total / (self.count(labels).clamp_min(1) if count is None else count)


DISTANCE_WEIGHT = 4.0
"""Of the distance beside the cross-entropy; measured (docs/decisions/029)."""


def make_loss(
    train: Sequences, num_classes: int, is_balanced: bool, label_smoothing: float
) -> MeanCrossEntropy:
    """The loss for the labels of the training rows, in which all classes weigh the same if it
    ``is_balanced``."""
    target, weights = train.store.target, None
    if is_balanced:
        labels = target.labels(train)
        given = label_weights(labels) if target.is_several else class_weights(labels, num_classes)
        weights = torch.from_numpy(given).float()
    if target.is_several:
        return MeanBinaryCrossEntropy(weights, label_smoothing)
    kind = OrderedCrossEntropy if target.is_ordered else MeanCrossEntropy
    return kind(weights, label_smoothing)


def least_loss(targets: np.ndarray, label_smoothing: float) -> float:
    """The least mean cross-entropy for ``targets`` ``(..., classes)``, which are probabilities."""
    smoothed = targets + label_smoothing * (1 / targets.shape[-1] - targets)
    return float(entr(smoothed).sum(-1).mean())


def chance_loss(target: Target, frequencies: np.ndarray) -> float:
    """The loss of the ``frequencies`` ``(classes,)`` as prediction for every row."""
    if target.is_several:
        return float((entr(frequencies) + entr(1 - frequencies)).mean())
    entropy = float(entr(frequencies).sum())
    if not target.is_ordered:
        return entropy
    cumulative = frequencies.cumsum()
    return entropy + DISTANCE_WEIGHT * float((cumulative * (1 - cumulative)).sum())


MAX_IDS = 8


class NonFiniteLossDetector:
    """Records the running sums of losses and gradient norms after each step of a pass.

    The sums stay on the device until ``first_failure`` reads them.
    """

    def __init__(self, totals: Tensor) -> None:
        self.totals = totals
        self.trace = totals.new_zeros(0)
        self.train: Sequences | None = None
        self.plan: list[np.ndarray] = []

    def begin(self, train: Sequences, plan: list[np.ndarray], first: int) -> None:
        """Start, or resume, a pass at batch ``first`` of a plan over ``train``."""
        self.train, self.plan, self.first, self.num_batches = train, plan, first, first
        self.trace = self.totals.new_zeros(len(plan))

    def record(self, batch_number: int) -> None:
        """Record the running sums after the step of a batch, counted from 0 within the pass."""
        self.trace[batch_number] = self.totals[:2].sum()
        self.num_batches = batch_number + 1

    def first_failure(self) -> str | None:
        """Number and ids of the first batch after which the sums are not finite; None if all
        are."""
        if math.isfinite(float(self.totals[:2].sum())) or self.train is None:
            return None
        bad = torch.nonzero(~torch.isfinite(self.trace[: self.num_batches])).flatten().tolist()
        number = bad[0] if bad else self.first
        rows = self.plan[number]
        ids = self.train.take(rows[:MAX_IDS]).column("id")
        more = f" and {len(rows) - MAX_IDS} more" if len(rows) > MAX_IDS else ""
        return f"batch {number + 1} of {len(self.plan)}: {', '.join(ids)}{more}"
