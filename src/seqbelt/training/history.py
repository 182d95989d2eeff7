"""What a training did, epoch by epoch."""

from dataclasses import dataclass, field

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


@dataclass
class History:
    """What training did. ``best_epoch`` counts from 1; its weights are in the model."""

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False
    fill: float = 1.0
    """Valid steps divided by padded steps."""
    flops: float = 0.0
    """Floating-point operations of the recurrent layers in one epoch, forwards and backwards."""
    padded_flops: float = 0.0
    """Those that padded steps cost beyond; none where the layout computes none of them."""
    layout: str = ""
    device: str = ""
    train_s: float = 0.0
