"""Changes in a series of classifications, with hysteresis and a minimum duration."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

THRESHOLD = 0.6
"""Confidence that a new label needs."""
MIN_DURATION_S = 0.5
"""Time that it needs this confidence without interruption."""


class Change(NamedTuple):
    """A change of the label."""

    label: str
    previous: str | None
    """The previous label; None for the first."""
    confidence: float
    since_s: float
    """Time of the first decision for the new label."""


class ChangeDetector:
    """Detects changes of the label in a series of decisions.

    The label changes once every decision for ``min_duration_s`` has the new label with at least
    ``threshold``. A decision below the threshold keeps the current label (hysteresis) and restarts
    the duration.
    """

    def __init__(self, threshold: float, min_duration_s: float, label: str | None = None) -> None:
        """``label`` is the one before the first decision, if there is one."""
        self._threshold, self._min_duration_s = threshold, min_duration_s
        self._label = label
        self._candidate: str | None = None
        self._since_s = 0.0

    def push(self, label: str, confidence: float, time_s: float) -> Change | None:
        """Add a decision; returns the change that it completes, or None."""
        if confidence < self._threshold or label == self._label:
            self._candidate = None
            return None
        if label != self._candidate:
            self._candidate, self._since_s = label, time_s
        # Times are rounded multiples of the input's period: allow a microsecond.
        if time_s - self._since_s < self._min_duration_s - 1e-6:
            return None
        change = Change(label, self._label, confidence, self._since_s)
        self._label, self._candidate = label, None
        return change


class LabelChange(NamedTuple):
    """One of several labels begins or ends."""

    label: str
    change: Literal["begins", "ends"]
    p: float
    """Its probability in the decision that completes the change."""
    since_s: float
    """Time of the first decision for the change."""


class LabelDetector:
    """Detects where each of several labels begins and ends; at first none is there.

    A label begins once every decision for ``min_duration_s`` has it with at least its threshold and
    ``least``, and ends once every decision for so long has it below its threshold. In between the
    state holds.
    """

    def __init__(
        self, classes: Sequence[str], thresholds: np.ndarray, least: float, min_duration_s: float
    ) -> None:
        self._classes, self._ends_below = classes, thresholds
        self._begins_from = np.maximum(thresholds, np.float32(least))
        self._detectors = [ChangeDetector(1.0, min_duration_s, "ends") for _ in classes]

    def push(self, probabilities: np.ndarray, time_s: float) -> list[LabelChange]:
        """Add a decision with the probability of each label; returns the changes that it
        completes."""
        begins, ends = probabilities >= self._begins_from, probabilities < self._ends_below
        changes = []
        for index, detector in enumerate(self._detectors):
            is_sure = float(begins[index] or ends[index])
            detected = detector.push("begins" if begins[index] else "ends", is_sure, time_s)
            if detected is not None:
                change = "begins" if begins[index] else "ends"
                p = round(float(probabilities[index]), 6)
                changes.append(LabelChange(self._classes[index], change, p, detected.since_s))
        return changes
