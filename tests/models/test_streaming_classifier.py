"""Every step of a sequence read in parts gets the logits of the whole, however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import PLAIN

from seqbelt.models import fused
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.recurrent import Recurrent
from seqbelt.models.stem import Stem
from seqbelt.models.streaming_classifier import StepClassifier

LAYOUTS = ["padded", "packed", *(["fused"] if fused.is_available() else [])]
STEMS = ["none", Stem(channels=(6, 6), kernel_sizes=(5, 3), strides=(1, 1))]


def build(**settings):
    torch.manual_seed(0)
    model = Model(**PLAIN | {"hidden_size": 7, "pooling": "none"} | settings)
    return build_network(model, 4, 3, is_tokens=False).eval()


def read_in_parts(network, steps, cuts):
    reader = StepClassifier(network)
    parts = [part for part in np.split(steps, sorted(cuts)) if len(part)]
    return np.concatenate([reader.label(part).numpy() for part in parts])


@pytest.mark.parametrize("stem", STEMS, ids=["plain", "stem"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@given(
    cuts=st.lists(st.integers(1, 40), max_size=9),
    num_layers=st.integers(1, 3),
    layout=st.sampled_from(LAYOUTS),
)
def test_any_cut_gives_the_logits_of_the_whole(cell, stem, cuts, num_layers, layout):
    network = build(cell=cell, stem=stem, num_layers=num_layers, layout=layout, differences=True)
    steps = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with torch.inference_mode():
        whole = network(torch.from_numpy(steps)[None], torch.tensor([40]))[0]
    np.testing.assert_allclose(read_in_parts(network, steps, cuts), whole, atol=1e-5)


def test_a_state_that_is_not_carried_is_seen(monkeypatch):
    network = build()
    steps = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    expected = read_in_parts(network, steps, [])
    exact = Recurrent.forward
    monkeypatch.setattr(
        Recurrent, "forward", lambda self, inputs, lengths, state=None: exact(self, inputs, lengths)
    )
    assert np.abs(read_in_parts(network, steps, [20]) - expected).max() > 1e-4


def test_a_bidirectional_network_is_refused():
    with pytest.raises(ValueError, match="bidirectional"):
        StepClassifier(build(bidirectional=True))
