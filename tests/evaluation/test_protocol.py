"""What a protocol promises to hold equal is equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.evaluation.protocol import describe, match
from seqbelt.models.classifier import Model

CELLS = ["lstm", "gru", "rnn"]


def build(model):
    return model.build(13, 7, False)


MEASURES = {
    "equal_parameters": lambda network: network.num_parameters,
    "equal_compute": lambda network: network.recurrent.flops_per_step,
}


@given(
    protocol=st.sampled_from(list(MEASURES)),
    first=st.sampled_from(CELLS),
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
    matched = match(protocol, model, other, build)
    assert matched.cell == other
    expected, found = (MEASURES[protocol](build(one)) for one in (model, matched))
    assert found == pytest.approx(expected, rel=0.02)
    changed = {"cell": first, "hidden_size": hidden_size}
    assert matched.model_copy(update=changed) == model


def test_as_given_changes_the_cell_alone():
    model = Model(hidden_size=50)
    assert match("as_given", model, "rnn", build) == model.model_copy(update={"cell": "rnn"})


def test_a_tiny_network_gets_the_nearest_width_and_the_words_tell_what_was_achieved():
    model = Model(cell="rnn", hidden_size=1)
    matched = match("equal_parameters", model, "lstm", build)
    assert matched.hidden_size == 1
    text = describe("equal_parameters", [model, matched], build)
    assert f"RNN {build(model).num_parameters} (1 units)" in text
    assert f"LSTM {build(matched).num_parameters} (1 units)" in text
