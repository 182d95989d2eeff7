"""Segments of labelled steps, and how well those of two labellings agree (Lea et al. 2017,
arXiv:1611.05267): whether the right segments were found, not how many steps are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqbelt.data.labels.segments import Runs, find_runs
from seqbelt.data.labels.targets import UNLABELLED

OVERLAPS = (0.10, 0.25, 0.50)
"""Intersection over union from which a found segment counts as right."""


@dataclass(frozen=True)
class SegmentScores:
    """Counts over recordings, which add up."""

    hits: np.ndarray
    """Segments that were found, for each of ``OVERLAPS``."""
    num_found: int
    num_true: int
    edit_total: float
    """Sum of the recordings' edit scores."""
    num_recordings: int

    def __add__(self, other: "SegmentScores") -> "SegmentScores":
        return SegmentScores(
            self.hits + other.hits,
            self.num_found + other.num_found,
            self.num_true + other.num_true,
            self.edit_total + other.edit_total,
            self.num_recordings + other.num_recordings,
        )

    def to_dict(self) -> dict[str, float]:
        """Segmental F1 at each overlap over all segments, and the recordings' mean edit score."""
        f1 = 2 * self.hits / max(1, self.num_found + self.num_true)
        names = [f"segment_f1_{100 * overlap:.0f}" for overlap in OVERLAPS]
        return {
            **dict(zip(names, f1.tolist(), strict=True)),
            "segment_edit": self.edit_total / max(1, self.num_recordings),
        }


def score_segments(true: np.ndarray, found: np.ndarray) -> SegmentScores:
    """Scores of one recording's class indices ``(steps,)``; unlabelled steps are left out, and end
    a segment on both sides."""
    truth = find_runs(true)
    answer = find_runs(np.where(true == UNLABELLED, UNLABELLED, found))
    hits = np.array([_count_hits(truth, answer, overlap) for overlap in OVERLAPS])
    edit = edit_score(truth.classes, answer.classes)
    return SegmentScores(hits, len(answer.classes), len(truth.classes), edit, 1)


def _count_hits(truth: Runs, answer: Runs, overlap: float) -> int:
    """Found segments whose best true segment of their class is not taken and overlaps enough."""
    is_taken = np.zeros(len(truth.classes), dtype=bool)
    for name, start, stop in zip(*answer):
        common = np.minimum(stop, truth.stops) - np.maximum(start, truth.starts)
        union = np.maximum(stop, truth.stops) - np.minimum(start, truth.starts)
        shares = np.where(truth.classes == name, common / union, -1)
        best = int(shares.argmax())
        is_taken[best] |= shares[best] >= overlap
    return int(is_taken.sum())


def edit_score(true: Sequence[int] | np.ndarray, found: Sequence[int] | np.ndarray) -> float:
    """1 less the Levenshtein distance of two orders of segments relative to the longer one."""
    found, places = np.asarray(found), np.arange(len(found) + 1)
    row = places.astype(float)
    for number, name in enumerate(true, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (found != name))
        # Insertions go from left to right: the least of all that begin further left.
        row = np.minimum.accumulate(np.append(number, changed) - places) + places
    return 1 - float(row[-1]) / max(len(true), len(found), 1)
