"""The ``training`` section: how a model is trained."""

import math
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field

from seqbelt.data.sequences import Sequences, is_interpolable
from seqbelt.models.kind_defaults import defaults_for
from seqbelt.settings import Count, Positive, Seed, Settings
from seqbelt.training.augmentation import Augmentation
from seqbelt.words import count_of

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "tf32", "bf16"]
BATCH_SIZE, MIN_BATCH_SIZE, MIN_BATCHES = 32, 8, 4
"""``batch_size: auto``: ``BATCH_SIZE`` rows, or fewer if that makes less than ``MIN_BATCHES``."""
LABELLED_STEPS = 4096
"""Steps in a batch at which ``batch_size: auto`` aims where every step has a label: long sequences
have enough labels."""
MIN_LABELLED_BATCH_SIZE = 4
FOR_ONE_INPUT = {"augmentation": "none", "distillation": 0.0, "num_networks": 1}
"""What ``auto`` means with several inputs, for settings that are chosen for one sequence."""
MAX_EPOCHS = 30
"""Epochs into which ``num_updates`` are divided; each ends with a validation."""


def _default_batch_size(num_rows: int, labelled_steps: float | None) -> int:
    """``batch_size: auto``, where ``labelled_steps`` of a row have a label on average, or None of
    them."""
    batch_size = min(BATCH_SIZE, max(MIN_BATCH_SIZE, num_rows // MIN_BATCHES))
    if labelled_steps is None:
        return batch_size
    bound = max(MIN_LABELLED_BATCH_SIZE, round(LABELLED_STEPS / labelled_steps))
    return min(batch_size, bound)


class TrainingPlan(NamedTuple):
    """The number of batches, passes over the training rows and epochs of a training."""

    batch_size: int
    num_batches: int
    """Batches per pass."""
    passes_per_epoch: int
    num_epochs: int
    num_networks: int = 1
    """Networks that are trained so, one after another."""

    @property
    def num_updates(self) -> int:
        """Steps of the optimizer for each network."""
        return self.num_batches * self.passes_per_epoch * self.num_epochs

    @property
    def sentence(self) -> str:
        """The plan as a sentence."""
        passes = f" (each reads all rows {self.passes_per_epoch} times)"
        several = f"{self.num_networks} networks to average, each by " * (self.num_networks > 1)
        updates = count_of(self.num_updates, "update")
        return (
            f"{several}{updates} of {count_of(self.batch_size, 'sequence')}, "
            f"in {count_of(self.num_epochs, 'epoch')}{passes if self.passes_per_epoch > 1 else ''}"
        )


class Training(Settings):
    """How a model is trained."""

    num_epochs: Count | None = None
    """Passes over the training rows, at most; null trains for ``num_updates``."""
    num_updates: Literal["auto"] | Count = "auto"
    """Steps of the optimizer for each network, where ``num_epochs`` is null; auto takes them from
    the number of training rows, between a floor for small sets and a ceiling for large ones. A
    small set's epoch is then several passes over its rows."""
    num_networks: Literal["auto"] | Count = "auto"
    """Networks trained one after another from different seeds; a prediction is the mean of their
    probabilities. auto trains several, with fewer updates each, where there are few rows of numbers
    with one label and the number of updates is auto as well."""
    batch_size: Literal["auto"] | Count = "auto"
    """Sequences per step; auto takes fewer where there are few training rows, and where every step
    of long sequences has a label."""
    learning_rate: Positive = 3e-3
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    """Course of the learning rate: constant; falling to zero along a cosine; or rising to the
    peak over the first quarter and then falling."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; null does not clip."""
    label_smoothing: Literal["auto"] | Annotated[float, Field(ge=0, lt=1)] = "auto"
    """Fraction of the target spread evenly over the classes; auto takes the default of the kind of
    sequence, and 0 with several labels."""
    distillation: Literal["auto"] | Annotated[float, Field(ge=0, lt=1)] = "auto"
    """Fraction of the target taken from a bag of words that was fitted without the row, for token
    ids with one label; auto takes the default of the kind of sequence, and 0 where classes have an
    order."""
    class_weights: Literal["balanced"] | None = None
    """Balanced: the rows of a rare class weigh more in the loss, so that all classes weigh the
    same. null: every row weighs the same."""
    sampling: Literal["balanced"] | None = None
    """Balanced: an epoch reads equally many rows of each class, those of a rare class repeatedly.
    null: every row once."""
    patience: Count | None = None
    """Epochs without a better validation score before training stops; null never stops early."""
    keep: Literal["auto", "last", "best"] = "auto"
    """Which weights are kept: the last ones, or those of the best epoch on the validation rows.
    auto keeps the last where the learning rate falls to zero, and otherwise the best, provided
    that there are enough validation rows, of every class, to choose by."""
    monitor: Literal["loss", "accuracy", "macro_f1"] = "accuracy"
    """Validation score that chooses the best epoch; ties go to the lower loss."""
    bucket_batches: Count = 16
    """Batches that are sorted by length together; 1 is fully random."""
    augmentation: Literal["auto", "none"] | Augmentation = "auto"
    """Random changes of the training rows; auto takes the default of the kind of sequence."""
    seed: Seed = 0
    """Seed of weights, dropout, shuffling and augmentation."""
    precision: Precision = "float32"
    """Arithmetic of the network; weights are always stored in float32. tf32, on a GPU, rounds the
    factors of products to a mantissa of 10 bits."""
    device: Device = "auto"
    """Where to train; auto takes a GPU where there is one."""
    cuda_graphs: bool = True
    """Record the steps on a GPU as CUDA graphs and replay them, where the layout is padded. false
    launches each kernel, for profilers and hooks; the results differ by rounding and dropout."""
    chunk_steps: Count | None = None
    """Steps of a sequence whose activations are kept in memory at a time, for sequences that
    would not fit: the state is carried from chunk to chunk, and each chunk is computed twice.
    The gradient stays exact. null keeps all."""
    truncate_gradient: bool = False
    """Stop the gradient at the start of a chunk (truncated back-propagation through time): faster
    with model.pooling last, but dependencies longer than a chunk are hardly learned."""

    @property
    def wants_best(self) -> bool:
        """Whether the validation rows are to choose an epoch: they are asked to, or the learning
        rate does not fall to zero, so that the last weights need not have converged."""
        if self.keep != "auto":
            return self.keep == "best"
        return self.schedule == "constant" or self.patience is not None

    def resolve(
        self,
        num_rows: int,
        is_tokens: bool,
        labels_steps: bool = False,
        is_spectrum: bool = False,
        mean_steps: float = 1.0,
        is_interpolable: bool = True,
        is_several: bool = False,
        is_ordered: bool = False,
    ) -> Self:
        """The settings with every ``auto`` except ``keep`` replaced by its value, for ``num_rows``
        training rows of token ids or of numbers with ``mean_steps`` steps on average.

        Rows that are not ``is_interpolable`` are not moved in time. Several labels of a row
        (``is_several``) are not smoothed.
        """
        defaults = defaults_for(is_tokens)
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = _default_batch_size(num_rows, mean_steps if labels_steps else None)
        chooses_updates = self.num_epochs is None and self.num_updates == "auto"
        is_averaged = chooses_updates and self.num_networks == "auto"
        is_averaged &= num_rows < defaults.few_rows and not (is_several or labels_steps)
        has_one_label = not (is_several or labels_steps or is_ordered)
        augmentation = {}
        if self.augmentation == "auto":
            augmentation = defaults.augmentation_for(
                num_rows, is_spectrum, labels_steps, is_interpolable
            )
        values = {
            "batch_size": batch_size,
            "num_networks": defaults.few_rows_networks if is_averaged else 1,
            "num_updates": defaults.num_updates(num_rows, batch_size, is_averaged),
            "label_smoothing": 0.0 if is_several else defaults.label_smoothing,
            "distillation": defaults.distillation if has_one_label else 0.0,
            "augmentation": augmentation,
        }
        if not chooses_updates:
            del values["num_updates"]
        return self.replace(**{
            name: value
            for name, value in values.items()
            if getattr(self, name) in ("auto", "none")
        })  # fmt: skip

    def resolve_for(
        self,
        train: Sequences,
        is_tokens: bool,
        labels_steps: bool = False,
        is_spectrum: bool = False,
    ) -> Self:
        """``resolve`` for these training rows, from which what else it needs is measured."""
        if (layout := train.store.layout) is not None:
            is_tokens = layout.has_only_tokens
            unset = [name for name in FOR_ONE_INPUT if getattr(self, name) == "auto"]
            if unset:
                changed = self.replace(**{name: FOR_ONE_INPUT[name] for name in unset})
                return changed.resolve_for(train, is_tokens)
        asks = self.augmentation == "auto" and not is_tokens
        return self.resolve(
            len(train),
            is_tokens,
            labels_steps,
            is_spectrum,
            mean_steps=float(np.mean(train.lengths)),
            is_interpolable=is_interpolable(train) if asks else True,
            is_several=train.store.target.is_several,
            is_ordered=train.store.target.is_ordered,
        )

    @property
    def moves_in_time(self) -> bool:
        """Whether the augmentation stretches or warps the time axis."""
        augmentation = self.augmentation
        return isinstance(augmentation, Augmentation) and bool(
            augmentation.time_stretch or augmentation.time_warp
        )

    def plan(self, num_rows: int) -> "TrainingPlan":
        """The plan of resolved settings for ``num_rows`` training rows."""
        assert self.batch_size != "auto" and self.num_networks != "auto", "resolve() comes first"
        num_batches = max(1, -(-num_rows // self.batch_size))
        if self.num_epochs is not None:
            return TrainingPlan(self.batch_size, num_batches, 1, self.num_epochs, self.num_networks)
        assert self.num_updates != "auto", "resolve() comes first"
        num_passes = max(1, round(self.num_updates / num_batches))
        passes_per_epoch = -(-num_passes // MAX_EPOCHS)
        num_epochs = max(1, round(num_passes / passes_per_epoch))
        return TrainingPlan(
            self.batch_size, num_batches, passes_per_epoch, num_epochs, self.num_networks
        )

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate after a fraction ``progress``, 0..1, of all steps."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "one_cycle":
            rising = 0.25
            if progress < rising:
                return self.learning_rate * (0.05 + 0.95 * progress / rising)
            progress = (progress - rising) / (1 - rising)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
