"""Chrono initialisation: the units remember as long as the training sequences last."""

import numpy as np
import pytest
import torch
from torch import nn

from seqbelt.errors import SettingsError
from seqbelt.models.classifier import build_network
from seqbelt.models.initialization import initialize
from seqbelt.models.model import Model
from seqbelt.models.recurrent import Recurrent


def gate_biases(cell, lengths, hidden=1000, bidirectional=False):
    """The sums of torch's two biases, one row for each gate, for every layer and direction."""
    torch.manual_seed(0)
    recurrent = Recurrent(cell, 2, hidden, num_layers=2, bidirectional=bidirectional)
    for parameter in recurrent.parameters():  # so that what is left alone would be seen
        nn.init.constant_(parameter, 9.0)
    lengths = None if lengths is None else np.asarray(lengths)
    # Large orthogonal matrices take seconds, and no bias depends on them.
    initialize(recurrent, "identity", "chrono", lengths)
    values = dict(recurrent.weights.named_parameters())
    return [
        (values[name] + values[name.replace("bias_ih", "bias_hh")]).detach().view(-1, hidden)
        for name in values
        if name.startswith("bias_ih")
    ]


def test_lstm_forget_biases_are_logs_of_uniform_times_and_input_biases_their_opposite():
    for layer in gate_biases("lstm", [101] * 5):
        write, forget, candidate, output = layer
        times = forget.exp()
        assert 1 <= times.min() < 3 and 97 < times.max() <= 100
        quartiles = torch.quantile(times, torch.tensor([0.25, 0.5, 0.75]))
        torch.testing.assert_close(quartiles, torch.tensor([25.75, 50.5, 75.25]), rtol=0, atol=5)
        assert torch.equal(write, -forget)
        assert candidate.abs().max() == output.abs().max() == 0


def test_gru_keeps_by_its_update_gate_alone():
    for reset, update, candidate in gate_biases("gru", [101]):
        assert 97 < update.exp().max() <= 100 and update.min() >= 0
        assert reset.abs().max() == candidate.abs().max() == 0


def test_every_layer_and_direction_is_drawn():
    biases = gate_biases("lstm", [50], hidden=50, bidirectional=True)
    assert len(biases) == 4
    assert len({float(layer[1].sum()) for layer in biases}) == 4


def test_times_follow_the_histogram_of_lengths():
    times = gate_biases("lstm", [11] * 9 + [1001])[0][1].exp()
    share = float((times > 10).float().mean())
    assert 0.07 < share < 0.13  # one sequence in ten is long, and so is one unit in ten


@pytest.mark.parametrize("lengths", [None, [], [1], [2, 1]])
def test_sequences_too_short_to_remember_give_finite_biases(lengths):
    for layer in gate_biases("lstm", lengths, hidden=10):
        assert layer.abs().max() == 0


def test_a_unit_remembers_for_the_time_that_its_bias_says():
    # With the gates closed to everything but their biases, a cell state decays by 1/e in about u.
    forget = gate_biases("lstm", [101])[0][1]
    time = float(forget[0].exp())
    assert float(torch.sigmoid(forget[0])) ** (1 + time) == pytest.approx(np.exp(-1), rel=0.1)


def test_an_rnn_has_no_gate_to_open():
    for layer in gate_biases("rnn", [101], hidden=10):
        assert layer.abs().max() == 0


def test_the_model_section_takes_chrono_or_a_number():
    assert Model.parse({"forget_bias": "chrono"}).forget_bias == "chrono"
    assert Model.parse({"forget_bias": 2}).forget_bias == 2.0
    with pytest.raises(SettingsError, match="forget_bias"):
        Model.parse({"forget_bias": "chron"})
    with pytest.raises(SettingsError, match=r"forget_bias: .*uniform"):
        Model.parse({"forget_bias": "chrono", "recurrent_init": "uniform"})


def test_build_draws_from_the_lengths_it_is_given():
    model = Model(forget_bias="chrono", hidden_size=64, stem="none")
    network = build_network(model, 3, 2, False, np.full(4, 1001))
    weights = network.recurrent.weights
    forget = (weights.bias_ih_l0 + weights.bias_hh_l0).chunk(4)[1]
    assert forget.exp().max() > 900
