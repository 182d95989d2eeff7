"""Segmental scores against a plain reading of Lea et al. 2017."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqbelt.data.labels.segments import find_runs
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.evaluation.segment_scores import OVERLAPS, edit_score, score_segments

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def levenshtein(a, b) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(
        levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1,
        levenshtein(a[1:], b[1:]) + (a[0] != b[0]),
    )  # fmt: skip


@example([0], [0, 1])
@example([0, 1], [0])
@given(st.lists(st.integers(0, 2), max_size=5), st.lists(st.integers(0, 2), max_size=5))
def test_the_edit_score_is_levenshteins(a, b):
    expected = 1 - levenshtein(a, b) / max(len(a), len(b), 1)
    assert edit_score(a, b) == pytest.approx(expected)


def hits_of(true, found, overlap) -> int:
    """As the reference code counts them, step by step."""
    truth, answer = ([*zip(*find_runs(np.array(one)))] for one in (true, found))
    taken = [False] * len(truth)
    for name, start, stop in answer:
        steps = set(range(start, stop))
        shares = [
            len(steps & set(range(a, b))) / len(steps | set(range(a, b))) if name == n else -1
            for n, a, b in truth
        ]
        best = max(range(len(truth)), key=lambda k: shares[k])
        if shares[best] >= overlap and not taken[best]:
            taken[best] = True
    return sum(taken)


@pytest.mark.parametrize("seed", range(8))
def test_hits_are_those_of_the_reference(seed):
    random = np.random.default_rng(seed)
    true = np.repeat(random.integers(0, 3, 12), random.integers(1, 9, 12))
    found = np.where(random.random(len(true)) < 0.6, true, random.integers(0, 3, len(true)))
    hits = score_segments(true, found).hits.tolist()
    assert hits == [hits_of(true, found, overlap) for overlap in OVERLAPS]
    assert hits[0] > hits[2]  # or the overlap would not be tried


@given(LABELS)
def test_the_truth_itself_scores_one(labels):
    scores = score_segments(np.array(labels), np.array(labels)).to_dict()
    assert set(scores.values()) == {1.0}


def test_runs_end_where_no_label_is():
    none = UNLABELLED
    runs = find_runs(np.array([none, 2, 2, none, 2, 0, 0, none]))
    assert [*zip(*runs)] == [(2, 1, 3), (2, 4, 5), (0, 5, 7)]


def test_unlabelled_steps_are_left_out_on_both_sides():
    none = UNLABELLED
    true = np.array([1, 1, none, none, 1, 1])
    scores = score_segments(true, np.array([1, 1, 0, 2, 1, 1]))
    assert scores.to_dict() == score_segments(true, np.ones(6, int)).to_dict()
    assert (scores.num_true, scores.num_predicted, scores.edit_total) == (2, 2, 1.0)


def test_too_many_segments_cost_even_where_most_steps_are_right():
    true = np.repeat([0, 1], 50)
    found = true.copy()
    found[5:95:10] ^= 1
    scores = score_segments(true, found).to_dict()
    assert (true == found).mean() == 0.91
    assert scores["segment_f1_50"] < 0.2 and scores["segment_edit"] < 0.2


def test_counts_of_recordings_add_up():
    one = score_segments(np.array([0, 0, 1]), np.array([0, 0, 1]))
    other = score_segments(np.array([0, 0, 0]), np.array([1, 1, 1]))
    both = (one + other).to_dict()
    assert both["segment_f1_10"] == pytest.approx(2 * 2 / 6)
    assert both["segment_edit"] == pytest.approx(0.5)
