"""Changes in a series of classifications, with hysteresis and a minimum duration."""

from typing import NamedTuple

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

    def __init__(self, threshold: float, min_duration_s: float) -> None:
        self._threshold, self._min_duration_s = threshold, min_duration_s
        self._label: str | None = None
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
