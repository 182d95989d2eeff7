"""How long work will take: by a training's first steps, a line a minute, and for all models."""

import io

import pytest
from rich.console import Console
from rich.text import Text

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


def test_a_log_file_gets_a_line_a_minute(monkeypatch):
    said, clock = [], [0.0]
    monkeypatch.setattr(console, "echo", said.append)
    monkeypatch.setattr(console.time, "perf_counter", lambda: clock[0])
    with console.bar("predicting", 1000) as progress:
        for _ in range(200):
            clock[0] += 1.0
            progress()
    assert said == [
        "predicting: 60 of 1,000, about 15.7 minutes left",
        "predicting: 120 of 1,000, about 14.7 minutes left",
        "predicting: 180 of 1,000, about 13.7 minutes left",
    ]


def test_the_first_hundredth_says_nothing_of_the_time_left(monkeypatch):
    said, clock = [], [0.0]
    monkeypatch.setattr(console, "echo", said.append)
    monkeypatch.setattr(console.time, "perf_counter", lambda: clock[0])
    with console.bar("preparing", 200_000) as progress:
        clock[0] = 700.0  # listed and split before
        progress()
    assert said == ["preparing: 1 of 200,000"]


def test_models_of_a_comparison_are_counted_with_the_time_left_for_all(monkeypatch):
    said, clock = [], [0.0]
    monkeypatch.setattr(console, "echo", said.append)
    monkeypatch.setattr(console.time, "perf_counter", lambda: clock[0])
    count = console.ModelCount(4)
    count.begin("lstm-s0")
    clock[0] += 100
    count.skip()  # already trained
    count.begin("lstm-s1")
    clock[0] += 200
    count.begin("rnn-s1")
    assert said == [
        "model 1 of 4: lstm-s0",
        "model 3 of 4: lstm-s1; about 3.3 minutes left for all",
        "model 4 of 4: rnn-s1; about 2.5 minutes left for all",
    ]


def test_a_bar_fits_a_terminal_of_80_columns(monkeypatch):
    narrow = Console(width=80, force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(console, "console", narrow)
    monkeypatch.setattr(console.logger, "isEnabledFor", lambda level: True)
    with console.bar("training rnn_relu-h128-s0, epoch 12/30, validation 91.2 %", 120_000) as bar:
        bar(60_000)
        bar._progress.refresh()
    lines = Text.from_ansi(narrow.file.getvalue()).plain.splitlines()
    assert max(map(len, lines)) <= 80 and any("60000/120000" in line for line in lines)
