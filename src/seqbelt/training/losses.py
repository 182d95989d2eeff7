"""What training minimises."""

from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.targets import UNLABELLED


class MeanCrossEntropy(nn.Module):
    """Mean cross-entropy of a batch's examples, its sequences or its labelled steps; 0 without any.

    ``weights`` ``(classes,)`` scale the examples of each class. torch's own mean divides by the
    weights of the batch, which takes them back again where a batch holds one class.
    """

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.weights, self.label_smoothing = weights, label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``logits`` ``(batch, classes)`` or ``(batch, steps, classes)``; ``labels`` int64 of the
        same shape without the classes, or, of mixed sequences, float32 ``(batch, classes)``."""
        is_mixed = labels.is_floating_point()
        total = functional.cross_entropy(
            logits.flatten(0, -2),
            labels if is_mixed else labels.flatten(),
            weight=self.weights,
            ignore_index=UNLABELLED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        if is_mixed:
            return total / len(labels)
        return total / (labels != UNLABELLED).sum().clamp_min(1)
