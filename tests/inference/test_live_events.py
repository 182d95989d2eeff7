"""When a change of label is an event."""

from seqbelt.inference.live_events import ChangeDetector


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
