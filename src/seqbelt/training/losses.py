"""The loss, and the detection of losses that are not finite."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.batches import Batch
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sequences import Sequences


def without_labels(batch: Batch) -> Batch:
    """The batch with all labels masked, so that it adds nothing to the loss."""
    masked = 0 if batch.labels.is_floating_point() else UNLABELLED
    return batch._replace(labels=torch.full_like(batch.labels, masked))


class MeanCrossEntropy(nn.Module):
    """Mean cross-entropy over a batch's sequences or labelled steps; 0 if there are none.

    ``weights`` ``(classes,)`` scale the examples of each class. torch's mean reduction divides by
    the sum of the batch's weights, which undoes them in a batch of one class.
    """

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.weights, self.label_smoothing = weights, label_smoothing

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
