"""The record of a training, epoch by epoch."""

from dataclasses import dataclass, field
from typing import Any

from seqbelt.training.scoring import Scores


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch."""

    number: int
    train_loss: float
    learning_rate: float
    gradient_norm: float
    """Mean over the epoch's steps, before clipping."""
    clipped: float
    """Fraction of steps whose gradient was clipped."""
    train_s: float
    validation: Scores | None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Epoch":
        """An epoch from its ``dataclasses.asdict``."""
        scores = values["validation"]
        return cls(**{**values, "validation": None if scores is None else Scores(**scores)})


@dataclass
class History:
    """The record of a training. ``best_epoch`` counts from 1; the model has its weights. Without
    ``kept_best`` it is the last epoch."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    kept_best: bool = False
    """Whether the validation rows chose the weights."""
    interrupted: bool = False
    fill: float = 1.0
    """Valid steps divided by padded steps."""
    flops: float = 0.0
    """Floating-point operations of the recurrent layers in one epoch, forward and backward."""
    padded_flops: float = 0.0
    """Additional operations on padded steps; 0 where the layout skips them."""
    reaches: list[tuple[int, list[float]]] = field(default_factory=list)
    """``GradientReach.curve`` before training (epoch 0) and after epochs 1, 2, 4, 8, …"""
    least_loss: float | None = None
    """Least training loss that any network can have, where targets are partly another classifier's
    probabilities."""
    layout: str = ""
    device: str = ""
    train_s: float = 0.0

    def stale_epochs(self, monitor: str) -> int:
        """Epochs since the best validation score, by ``Scores.sort_key``."""
        keys = [epoch.validation.sort_key(monitor) for epoch in self.epochs if epoch.validation]
        return len(keys) - 1 - keys.index(max(keys)) if keys else 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "History":
        """A history from its ``dataclasses.asdict``."""
        epochs = [Epoch.from_dict(epoch) for epoch in values["epochs"]]
        reaches = [(number, curve) for number, curve in values["reaches"]]
        return cls(**{**values, "epochs": epochs, "reaches": reaches})
