"""What a protocol promises to hold equal is equal."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.comparison.protocol import describe, match
from seqbelt.comparison.variants import apply_variant, variant_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CELLS = ["lstm", "gru", "rnn", "rnn_relu"]


def build(model):
    return build_network(model, 13, 7, False)


MEASURES = {
    "equal_parameters": lambda network: network.num_parameters,
    "equal_compute": lambda network: network.recurrent.flops_per_step,
}


@given(
    protocol=st.sampled_from(list(MEASURES)),
    first=st.sampled_from(["lstm", "gru", "rnn"]),
    other=st.sampled_from(CELLS),
    hidden_size=st.integers(48, 160),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    pooling=st.sampled_from(["last", "attention", "concat"]),
)
def test_sizes_are_equal_within_two_per_cent(
    protocol, first, other, hidden_size, num_layers, bidirectional, pooling
):
    model = Model(
        cell=first, hidden_size=hidden_size, num_layers=num_layers,
        bidirectional=bidirectional, pooling=pooling, forget_bias="chrono",
    )  # fmt: skip
    variant = apply_variant(model, other)
    matched = match(protocol, model, variant, build)
    expected, found = (MEASURES[protocol](build(one)) for one in (model, matched))
    assert found == pytest.approx(expected, rel=0.02)
    assert matched.model_copy(update={"hidden_size": hidden_size}) == variant


def test_the_relu_rnn_starts_as_the_identity_and_is_told_from_the_other():
    relu = apply_variant(Model(hidden_size=5), "rnn_relu")
    assert variant_of(relu) == "rnn_relu" and variant_of(Model(cell="rnn")) == "rnn"
    network = build(relu)
    assert torch.equal(network.recurrent.weights.weight_hh_l0, torch.eye(5))
    assert network.recurrent.weights.nonlinearity == "relu"


def test_a_tiny_network_gets_the_nearest_width_and_the_words_tell_what_was_achieved():
    model = Model(cell="rnn", hidden_size=1)
    matched = match("equal_parameters", model, apply_variant(model, "lstm"), build)
    assert matched.hidden_size == 1
    text = describe("equal_parameters", {"rnn": model, "lstm": matched}, build)
    assert f"RNN {build(model).num_parameters:,} (1 units)" in text
    assert f"LSTM {build(matched).num_parameters:,} (1 units)" in text


@pytest.mark.parametrize("protocol", list(MEASURES))
@pytest.mark.parametrize("hidden_size", range(4, 10))
def test_no_other_width_is_nearer_in_size(protocol, hidden_size):
    model = Model(cell="lstm", hidden_size=hidden_size)
    variant = apply_variant(model, "rnn")

    measure = MEASURES[protocol]
    wanted = measure(build(model))

    def gap(width):
        return abs(measure(build(variant.replace(hidden_size=width))) - wanted)

    matched = match(protocol, model, variant, build)
    assert gap(matched.hidden_size) == min(map(gap, range(1, 40)))
