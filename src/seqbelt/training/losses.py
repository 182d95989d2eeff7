"""What training minimises."""

from torch import Tensor, nn
from torch.nn import functional

from seqbelt.data.targets import UNLABELLED
from seqbelt.models.classifier import SequenceClassifier


class StepLoss(nn.Module):
    """Mean cross-entropy of the labelled steps of a batch; 0 where it has none."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``logits`` ``(batch, steps, classes)``, ``labels`` int64 ``(batch, steps)``."""
        total = functional.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            ignore_index=UNLABELLED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / (labels != UNLABELLED).sum().clamp_min(1)


def make_loss(network: SequenceClassifier, label_smoothing: float) -> nn.Module:
    """The cross-entropy of what the network classifies."""
    if network.labels_steps:
        return StepLoss(label_smoothing)
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
