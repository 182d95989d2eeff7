from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.batches import evaluation_plan, fill, make_batch, pad, training_plan
from seqbelt.data.labels.targets import SequenceTarget
from seqbelt.data.sequences import is_interpolable

some_lengths = st.lists(st.integers(1, 300), max_size=80).map(
    lambda lengths: np.array(lengths, np.int64)
)


class Rows:
    """Stands for a store's ``Sequences``."""

    def __init__(self, sequences) -> None:
        self.sequences = sequences
        self.lengths = np.array([len(sequence) for sequence in sequences])
        self.labels = np.arange(len(sequences)) % 3
        self.store = SimpleNamespace(target=SequenceTarget())

    def __getitem__(self, index):
        return self.sequences[index]

    def __len__(self) -> int:
        return len(self.sequences)


def once_each(plan, count: int) -> bool:
    rows = np.concatenate(plan) if plan else np.zeros(0)
    return sorted(rows.tolist()) == list(range(count))


@given(some_lengths, st.integers(1, 20), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_has_each_sequence_once_in_batches_of_the_size(lengths, size, window, seed, epoch):
    plan = training_plan(lengths, size, seed, epoch, window)
    assert once_each(plan, len(lengths))
    assert all(1 <= len(batch) <= size for batch in plan)
    assert len(plan) == -(-len(lengths) // size)


@given(some_lengths, st.integers(1, 1000))
def test_an_evaluation_has_each_sequence_once_within_the_work_limit(lengths, max_steps):
    plan = evaluation_plan(lengths, max_steps)
    assert once_each(plan, len(lengths))
    for batch in plan:
        work = lengths[batch].max() * len(batch)
        assert work <= max_steps or len(batch) == 1


def test_an_evaluation_batch_is_as_large_as_the_limit_allows():
    plan = evaluation_plan(np.full(100, 10), max_steps=250)
    assert [len(batch) for batch in plan] == [25] * 4


def as_lists(plan) -> list[list[int]]:
    return [batch.tolist() for batch in plan]


@pytest.mark.parametrize("window", [1, 8])
def test_seed_and_epoch_alone_decide_the_plan(window):
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    plan = as_lists(training_plan(lengths, 16, 3, 5, window))
    assert as_lists(training_plan(lengths, 16, 3, 5, window)) == plan
    np.random.seed(1)
    torch.manual_seed(1)
    assert as_lists(training_plan(lengths, 16, 3, 5, window)) == plan
    for seed, epoch in ((4, 5), (3, 6), (5, 3)):
        assert as_lists(training_plan(lengths, 16, seed, epoch, window)) != plan


def test_bucketing_improves_the_fill_and_keeps_the_shuffle():
    lengths = np.random.default_rng(0).integers(10, 400, 2000)
    plain, bucketed = (training_plan(lengths, 32, 0, 0, window) for window in (1, 16))
    assert fill(lengths, plain) < 0.6
    assert fill(lengths, bucketed) > 0.9
    first = {tuple(sorted(batch.tolist())) for batch in bucketed}
    second = {tuple(sorted(b.tolist())) for b in training_plan(lengths, 32, 0, 1, 16)}
    assert not first & second  # other companions in every epoch
    means = np.array([lengths[batch].mean() for batch in bucketed])
    assert 0.3 < np.mean(means[1:] > means[:-1]) < 0.7  # not from short to long


def test_fill_is_the_share_of_steps_that_are_not_padding():
    lengths = np.array([1, 3, 4])
    assert fill(lengths, [np.array([0, 1]), np.array([2])]) == (1 + 3 + 4) / (3 + 3 + 4)
    assert fill(lengths, [np.array([0]), np.array([1]), np.array([2])]) == 1
    assert fill(np.zeros(0, np.int64), []) == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_padding_is_zero_and_follows_the_sequence(lengths):
    random = np.random.default_rng(0)
    sequences = [random.normal(1, 1, (n, 2)).astype(np.float32) for n in lengths]
    inputs, found = pad(sequences)
    assert inputs.dtype == torch.float32
    assert inputs.shape == (len(lengths), max(lengths), 2)
    assert found.tolist() == lengths
    for row, sequence in zip(inputs.numpy(), sequences, strict=True):
        np.testing.assert_array_equal(row[: len(sequence)], sequence)
        assert not row[len(sequence) :].any()


def test_token_ids_are_padded_with_zero_as_integers():
    inputs, lengths = pad([np.array([5, 6], np.int32), np.array([7], np.int32)])
    assert inputs.dtype == torch.int64
    assert inputs.tolist() == [[5, 6], [7, 0]]
    assert lengths.tolist() == [2, 1]


def test_an_empty_sequence_is_refused():
    with pytest.raises(ValueError, match="without steps"):
        pad([np.ones((2, 3), np.float32), np.ones((0, 3), np.float32)])


def test_a_batch_carries_each_rows_own_label_and_place():
    rows = Rows([np.full((n % 4 + 1, 2), n, np.float32) for n in range(10)])
    plan = training_plan(rows.lengths, 3, 0, 0, 2)
    seen = []
    for batch in (make_batch(rows, indices) for indices in plan):
        assert batch.inputs[:, 0, 0].tolist() == batch.indices.tolist()
        assert batch.labels.tolist() == [index % 3 for index in batch.indices]
        assert batch.lengths.tolist() == [index % 4 + 1 for index in batch.indices]
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(10))


def test_lengths_stay_on_the_cpu_when_a_batch_moves():
    batch = make_batch(Rows([np.ones((2, 2), np.float32)]), np.array([0]))
    moved = batch.to(torch.device("meta"))
    assert moved.inputs.device.type == moved.labels.device.type == "meta"
    assert moved.lengths.device.type == "cpu"


def test_fill_counts_the_steps_that_batches_are_padded_to():
    lengths, plan = np.array([3, 4, 8]), [np.array([0, 1]), np.array([2])]
    assert fill(lengths, plan) == pytest.approx(15 / 16)
    assert fill(lengths, plan, lambda steps: 8) == pytest.approx(15 / 24)


def test_noise_and_fast_patterns_cannot_be_interpolated_and_slow_signals_can():
    random = np.random.default_rng(0)
    times = np.arange(400)

    def rows(make) -> Rows:
        return Rows([make(number).astype(np.float32) for number in range(8)])

    noise = rows(lambda _: random.normal(size=(100, 3)))
    period = rows(lambda number: np.sin(np.pi / 2 * times + number)[:, None])  # of four steps
    slow = rows(lambda number: np.sin(0.1 * times + number)[:, None])
    walk = rows(lambda _: random.normal(size=(100, 3)).cumsum(0))
    assert not is_interpolable(noise) and not is_interpolable(period)
    assert is_interpolable(slow) and is_interpolable(walk)
    mostly_slow = rows(
        lambda _: np.c_[random.normal(size=(100, 2)).cumsum(0), random.normal(size=100)]
    )
    assert is_interpolable(mostly_slow)
    for nothing in (np.zeros((9, 2)), np.ones((2, 2)), np.ones((1, 1))):
        assert is_interpolable(rows(lambda _, value=nothing: value))
