"""What a model is found to need of a sequence, for models whose need is known."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from toys import toy_store

from seqbelt.comparison.memory import EARLIER_STEPS, accuracy_by_length, measure_memory
from seqbelt.cropping import Cropping
from seqbelt.data.cropped_sequences import crop_sequences

CPU = torch.device("cpu")


class FirstStep(nn.Module):
    """Predictions by the sign of the first step that it is given: right on the toy store."""

    def forward(self, inputs, lengths):
        score = inputs[:, 0].sum(1)
        return torch.stack([-score, score], 1)


class LastStep(nn.Module):
    """Predictions by the sign of the last valid step's first feature."""

    def forward(self, inputs, lengths):
        score = inputs[torch.arange(len(inputs)), lengths - 1, 0]
        return torch.stack([-score, score], 1)


@pytest.fixture(scope="module")
def test_part(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), count=400).split("test")


def relabel(sequences, labels):
    from dataclasses import replace

    return replace(sequences, labels=labels)


def test_a_model_that_reads_the_first_step_needs_the_whole_length_back(test_part):
    memory = measure_memory(FirstStep(), test_part, CPU)
    assert memory.accuracy_by_prefix.min() == memory.accuracy_by_prefix.max() > 0.95
    assert memory.sufficient_prefix == 0.1
    for how in EARLIER_STEPS:
        assert memory.lengths[how] > 0.7 * test_part.lengths.max()
        accuracy = memory.accuracy_by_suffix[how]
        assert accuracy[0] < 0.8 < accuracy[-1] == memory.accuracy_by_prefix[-1]


def test_a_model_that_reads_the_last_step_needs_one_step_and_all_of_time(test_part):
    ends = np.array([test_part[row][-1, 0] > 0 for row in range(len(test_part))])
    memory = measure_memory(LastStep(), relabel(test_part, ends.astype(np.int64)), CPU)
    assert memory.lengths == dict.fromkeys(EARLIER_STEPS, 1)
    assert all((accuracy == 1).all() for accuracy in memory.accuracy_by_suffix.values())
    assert memory.sufficient_prefix == 1.0 and memory.accuracy_by_prefix[0] < 0.8


class FirstHalfSum(nn.Module):
    """Predictions by the sum of all but the last steps: their order is nothing to it."""

    def forward(self, inputs, lengths):
        is_early = torch.arange(inputs.shape[1]) < lengths[:, None] - 1
        score = (inputs.sum(2) * is_early).sum(1)
        return torch.stack([-score, score], 1)


def test_what_the_order_means_nothing_to_survives_the_shuffle_alone(test_part):
    long = test_part.take(np.flatnonzero(test_part.lengths > 5))
    sums = np.array([long[row][:-1].sum() > 0 for row in range(len(long))])
    memory = measure_memory(FirstHalfSum(), relabel(long, sums.astype(np.int64)), CPU)
    assert memory.lengths["shuffled"] == 1
    assert min(memory.lengths["cut"], memory.lengths["replaced"]) > 5
    # What stands before the last step is another sequence's: its label is another's too.
    assert 0.3 < memory.accuracy_by_suffix["replaced"][0] < 0.7


def test_stretches_count_from_what_the_model_reads(test_part):
    """A model that reads the last three steps has them, and not the first, as its first."""
    cropped = crop_sequences(test_part, Cropping(3, "tail"))
    starts = np.array([cropped[row][0].sum() > 0 for row in range(len(cropped))])
    memory = measure_memory(FirstStep(), relabel(cropped, starts.astype(np.int64)), CPU)
    assert memory.last_steps.max() == 3 and (memory.accuracy_by_prefix == 1).all()


def test_buckets_hold_each_sequence_once_and_one_length_never_in_two():
    random = np.random.default_rng(0)
    lengths = random.choice([1, 2, 2, 2, 2, 3, 50, 60], 500)
    correct = random.random(500) < lengths / 60
    buckets = accuracy_by_length(correct, lengths)
    assert sum(count for *_, count, _ in buckets) == 500
    assert all(low <= high for low, high, *_ in buckets)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(buckets))
    right = sum(count * accuracy for *_, count, accuracy in buckets)
    assert right == pytest.approx(correct.sum())


def test_sequences_of_one_length_are_one_bucket():
    assert accuracy_by_length(np.array([True, False]), np.array([7, 7])) == [(7, 7, 2, 0.5)]
