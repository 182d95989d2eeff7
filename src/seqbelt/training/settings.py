"""The ``training`` section: how a model is trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seqbelt.data.store import Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.settings import Seed, Settings
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.device import Device, Precision
from seqbelt.training.gradient_reach import GradientReach
from seqbelt.training.history import Epoch, History

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Training(Settings):
    """How a model is trained."""

    num_epochs: Count = 30
    """Passes over the training rows, at most."""
    batch_size: Count = 32
    """Sequences per step."""
    learning_rate: Positive = 3e-3
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    """Course of the learning rate: constant; falling to zero along a cosine; or rising to the
    peak over the first quarter and then falling."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; null does not clip."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread evenly over the classes."""
    class_weights: Literal["balanced"] | None = None
    """Balanced: the rows of a rare class weigh more in the loss, so that all classes weigh the
    same. null: every row weighs the same."""
    sampling: Literal["balanced"] | None = None
    """Balanced: an epoch reads as many rows of each class, those of a rare class several times.
    null: every row once."""
    patience: Count | None = None
    """Epochs without a better validation score before training stops; null never stops early."""
    monitor: Literal["loss", "accuracy", "macro_f1"] = "loss"
    """Validation score that chooses the best epoch."""
    bucket_batches: Count = 16
    """Batches that are sorted by length together; 1 is fully random."""
    augmentation: Augmentation = Augmentation()
    """How training rows are changed before they are read."""
    seed: Seed = 0
    """Seed of weights, dropout, shuffling and augmentation."""
    precision: Precision = "float32"
    """Arithmetic of the network; weights are always kept in float32. tf32, on a GPU,
    rounds the factors of products to ten bits after the point."""
    device: Device = "auto"
    """Where to train; auto takes a GPU where there is one."""
    cuda_graphs: bool = True
    """Record the steps on a GPU and replay them, where the layout is padded. false launches kernel
    by kernel, for profilers and hooks; the results differ by rounding and by what dropout draws."""
    chunk_steps: Count | None = None
    """Steps of a sequence whose activations are kept in memory at a time, for sequences that
    would not fit: the state is carried from chunk to chunk, and each chunk is computed twice.
    The gradient stays exact. null keeps all."""
    truncate_gradient: bool = False
    """Stop the gradient where a chunk begins (truncated back-propagation through time): quicker
    with model.pooling last, but what must be carried for longer than a chunk is hardly learned."""

    def fit(
        self,
        build: Callable[[], SequenceNetwork],
        train: Sequences,
        validation: Sequences | None,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        on_start: Callable[[GradientReach], object] = lambda reach: None,
        on_epoch: Callable[[Epoch], object] = lambda epoch: None,
        on_step: Callable[[], object] = lambda: None,
    ) -> tuple[SequenceNetwork, History]:
        """Build a model and train it; return it on its device with its best weights.

        With a ``checkpoint`` path the state is saved every epoch, every minute and on Ctrl-C or
        SIGTERM; ``resume`` goes on from there to the very result of an undisturbed run. Before
        the first step ``on_start`` is told how far the untrained model's gradient reaches. Raises
        SeqbeltError when the loss is no longer finite.
        """
        from seqbelt.training.loop import Loop

        run = Loop(self, build, train, validation, checkpoint, on_epoch, on_step)
        on_start(run.reach)
        return run.run(resume)

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when a share ``progress`` in 0..1 of all steps is done."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "one_cycle":
            rising = 0.25
            if progress < rising:
                return self.learning_rate * (0.05 + 0.95 * progress / rising)
            progress = (progress - rising) / (1 - rising)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
