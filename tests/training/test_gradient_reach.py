"""Gradient reach, against networks whose gradient is known."""

import numpy as np
import pytest
import torch
from toys import PLAIN, toy_store

from seqbelt.data.batches import Batch
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.gradient_reach import GradientReach, draw_sample, measure_reach
from seqbelt.training.hyperparameters import Training
from seqbelt.training.several_networks import train_networks


def decaying(rate, pooling="last", bidirectional=False):
    """A network whose state decays by ``rate`` with every step: h = x + rate * h, h > 0."""
    settings = {"nonlinearity": "relu", "pooling": pooling, "bidirectional": bidirectional}
    model = Model(**PLAIN | {"cell": "rnn", "hidden_size": 3} | settings)
    network = build_network(model, 3, 2, False)
    with torch.no_grad():
        for name, value in network.recurrent.weights.named_parameters():
            forward = rate if "reverse" not in name else 1.0
            value.copy_(torch.eye(3) * (forward if "hh" in name else 1) if value.dim() == 2 else 0)
    return network


def batch(*lengths, garbage=0.0):
    torch.manual_seed(0)
    inputs = torch.rand(len(lengths), max(lengths), 3) + 0.1
    inputs[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = garbage
    labels = torch.arange(len(lengths)) % 2
    return Batch(inputs, torch.tensor(lengths), labels, np.arange(len(lengths)))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("garbage", [0.0, 5.0])
def test_a_known_decay_is_found_whatever_the_padding(bidirectional, garbage):
    given = batch(20, 13, 24, 1, 20, garbage=garbage)
    reach = measure_reach(decaying(0.5, bidirectional=bidirectional), given)
    np.testing.assert_allclose(reach.curve, 0.5 ** np.arange(20), rtol=1e-4)
    assert reach.half_life == 1
    assert reach.steps == 10  # 0.5 ** 9 > 0.001 > 0.5 ** 10
    assert not reach.is_short  # half of a median sequence


def test_a_reach_shorter_than_half_a_sequence_is_short():
    assert measure_reach(decaying(0.5), batch(21, 21, 21)).is_short
    assert not measure_reach(decaying(0.9), batch(21, 21, 21)).is_short


def test_mean_pooling_reaches_every_step():
    reach = measure_reach(decaying(0.1, pooling="mean"), batch(50, 50))
    assert reach.steps == 50 and not reach.is_short


def test_a_dead_network_reaches_nothing():
    network = decaying(0.5)
    torch.nn.init.zeros_(network.classify.weight)
    reach = measure_reach(network, batch(5, 6))
    assert reach.steps == 0 and reach.is_short


def test_measuring_leaves_the_network_and_chance_alone():
    network = build_network(Model(hidden_size=4, dropout=0.5, num_layers=2), 3, 2, False).train()
    given, before = batch(9, 4), torch.get_rng_state()
    one, other = (measure_reach(network, given) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(one.curve, other.curve)
    assert network.training and all(p.grad is None for p in network.parameters())


def test_tokens_have_a_reach_too():
    network = build_network(Model(hidden_size=4, embedding_size=5), 9, 2, is_tokens=True)
    tokens, lengths = torch.randint(1, 9, (2, 7)), torch.tensor([7, 4])
    reach = measure_reach(network, Batch(tokens, lengths, torch.tensor([0, 1]), np.arange(2)))
    assert reach.curve[0] == 1 and len(reach.curve) == 5


def test_training_says_it_before_the_first_step(tmp_path):
    rows = toy_store(tmp_path).split("train")
    said: list[object] = []
    train_networks(
        Training(num_epochs=1, batch_size=32, device="cpu"),
        lambda: build_network(Model(hidden_size=4), 3, 2, False),
        rows,
        None,
        on_start=said.append,
        on_step=lambda: said.append("step"),
    )
    assert isinstance(said[0], GradientReach) and said[1:] == ["step"]


def test_the_sample_is_bounded_by_work(tmp_path, monkeypatch):
    rows = toy_store(tmp_path).split("train")
    monkeypatch.setattr("seqbelt.training.gradient_reach.SAMPLE_STEPS", 50)
    assert draw_sample(rows, 0).inputs[..., 0].numel() <= 50
    monkeypatch.setattr("seqbelt.training.gradient_reach.SAMPLE_STEPS", 1)
    assert len(draw_sample(rows, 0).lengths) == 1
