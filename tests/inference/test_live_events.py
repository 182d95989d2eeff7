"""When a change of label is an event."""

import numpy as np

from seqbelt.inference.live_events import ChangeDetector, LabelDetector


def detect(decisions, threshold=0.6, min_duration_s=1.0):
    detector = ChangeDetector(threshold, min_duration_s)
    found = [detector.push(*decision) for decision in decisions]
    return [(time, one) for one, (_, _, time) in zip(found, decisions) if one is not None]


def series(text, period=0.25):
    """``aAb…``: a letter a decision, capital where it is sure."""
    return [(c.lower(), 0.9 if c.isupper() else 0.55, i * period) for i, c in enumerate(text)]


def test_a_change_needs_its_duration_without_a_break():
    found = detect(series("AAAAAAABBBBaBBBBBBB"))
    assert [(time, c.label, c.previous, c.since_s) for time, c in found] == [
        (1.0, "a", None, 0.0),
        (4.0, "b", "a", 3.0),
    ]


def test_between_the_thresholds_nothing_changes():
    assert [c.label for _, c in detect(series("AAAAAA" + "ab" * 40))] == ["a"]
    assert [c.label for _, c in detect(series("AAAAAABBaAABBBA" * 5))] == ["a"]


def test_without_a_duration_the_first_sure_decision_counts():
    found = detect(series("aAbBbA"), min_duration_s=0.0)
    assert [(time, c.label) for time, c in found] == [(0.25, "a"), (0.75, "b"), (1.25, "a")]


def test_rounded_times_add_up():
    decisions = [("a", 0.9, round(0.1 * i, 6)) for i in range(20)]
    assert [time for time, _ in detect(decisions, min_duration_s=0.3)] == [0.3]


def detect_labels(series, least=0.0, min_duration_s=0.0):
    detector = LabelDetector("ab", np.array([0.5, 0.3], np.float32), least, min_duration_s)
    return [
        (time, one.label, one.change, one.since_s)
        for time, row in enumerate(series)
        for one in detector.push(np.array(row, np.float32), float(time))
    ]


def test_each_label_begins_and_ends_by_its_own_threshold():
    series = [(0.1, 0.1), (0.6, 0.4), (0.49, 0.3), (0.9, 0.29), (0.2, 0.2)]
    assert detect_labels(series) == [
        (1, "a", "begins", 1.0), (1, "b", "begins", 1.0), (2, "a", "ends", 2.0),
        (3, "a", "begins", 3.0), (3, "b", "ends", 3.0), (4, "a", "ends", 4.0),
    ]  # fmt: skip


def test_a_label_that_begins_must_reach_the_given_threshold_but_not_to_stay():
    series = [(0.6, 0), (0.9, 0), (0.6, 0), (0.4, 0), (0.6, 0)]
    found = [(1, "a", "begins", 1.0), (3, "a", "ends", 3.0)]
    assert detect_labels(series, least=0.8) == found


def test_a_label_begins_and_ends_after_its_duration_without_a_break():
    series = [(p, 0) for p in (0.9, 0.9, 0.4, 0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1)]
    assert detect_labels(series, min_duration_s=2.0) == [
        (5, "a", "begins", 3.0), (10, "a", "ends", 8.0)
    ]  # fmt: skip
