"""What a training did, epoch by epoch."""

from dataclasses import dataclass, field
from typing import Any

from seqbelt.training.scoring import Scores


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    number: int
    train_loss: float
    learning_rate: float
    gradient_norm: float
    """Mean over the epoch's steps, before clipping."""
    clipped: float
    """Share of steps whose gradient was clipped."""
    train_s: float
    validation: Scores | None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Epoch":
        """An epoch from what ``dataclasses.asdict`` made of one."""
        scores = values["validation"]
        return cls(**{**values, "validation": None if scores is None else Scores(**scores)})


@dataclass
class History:
    """What training did. ``best_epoch`` counts from 1; its weights are in the model. Unless
    ``kept_best`` it is the last one."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    kept_best: bool = False
    """Whether the validation rows chose the weights."""
    interrupted: bool = False
    fill: float = 1.0
    """Valid steps divided by padded steps."""
    flops: float = 0.0
    """Floating-point operations of the recurrent layers in one epoch, forwards and backwards."""
    padded_flops: float = 0.0
    """Those that padded steps cost beyond; none where the layout computes none of them."""
    reaches: list[tuple[int, list[float]]] = field(default_factory=list)
    """The gradient's norm k steps before the end relative to the end's, after some epochs: before
    the first one (0) and after the first, second, fourth, eighth, …"""
    layout: str = ""
    device: str = ""
    train_s: float = 0.0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "History":
        """A history from what ``dataclasses.asdict`` made of one."""
        epochs = [Epoch.from_dict(epoch) for epoch in values["epochs"]]
        reaches = [(number, curve) for number, curve in values["reaches"]]
        return cls(**{**values, "epochs": epochs, "reaches": reaches})
