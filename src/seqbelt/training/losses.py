"""What training minimises."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.batches import Batch
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sequences import Sequences


def without_labels(batch: Batch) -> Batch:
    """The same sequences, of which none counts."""
    nothing = 0 if batch.labels.is_floating_point() else UNLABELLED
    return batch._replace(labels=torch.full_like(batch.labels, nothing))


class MeanCrossEntropy(nn.Module):
    """Mean cross-entropy of a batch's examples, its sequences or its labelled steps; 0 without any.

    ``weights`` ``(classes,)`` scale the examples of each class. torch's own mean divides by the
    weights of the batch, which takes them back again where a batch holds one class.
    """

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.weights, self.label_smoothing = weights, label_smoothing

    def count(self, labels: Tensor) -> Tensor:
        """Examples among ``labels``, as a number on their device."""
        if labels.is_floating_point():
            return labels.sum().round().long()
        return (labels != UNLABELLED).sum()

    def forward(self, logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
        """``logits`` ``(batch, classes)`` or ``(batch, steps, classes)``; ``labels`` int64 of the
        same shape without the classes, or, of mixed sequences, float32 ``(batch, classes)``.
        ``count`` is of the whole batch where this is a part of it."""
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
    """Notes the running sums of the losses and gradient norms after each step of a pass.

    They are read when somebody asks, on a CPU at every step.
    """

    def __init__(self, totals: Tensor) -> None:
        self.totals = totals
        self.trace = totals.new_zeros(0)
        self.train: Sequences | None = None
        self.plan: list[np.ndarray] = []

    def begin(self, train: Sequences, plan: list[np.ndarray], first: int) -> None:
        """A pass begins, or goes on, with the batch ``first`` of a plan over ``train``."""
        self.train, self.plan, self.first, self.num_batches = train, plan, first, first
        self.trace = self.totals.new_zeros(len(plan))

    def record(self, batch_number: int) -> None:
        """Record the running sums after the step of a batch, counted from 0 within the pass."""
        self.trace[batch_number] = self.totals[:2].sum()
        self.num_batches = batch_number + 1

    def first_failure(self) -> str | None:
        """The first batch of the pass after which the sums are not finite, in words."""
        if math.isfinite(float(self.totals[:2].sum())) or self.train is None:
            return None
        bad = torch.nonzero(~torch.isfinite(self.trace[: self.num_batches])).flatten().tolist()
        number = bad[0] if bad else self.first
        rows = self.plan[number]
        ids = self.train.take(rows[:MAX_IDS]).column("id")
        more = f" and {len(rows) - MAX_IDS} more" if len(rows) > MAX_IDS else ""
        return f"batch {number + 1} of {len(self.plan)}: {', '.join(ids)}{more}"
