"""What a training will take is said once, by the pace of its first steps."""

import pytest

from seqbelt.workflow import console


@pytest.mark.parametrize(("step_s", "expected"), [(0.25, "4.2 minutes"), (0.05, "50 seconds")])
def test_the_pace_of_the_first_steps_gives_the_time_of_all(monkeypatch, step_s, expected):
    said, clock = [], [0.0]
    monkeypatch.setattr(console, "echo", said.append)
    monkeypatch.setattr(console.time, "perf_counter", lambda: clock[0])
    estimate = console.TimeEstimate("lstm", 1000)
    for step in range(1000):
        clock[0] += 5.0 if step < 4 else step_s  # the first steps are slower
        estimate()
    assert said == [f"lstm: about {expected} for 1,000 updates"]


def test_a_short_training_is_not_announced(monkeypatch):
    said = []
    monkeypatch.setattr(console, "echo", said.append)
    monkeypatch.setattr(console.time, "perf_counter", lambda: 0.0)
    estimate = console.TimeEstimate("lstm", 1000)
    for _ in range(1000):
        estimate()
    assert said == []
