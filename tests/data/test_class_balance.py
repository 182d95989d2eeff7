"""Skewed classes: equal weights in sum, equal numbers in an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.class_balance import balanced_rows, class_weights

LABELS = np.repeat([0, 1, 3], [90, 9, 1])


def test_all_classes_weigh_the_same_in_sum_and_a_row_one_on_average():
    weights = class_weights(LABELS, 5)
    sums = [weights[label] * (label == LABELS).sum() for label in (0, 1, 3)]
    assert sums == pytest.approx([sums[0]] * 3)
    assert weights[LABELS].mean() == pytest.approx(1)
    assert weights[[2, 4]].tolist() == [0, 0]


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
def test_an_epoch_reads_each_class_as_often_and_its_rows_evenly(counts, seed, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = balanced_rows(labels, seed, epoch)
    assert len(rows) == len(labels)
    per_class = np.bincount(labels[rows], minlength=len(counts))
    assert per_class.max() - per_class.min() <= 1
    for label in range(len(counts)):
        own = np.bincount(rows, minlength=len(labels))[labels == label]
        assert own.max() - own.min() <= 1


def test_epochs_differ_and_repeat_by_seed():
    first, second = (balanced_rows(LABELS, 0, epoch) for epoch in (0, 1))
    assert not np.array_equal(np.sort(first), np.sort(second))
    assert np.array_equal(first, balanced_rows(LABELS, 0, 0))
