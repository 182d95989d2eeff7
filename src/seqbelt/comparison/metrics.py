"""Metrics by which cells are compared, what they are computed from, and scores by unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqbelt.texts import Text, text
from seqbelt.words import percent

Unit = Literal["row", "recording", "group"]
"""What is independent of the rest of its kind: a test row, a recording whose steps are scored, or a
group (speaker, subject, machine) that no training row is of."""
NAMES = ("accuracy", "macro_f1", "balanced_accuracy", "log_loss", "segmental_f1")
ORDERED_NAMES = ("mean_absolute_error", "quadratic_kappa")
"""Metrics of ordered classes."""
SEVERAL_NAMES = ("mean_average_precision", "micro_f1")
"""Metrics of several labels."""
UNITS = {"log_loss": "nats", "mean_absolute_error": "classes", "quadratic_kappa": "kappa"}
"""Units of the metrics that are not shown in per cent."""
RECALL = "recall:"
"""Prefix of a metric's name, before the label of the class."""
SEGMENT_OVERLAP = 2
"""Index of the overlap of 50 % among those of ``SegmentScores``."""


@dataclass(frozen=True)
class Metric:
    """A metric by name, as ``comparison.metric`` has it."""

    name: str

    @property
    def label(self) -> Text:
        """In a sentence, e.g. ``macro-F1``."""
        if self.name.startswith(RECALL):
            return text("metric_recall", name=self.name.removeprefix(RECALL))
        return text(f"metric_{self.name}")

    @property
    def is_fraction(self) -> bool:
        """Whether it lies in 0..1 and is shown in per cent."""
        return self.name not in UNITS

    @property
    def lower_is_better(self) -> bool:
        return self.name in ("log_loss", "mean_absolute_error")

    def value(self, number: float) -> Text:
        """E.g. ``91.2 %``."""
        return percent(number) if self.is_fraction else self._with_unit(f"{number:.3f}")

    def difference(self, number: float) -> Text:
        """A difference with its unit, e.g. ``+4.0 points``."""
        return self._with_unit(self.signed(number))

    def margin(self, number: float) -> Text:
        """E.g. ``1 point``."""
        if number == 0.01 and self.is_fraction:
            return text("in_point", value=1)
        return self._with_unit(f"{100 * number if self.is_fraction else number:g}")

    def _with_unit(self, number: str) -> Text:
        return text(f"in_{UNITS.get(self.name, 'points')}", value=number)

    def signed(self, number: float) -> str:
        """A difference without its unit, e.g. ``+4.0``."""
        num_decimals = 1 if self.is_fraction else 3
        shown = round(100 * number if self.is_fraction else number, num_decimals)
        return f"{shown + 0.0:+.{num_decimals}f}"  # adding 0 turns -0 into 0


ACCURACY = Metric("accuracy")
MACRO_F1 = Metric("macro_f1")
ERROR, KAPPA = (Metric(name) for name in ORDERED_NAMES)
AVERAGE_PRECISION, MICRO_F1 = (Metric(name) for name in SEVERAL_NAMES)


@dataclass(frozen=True)
class RunPredictions:
    """One model's predictions for the test examples; arrays ``(examples,)``."""

    labels: np.ndarray
    """True classes; with several labels this and ``predicted`` are bool ``(examples, classes)``."""
    predicted: np.ndarray
    losses: np.ndarray | None = None
    """Cross-entropy of each example in nats."""
    recordings: np.ndarray | None = None
    """Number of the recording that each example is a step of, from 0."""
    segments: np.ndarray | None = None
    """Segments of each recording, ``(recordings, 3)``: number predicted correctly (at an overlap of
    50 %), predicted, and true."""
    scores: np.ndarray | None = None
    """With several labels: scores ``(examples, classes)`` by which rows are ranked for a label."""

    @property
    def correct(self) -> np.ndarray:
        right = self.labels == self.predicted
        return right.all(axis=1) if right.ndim == 2 else right

    @classmethod
    def joined(cls, parts: "Sequence[RunPredictions]") -> "RunPredictions":
        """The predictions of several folds as one."""

        def join(name: str) -> np.ndarray | None:
            values = [getattr(part, name) for part in parts]
            return None if any(value is None for value in values) else np.concatenate(values)

        recordings = None
        if all(part.recordings is not None for part in parts):
            counts = [0 if part.segments is None else len(part.segments) for part in parts]
            starts = np.cumsum([0, *counts[:-1]])
            recordings = np.concatenate(
                [start + part.recordings for start, part in zip(starts, parts, strict=True)]
            )
        labels, predicted = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("labels", "predicted")
        )
        return cls(labels, predicted, join("losses"), recordings, join("segments"), join("scores"))


@dataclass(frozen=True)
class Scored:
    """The scores of all cells by one metric."""

    metric: Metric
    cells: Mapping[str, np.ndarray]
    """For each cell ``(seeds, examples)``; where the metric is no mean over examples, ``(seeds,
    units)``."""
    groups: np.ndarray | None = None
    """Group of each example, ``(examples,)``, where groups and not examples are the units."""
    unit: Unit = "row"
    num_examples: int = 0
    """Test examples that are scored; 0 means as many as there are scores of a seed."""

    def __post_init__(self) -> None:
        if not self.num_examples:
            object.__setattr__(self, "num_examples", next(iter(self.cells.values())).shape[1])

    @property
    def num_units(self) -> int:
        if self.groups is not None:
            return len(np.unique(self.groups))
        return next(iter(self.cells.values())).shape[1]
