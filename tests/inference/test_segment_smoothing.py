"""Runs shorter than a segment are absorbed; all others stay."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.labels.segments import find_runs
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.inference.segment_output import pack_segments
from seqbelt.inference.segment_smoothing import shortest_segment, smooth_classes


def logits_of(text: str, sure: float = 4.0) -> np.ndarray:
    """One row a character: a sure A, B or C; in lower case nearly as likely as A."""
    rows = np.zeros((len(text), 3))
    for row, character in zip(rows, text):
        row["ABC".index(character.upper())] = sure if character.isupper() else 0.2
    return rows


def smoothed(text: str, min_steps: int) -> str:
    return "".join("ABC"[k] for k in smooth_classes(logits_of(text), min_steps))


def test_short_runs_become_part_of_the_likelier_neighbour():
    assert smoothed("AAABAAA", 2) == "AAAAAAA"
    assert smoothed("AAABBAAA", 2) == "AAABBAAA"
    assert smoothed("BBBcAAAA", 2) == "BBBBAAAA"  # as likely: the first
    assert smoothed("ABABABAB", 3) in ("AAAAAAAA", "BBBBBBBB", "AAABBBBB", "AAAABBBB", "AAAAABBB")
    assert smoothed("BAAAAC", 2) == "AAAAAA"
    assert smoothed("AB", 5) == "AB"  # shorter than a segment as a whole


@given(
    logits=st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=60),
    min_steps=st.integers(1, 9),
)
def test_no_run_is_too_short_and_long_ones_keep_their_steps(logits, min_steps):
    logits = np.array(logits)
    found = smooth_classes(logits, min_steps)
    if len(logits) <= min_steps:
        np.testing.assert_array_equal(found, logits.argmax(1))
        return
    runs = find_runs(found)
    assert (runs.stops - runs.starts).min() >= min_steps
    plain = find_runs(logits.argmax(1))
    for name, start, stop in zip(*plain):
        if stop - start >= min_steps:
            assert (found[start:stop] == name).all()


def test_confidence_is_that_of_the_label_that_is_written():
    packed = pack_segments(logits_of("AAABAAA"), 3).reshape(-1, 4)
    assert packed[:, :3].tolist() == [[0, 7, 0]]
    likely, unlikely = np.exp(4) / (np.exp(4) + 2), 1 / (np.exp(4) + 2)
    np.testing.assert_allclose(packed[0, 3], (6 * likely + unlikely) / 7, rtol=1e-6)


def test_the_shortest_segment_is_half_of_the_short_ones_of_training():
    labels = [np.repeat([0, 1, 0], [100, 20, 100]), np.repeat([1, UNLABELLED, 1], [20, 3, 20])]
    rows = SimpleNamespace(step_labels=labels.__getitem__)
    train = type("Rows", (SimpleNamespace,), {"__len__": lambda _: 2})(**vars(rows))
    assert shortest_segment(train) == 10
    nothing = type("Rows", (SimpleNamespace,), {"__len__": lambda _: 0})()
    assert shortest_segment(nothing) == 1
