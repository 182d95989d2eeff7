"""Merge predictions in time to segments of one label."""

from dataclasses import dataclass

import numpy as np

from seqbelt.inference.decision import ONE_CLASS, Decision


@dataclass(frozen=True)
class Timeline:
    """How windows are placed and merged; times in seconds."""

    window_s: float
    hop_s: float
    span_s: float | None = None
    """Time that is pooled for one prediction; None classifies whole windows."""
    threshold: float | None = None
    """Probability of its label that a segment must reach at least once. None: a half, or of several
    labels the threshold of each."""
    min_duration_s: float = 0.0
    """Shorter segments are dropped."""
    max_gap_s: float = 0.0
    """Segments of one label with gaps up to this are joined."""


@dataclass(frozen=True)
class TimelineSegment:
    """A part of a recording with one label; times in seconds."""

    start_s: float
    end_s: float
    label: int
    confidence: float
    """Mean probability of the label."""


def merge(
    edges_s: np.ndarray,
    probabilities: np.ndarray,
    timeline: Timeline,
    decision: Decision = ONE_CLASS,
) -> list[TimelineSegment]:
    """Segments from cells: cell ``i`` is from ``edges_s[i]`` to ``edges_s[i + 1]`` and has
    ``probabilities[i]`` ``(classes,)``, NaN without a prediction.

    Neighbouring cells with the same predicted class are one segment if one of them reaches the
    threshold (hysteresis). Then gaps are closed, short segments are dropped, and the new gaps are
    closed. Each of several labels is merged by itself, so segments of different labels may overlap.
    """
    is_known = np.asarray(~np.isnan(probabilities).any(axis=1))
    known = np.where(is_known[:, None], probabilities, 0)
    decided = decision.target.decide(known, decision.thresholds)
    if not decision.target.is_several:
        return _merge_runs(edges_s, probabilities, np.where(is_known, decided, -1), timeline, 0.5)
    segments: list[TimelineSegment] = []
    for label in range(probabilities.shape[1]):
        labels = np.where(is_known & decided[:, label], label, -1)
        segments += _merge_runs(edges_s, probabilities, labels, timeline, 0.0)
    return sorted(segments, key=lambda segment: (segment.start_s, segment.label))


def _merge_runs(
    edges_s: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    timeline: Timeline,
    default_threshold: float,
) -> list[TimelineSegment]:
    """The segments of cells with these ``labels`` ``(cells,)``, -1 for none."""
    threshold = default_threshold if timeline.threshold is None else timeline.threshold
    segments: list[TimelineSegment] = []
    starts = np.flatnonzero(np.diff(labels, prepend=-2))
    for start, stop in zip(starts, np.append(starts[1:], len(labels)), strict=True):
        label = int(labels[start])
        if label < 0 or probabilities[start:stop, label].max() < threshold:
            continue
        weights = np.diff(edges_s[start : stop + 1])
        confidence = float(np.average(probabilities[start:stop, label], weights=weights))
        segments.append(
            TimelineSegment(float(edges_s[start]), float(edges_s[stop]), label, confidence)
        )
    segments = _close_gaps(segments, timeline.max_gap_s)
    # Edges are rounded to samples: allow a microsecond.
    minimum_s = timeline.min_duration_s - 1e-6
    segments = [segment for segment in segments if segment.end_s - segment.start_s >= minimum_s]
    return _close_gaps(segments, timeline.max_gap_s)


def _close_gaps(segments: list[TimelineSegment], max_gap_s: float) -> list[TimelineSegment]:
    joined: list[TimelineSegment] = []
    for segment in segments:
        before = joined[-1] if joined else None
        if (
            before is not None
            and before.label == segment.label
            and segment.start_s - before.end_s <= max_gap_s + 1e-6
        ):
            lengths = [before.end_s - before.start_s, segment.end_s - segment.start_s]
            confidence = float(np.average([before.confidence, segment.confidence], weights=lengths))
            joined[-1] = TimelineSegment(before.start_s, segment.end_s, segment.label, confidence)
        else:
            joined.append(segment)
    return joined
