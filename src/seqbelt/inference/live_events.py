"""Changes in a series of classifications, with hysteresis and a minimum duration."""

from typing import NamedTuple

THRESHOLD = 0.6
"""Confidence that another label needs before it is taken over."""
MIN_DURATION_S = 0.5
"""Time for which it needs that confidence without a break."""


class Change(NamedTuple):
    """The signal has another label."""

    label: str
    previous: str | None
    """The label before; None for the first."""
    confidence: float
    since_s: float
    """Time of the first of the decisions that made the change."""


class ChangeDetector:
    """From decisions in their order to the changes among them.

    A label is taken over once each decision for ``min_duration_s`` gave it at least ``threshold``;
    it is kept until another one is taken over. Decisions below the threshold change nothing
    (hysteresis) and begin the wait anew.
    """

    def __init__(self, threshold: float, min_duration_s: float) -> None:
        self._threshold, self._min_duration_s = threshold, min_duration_s
        self._label: str | None = None
        self._candidate: str | None = None
        self._since_s = 0.0

    def push(self, label: str, confidence: float, time_s: float) -> Change | None:
        """Take the decision ``label`` at ``time_s``; returns the change that it completes."""
        if confidence < self._threshold or label == self._label:
            self._candidate = None
            return None
        if label != self._candidate:
            self._candidate, self._since_s = label, time_s
        # Times are multiples of the input's period, rounded: half a microsecond is no wait.
        if time_s - self._since_s < self._min_duration_s - 1e-6:
            return None
        change = Change(label, self._label, confidence, self._since_s)
        self._label, self._candidate = label, None
        return change
