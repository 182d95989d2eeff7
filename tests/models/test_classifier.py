"""Pooling and the whole network: only valid steps count, neighbours do not."""

import pytest
import torch

from seqbelt.models.classifier import Model, Standardize
from seqbelt.models.pooling import Pooling

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
    network = settings.build(6, 3, is_tokens).eval()
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
    found = normalize(steps)
    torch.testing.assert_close(found.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(found[:, :2].std(0), torch.ones(2), rtol=0, atol=1e-4)
    assert found[:, 2].abs().max() < 1e-5


def test_the_cells_differ_in_nothing_but_the_recurrence():
    names = {
        cell: {n for n, _ in Model(cell=cell).build(4, 2, False).named_parameters()}
        for cell in ("lstm", "gru", "rnn")
    }
    assert names["lstm"] == names["gru"] == names["rnn"]
