"""The network in NumPy gives torch's logits, and needs torch's weights and no other."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from toys import numpy_networks_of

from seqbelt.data.batches import pad
from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.model import Model
from seqbelt.models.numpy_network import expected_shapes
from seqbelt.models.stem import Stem

STEMS = ["auto", "none", Stem(channels=(8, 8), kernel_sizes=(3, 5), strides=(1, 3))]
LENGTHS = (1, 40, 5, 300, 5)


def build(is_tokens, **settings):
    torch.manual_seed(0)
    settings = {"hidden_size": 9, "embedding_size": 8, **settings}
    network = build_network(Model(**settings), 7, 3, is_tokens, np.array([400])).eval()
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.1)
        if not is_tokens:
            network.normalize.learn(torch.arange(7.0), torch.arange(1.0, 8.0))
    return network


def draw(is_tokens):
    random = np.random.default_rng(0)
    if is_tokens:
        return [random.integers(0, 7, length) for length in LENGTHS]
    return [random.normal(size=(length, 7)).astype(np.float32) * 3 for length in LENGTHS]


def check(network, is_tokens):
    sequences = draw(is_tokens)
    inputs, lengths = pad(sequences)
    with torch.inference_mode():
        expected = network.split(network(inputs, lengths), lengths)
    for member in numpy_networks_of(network):
        for found, one in zip(member(sequences), expected, strict=True):
            assert found.dtype == np.float32
            if found.ndim == 1:
                found = found[None]
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("is_tokens", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "none"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("stem", STEMS, ids=["auto", "none", "strided"])
def test_its_logits_are_those_of_torch(is_tokens, cell, bidirectional, stem):
    settings = {"cell": cell, "bidirectional": bidirectional, "stem": stem, "num_layers": 2}
    check(build(is_tokens, **settings), is_tokens)


@pytest.mark.parametrize(
    "pooling", ["last", "mean", "max", "attention", "attention_max", "concat", "none"]
)
@pytest.mark.parametrize("cell", ["gru", "none"])
def test_every_pooling_is_that_of_torch(pooling, cell):
    check(build(False, pooling=pooling, cell=cell), False)


def test_relu_and_tokens_that_share_rows():
    check(build(False, cell="rnn", nonlinearity="relu"), False)
    network = build(True)
    network.embed.compose(np.random.default_rng(0).integers(0, 7, (7, 2)))
    check(network, True)


@pytest.mark.parametrize("is_tokens", [False, True])
@pytest.mark.parametrize("settings", [
    {}, {"stem": "none", "differences": False}, {"cell": "none"}, {"bidirectional": False},
    {"num_layers": 3, "pooling": "concat"}, {"cell": "gru", "pooling": "none", "scaling": "rows"},
], ids=str)  # fmt: skip
def test_it_expects_the_weights_of_torch(is_tokens, settings):
    network = build(is_tokens, **settings)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert expected_shapes(network.settings, 7, 3, is_tokens) == shapes


def test_the_work_is_that_of_the_steps_after_the_stem():
    (network,) = numpy_networks_of(build(False, stem=STEMS[2], bidirectional=True))
    one, thirty = network.work(1), network.work(30)
    assert one[1] == 2 and thirty[1] == 2 * 10
    assert thirty[0] > 10 * one[0]


def test_an_ensemble_has_a_network_for_each_member():
    members = [build(False), build(False)]
    assert len(numpy_networks_of(Ensemble(members))) == 2


@pytest.mark.parametrize("pooling", ["attention_max", "none"])
@pytest.mark.parametrize("value", [1e30, -3e38])
def test_numbers_that_overflow_give_nan_for_their_sequence_alone(pooling, value):
    network = build(False, pooling=pooling)
    small, large = draw(False)[1], np.full((5, 7), value, np.float32)
    inputs, lengths = pad([large])
    with torch.inference_mode():
        assert network(inputs, lengths).isnan().any()
    (member,) = numpy_networks_of(network)
    found = member([small, large, small])
    assert np.isnan(found[1]).all() and found[1].shape == ((5, 3) if pooling == "none" else (3,))
    for one in (found[0], found[2]):
        np.testing.assert_array_equal(one, member([small])[0])


def test_it_does_not_import_torch():
    code = "import sys, seqbelt.models.numpy_streaming; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
