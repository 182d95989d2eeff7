"""Which of several inputs carries the answer."""

import re

import numpy as np
import pytest

from seqbelt.comparison.baselines.baseline import BaselineResult, input_baseline
from seqbelt.comparison.baselines.fitted import _MAJORITY
from seqbelt.comparison.baselines.remarks import remarks
from seqbelt.comparison.verdict_rule import VerdictRule

RULE = VerdictRule(margin=0.01, confidence=0.95)
NUM_ROWS = 400


def answers(rate: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, NUM_ROWS)) < rate


@pytest.mark.parametrize(
    ("sound", "note", "said"),
    [
        (
            0.5,
            0.5,
            "'sound' alone reaches .* at chance, 'note' .* at chance, all .* no input alone",
        ),
        (0.8, 0.5, "'sound' alone reaches [0-9.]+ %, 'note' .* at chance, .* no input alone"),
        (1.0, 0.5, "'sound' carries the answer alone"),
    ],
)
def test_the_verdict_names_the_input_that_carries_the_answer(sound, note, said):
    cell = np.ones((3, NUM_ROWS), bool)
    controls = [
        BaselineResult(_MAJORITY, 0.0, answers(0.5, 0), 0.3),
        BaselineResult(input_baseline("sound"), 0.0, answers(sound, 1), sound),
        BaselineResult(input_baseline("note"), 0.0, answers(note, 2), note),
    ]
    found = remarks(RULE, "lstm", cell, controls)
    assert re.search(said, found.inputs)
    assert not found.warning


def test_nothing_is_said_of_inputs_where_there_is_one():
    controls = [BaselineResult(_MAJORITY, 0.0, answers(0.5, 0), 0.3)]
    assert remarks(RULE, "lstm", np.ones((3, NUM_ROWS), bool), controls).inputs == ""
