"""What training minimises."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.batches import Batch
from seqbelt.data.targets import UNLABELLED


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
