"""A sequence read in pieces gets the logits of the whole, however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import PLAIN, streaming

from seqbelt.models.classifier import build_network
from seqbelt.models.model import ATTENDING, Model
from seqbelt.models.numpy_network import NumpyNetwork

CELLS = ["lstm", "gru", "rnn"]
POOLINGS = ["last", "mean", "max", "attention", "attention_max", "concat"]
CUTS = st.lists(st.integers(1, 60), max_size=12)


def build(is_tokens=False, **settings):
    torch.manual_seed(0)
    model = Model(**PLAIN | {"hidden_size": 7, "embedding_size": 5} | settings)
    network = build_network(model, 4, 3, is_tokens).eval()
    with torch.no_grad():
        network.classify.weight.mul_(3)
        if settings.get("pooling") in ATTENDING:
            network.pool.score.weight.mul_(40)  # so that the highest score moves, and matters
    return network


def make_steps(num_steps=60):
    return np.random.default_rng(0).normal(size=(num_steps, 4)).astype(np.float32)


@torch.inference_mode()
def read_whole(network, steps):
    return network(torch.from_numpy(steps)[None], torch.tensor([len(steps)]))[0].numpy()


def read_in_pieces(network, steps, cuts=()):
    reader = streaming(network)
    for piece in np.split(steps, sorted(cuts)):
        reader.push(piece)
    assert reader.num_steps == len(steps)
    return reader.logits


@pytest.mark.parametrize(
    ("cell", "pooling"),
    [("gru", "concat"), ("rnn", "concat"), *(("lstm", pooling) for pooling in POOLINGS)],
)
@given(cuts=CUTS, num_layers=st.integers(1, 3))
def test_any_cut_gives_the_answer_of_the_whole(cell, pooling, cuts, num_layers):
    network = build(cell=cell, pooling=pooling, num_layers=num_layers)
    steps = make_steps()
    np.testing.assert_allclose(
        read_in_pieces(network, steps, cuts), read_whole(network, steps), atol=1e-5
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_answer_so_far_is_that_of_the_steps_so_far(pooling):
    network, steps = build(pooling=pooling), make_steps(12)
    reader = streaming(network)
    for count in range(1, 13):
        reader.push(steps[count - 1 : count])
        expected = read_whole(network, steps[:count])
        np.testing.assert_allclose(reader.logits, expected, atol=1e-5)


def test_tokens_stream_too():
    network = build(is_tokens=True, pooling="attention")
    tokens = np.random.default_rng(0).integers(0, 4, 40, dtype=np.int32)
    whole = read_whole(network, tokens.astype(np.int64))
    np.testing.assert_allclose(read_in_pieces(network, tokens, [1, 2, 30]), whole, atol=1e-5)


def test_large_scores_neither_overflow_nor_vanish():
    network, steps = build(pooling="attention"), make_steps()
    with torch.no_grad():
        network.pool.score.weight.mul_(1e5)
    found = read_in_pieces(network, steps, range(1, 60))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, read_whole(network, steps), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_that_is_not_carried_is_seen(cell, monkeypatch):
    network, steps = build(cell=cell), make_steps()
    exact = NumpyNetwork.run_layer
    monkeypatch.setattr(
        NumpyNetwork, "run_layer", lambda self, steps, layer, states: exact(self, steps, layer)
    )
    difference = read_in_pieces(network, steps, [55]) - read_whole(network, steps)
    assert np.abs(difference).max() > 1e-4


def test_what_cannot_stream_is_refused():
    with pytest.raises(ValueError, match="bidirectional"):
        streaming(build(bidirectional=True))
    reader = streaming(build())
    reader.push(make_steps(0))
    with pytest.raises(ValueError, match="no step"):
        _ = reader.logits


def test_numbers_that_overflow_give_nan_from_then_on():
    reader, steps = streaming(build(stem="auto")), make_steps(12)
    reader.push(steps)
    assert np.isfinite(reader.logits).all()
    reader.push(np.full((3, 4), 1e30, np.float32))
    reader.push(steps)
    assert np.isnan(reader.logits).all() and reader.logits.shape == (3,)
