"""Default regularisation and training budget for each kind of sequence.

``auto`` in the sections ``model`` and ``training`` means these values. They
were chosen on one half of the sets of ``benchmarks/board.py`` and are reported on the other half
as well (docs/results.md, docs/decisions/024-defaults-by-kind.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KindDefaults:
    """Default values for one kind of sequence."""

    dropout: float
    input_dropout: float
    embedding_dropout: float
    label_smoothing: float
    distillation: float
    num_passes: int
    """Passes over the training rows, within the bounds on updates."""
    min_updates: int
    max_updates: int
    """Bounds on the updates; a large set is still read at least ``MIN_PASSES`` times."""
    augmentation: Mapping[str, float] = field(default_factory=dict)
    spectrum_augmentation: Mapping[str, float] = field(default_factory=dict)
    """Added where the features are the bands of a spectrum."""
    few_rows: int = 0
    """With fewer training rows the following three values count."""
    few_rows_augmentation: Mapping[str, float] = field(default_factory=dict)
    """Added unless the features are the bands of a spectrum."""
    few_rows_networks: int = 1
    """Networks whose probabilities are averaged, where a sequence has one label."""
    few_rows_updates: int = 0
    """Updates of each of them, where there are several."""

    def num_updates(self, num_rows: int, batch_size: int, is_averaged: bool) -> int:
        """Updates of each network; ``is_averaged`` where there are the several for few rows."""
        if is_averaged:
            return self.few_rows_updates
        num_batches = -(-num_rows // batch_size)
        wanted = max(self.num_passes * num_batches, self.min_updates)
        return min(wanted, max(self.max_updates, MIN_PASSES * num_batches))

    def augmentation_for(
        self, num_rows: int, is_spectrum: bool, labels_steps: bool, is_interpolable: bool
    ) -> dict[str, float]:
        """Settings of the augmentation for so many training rows; those that are not
        ``is_interpolable`` are not moved in time, and those with a label for every step not
        mixed."""
        extra: Mapping[str, float] = {}
        if is_spectrum:
            extra = self.spectrum_augmentation
        elif num_rows < self.few_rows:
            extra = self.few_rows_augmentation
        without = {"mixup_alpha"} if labels_steps else set[str]()
        without |= set() if is_interpolable else {"time_stretch", "time_warp"}
        every = {**self.augmentation, **extra}
        return {name: value for name, value in every.items() if name not in without}


MIN_PASSES = 3
"""Smallest number of passes over a large set."""

NUMBERS = KindDefaults(
    dropout=0.3,
    input_dropout=0.0,
    embedding_dropout=0.0,
    label_smoothing=0.05,
    distillation=0.0,
    num_passes=40,
    min_updates=1500,
    max_updates=2500,
    augmentation={
        "time_stretch": 0.1,
        "time_warp": 0.1,
        "scale_std": 0.1,
        "noise_std": 0.05,
        "mixup_alpha": 0.2,
    },
    spectrum_augmentation={"frequency_warp": 0.2, "equalizer_std": 0.5},
    few_rows=500,
    few_rows_augmentation={"feature_dropout": 0.5},
    few_rows_networks=3,
    few_rows_updates=750,
)
TOKENS = KindDefaults(
    dropout=0.5,
    input_dropout=0.3,
    embedding_dropout=0.1,
    label_smoothing=0.1,
    distillation=0.3,
    num_passes=10,
    min_updates=1000,
    max_updates=6000,
)


def defaults_for(is_tokens: bool) -> KindDefaults:
    """The defaults for token ids or for numeric sequences."""
    return TOKENS if is_tokens else NUMBERS
