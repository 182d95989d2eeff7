"""Agreement of predicted with true segments (Lea et al. 2017, arXiv:1611.05267), as opposed to the
accuracy over steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.data.labels.segments import Runs, find_runs
from seqbelt.data.labels.targets import UNLABELLED

OVERLAPS = (0.10, 0.25, 0.50)
"""Intersection over union from which a predicted segment counts as correct."""


@dataclass(frozen=True)
class SegmentScores:
    """Sums over recordings, which can be added."""

    hits: np.ndarray
    """Number of correct segments, for each of ``OVERLAPS``."""
    num_predicted: int
    num_true: int
    edit_total: float
    """Sum of the recordings' edit scores."""
    num_recordings: int

    def __add__(self, other: "SegmentScores") -> "SegmentScores":
        return SegmentScores(
            self.hits + other.hits,
            self.num_predicted + other.num_predicted,
            self.num_true + other.num_true,
            self.edit_total + other.edit_total,
            self.num_recordings + other.num_recordings,
        )

    def to_dict(self) -> dict[str, float]:
        """Segmental F1 at each overlap over all segments, and the recordings' mean edit score."""
        f1 = 2 * self.hits / max(1, self.num_predicted + self.num_true)
        names = [f"segment_f1_{100 * overlap:.0f}" for overlap in OVERLAPS]
        return {
            **dict(zip(names, f1.tolist(), strict=True)),
            "segment_edit": self.edit_total / max(1, self.num_recordings),
        }


def score_segments(true: np.ndarray, predicted: np.ndarray) -> SegmentScores:
    """Scores of one recording's class indices ``(steps,)``; unlabelled steps are ignored and end
    segments in both."""
    truth = find_runs(true)
    prediction = find_runs(np.where(true == UNLABELLED, UNLABELLED, predicted))
    hits = np.array([_count_hits(truth, prediction, overlap) for overlap in OVERLAPS])
    edit = edit_score(truth.classes, prediction.classes)
    return SegmentScores(hits, len(prediction.classes), len(truth.classes), edit, 1)


def _count_hits(truth: Runs, prediction: Runs, overlap: float) -> int:
    """Predicted segments whose best true segment of their class is free and overlaps enough."""
    is_taken = np.zeros(len(truth.classes), dtype=bool)
    for name, start, stop in zip(*prediction):
        common = np.minimum(stop, truth.stops) - np.maximum(start, truth.starts)
        union = np.maximum(stop, truth.stops) - np.minimum(start, truth.starts)
        overlaps = np.where(truth.classes == name, common / union, -1)
        best = int(overlaps.argmax())
        is_taken[best] |= overlaps[best] >= overlap
    return int(is_taken.sum())


def edit_score(true: Sequence[int] | np.ndarray, predicted: Sequence[int] | np.ndarray) -> float:
    """1 minus the Levenshtein distance of two segment sequences relative to the longer one."""
    predicted, positions = np.asarray(predicted), np.arange(len(predicted) + 1)
    row = positions.astype(float)
    for number, name in enumerate(true, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (predicted != name))
        # Insertions go from left to right: the minimum over all that start further left.
        row = np.minimum.accumulate(np.append(number, changed) - positions) + positions
    return 1 - float(row[-1]) / max(len(true), len(predicted), 1)
