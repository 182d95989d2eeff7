"""Pooling and the whole network: only valid steps count, neighbours do not."""

import numpy as np
import pytest
import torch

from seqbelt.data.batches import step_statistics
from seqbelt.data.in_memory import in_memory
from seqbelt.errors import SettingsError
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.pooling import Pooling
from seqbelt.models.standardize import Standardize

POOLINGS = ["last", "mean", "max", "attention", "attention_max", "concat"]


def test_mean_and_max_are_of_the_valid_steps():
    outputs = torch.tensor([[[1.0], [3.0], [99.0]], [[-5.0], [torch.nan], [torch.nan]]])
    lengths, final = torch.tensor([2, 1]), torch.zeros(2, 1)
    assert Pooling("mean", 1)(outputs, final, lengths).tolist() == [[2.0], [-5.0]]
    assert Pooling("max", 1)(outputs, final, lengths).tolist() == [[3.0], [-5.0]]


def test_concat_is_last_mean_max():
    outputs = torch.tensor([[[1.0], [3.0], [99.0]]])
    pooled = Pooling("concat", 1)(outputs, torch.tensor([[7.0]]), torch.tensor([2]))
    assert pooled.tolist() == [[7.0, 2.0, 3.0]]


def test_attention_shares_sum_to_one_over_valid_steps():
    pool, valid = Pooling("attention", 4), torch.tensor([[True, True, False], [True, False, False]])
    shares = pool.weights(torch.randn(2, 3, 4), valid)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))
    assert shares[~valid].abs().max() == 0
    assert shares[1, 0] == 1


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("is_tokens", [False, True])
def test_a_sequence_is_answered_alike_alone_and_in_company(pooling, bidirectional, is_tokens):
    torch.manual_seed(0)
    settings = Model(hidden_size=8, pooling=pooling, bidirectional=bidirectional, dropout=0.5)
    network = build_network(settings, 6, 3, is_tokens).eval()
    lengths = torch.tensor([5, 2, 9, 1])
    inputs = torch.randint(2, 6, (4, 9)) if is_tokens else torch.randn(4, 9, 6)
    inputs[torch.arange(9) >= lengths[:, None]] = 0
    together = network(inputs, lengths)
    for row, length in enumerate(lengths):
        alone = network(inputs[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        network(inputs[order], lengths[order]), together[order], rtol=0, atol=1e-5
    )


def test_standardize_gives_mean_zero_and_spread_one_and_keeps_constants():
    steps = torch.randn(500, 3) * torch.tensor([2.0, 5.0, 0.0]) + torch.tensor([1.0, -4.0, 7.0])
    normalize = Standardize(3)
    normalize.learn(steps.mean(0), steps.std(0))
    found = normalize(steps[None], torch.tensor([500]))[0]
    torch.testing.assert_close(found.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(found[:, :2].std(0), torch.ones(2), rtol=0, atol=1e-4)
    assert found[:, 2].abs().max() < 1e-5


def test_a_sequence_is_standardised_by_itself_whatever_its_level_and_padding():
    torch.manual_seed(0)
    quiet = torch.randn(1, 40, 2)
    normalize = Standardize(2, by_sequence=True)
    normalize.learn(torch.zeros(2), torch.full((2,), 10.0))
    loud = 1e4 * quiet + 3e3
    found = [normalize(one, torch.tensor([40]))[..., 2:] for one in (quiet, loud)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[0].mean(1), torch.zeros(1, 2), rtol=0, atol=1e-5)
    padded = torch.cat([quiet, torch.full((1, 9, 2), 77.0)], dim=1)
    torch.testing.assert_close(
        normalize(padded, torch.tensor([40]))[:, :40, 2:], found[0], rtol=0, atol=1e-6
    )
    alone = normalize(padded[:, 39:], torch.tensor([1]))[..., 2:]
    assert alone.abs().max() == 0  # the padding too
    constant = normalize(torch.full((1, 30, 2), 0.1), torch.tensor([30]))[..., 2:]
    assert constant.abs().max() == 0


def test_differences_are_those_of_the_steps_before_and_padding_is_not_seen():
    normalize = Standardize(2, differences=True)
    steps = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    statistics = step_statistics(in_memory([steps.numpy()], np.zeros(1, np.int64)))
    torch.testing.assert_close(statistics.difference_rms, torch.tensor([2.5**0.5, 0.0]))
    normalize.learn(*statistics)
    padded = torch.cat([steps, torch.full((2, 2), torch.nan)])[None]
    found = normalize(padded, torch.tensor([3]))[0, :3, 2:]
    expected = torch.tensor([[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0]]) / 2.5**0.5
    torch.testing.assert_close(found, expected)


def test_differences_are_appended_where_a_stem_reads_numbers():
    assert Model().resolve(False, None).differences is True
    assert Model(bidirectional=False, pooling="none").resolve(False, None).differences is True
    assert Model(stem="none").resolve(False, None).differences is False
    assert Model().resolve(True, None).differences is False
    with pytest.raises(SettingsError, match="token ids have no differences"):
        Model(differences=True).resolve(True, None)


def test_a_network_of_one_direction_does_not_scale_by_what_it_has_not_read():
    assert Model(bidirectional=False).resolve(False, None).scaling == "rows"
    assert Model().resolve(False, None).scaling == "rows_and_sequence"
    assert Model(pooling="none").resolve(False, None).scaling == "rows"
    with pytest.raises(ValueError, match="bidirectional: true"):
        Model(bidirectional=False, scaling="rows_and_sequence")


def test_the_cells_differ_in_nothing_but_the_recurrence():
    names = {
        cell: {n for n, _ in build_network(Model(cell=cell), 4, 2, False).named_parameters()}
        for cell in ("lstm", "gru", "rnn")
    }
    assert names["lstm"] == names["gru"] == names["rnn"]
