"""The network of several inputs: each item by itself, whatever is beside it or missing."""

import numpy as np
import pytest
import torch

from seqbelt.data.batches import pad
from seqbelt.features.input_layout import ColumnSize, InputLayout, InputSize
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

LAYOUT = InputLayout(
    (InputSize("tone", 3, False, 20), InputSize("note", 9, True, 5)), (ColumnSize("age", 2),)
)


def item(random, tone=8, note=4, age=0.5):
    parts = [
        random.normal(size=(tone, 3)).astype(np.float32) if tone else None,
        random.integers(1, 9, note).astype(np.int32) if note else None,
    ]
    return LAYOUT.pack(parts, np.array([age, 0]))


@pytest.fixture
def network():
    torch.manual_seed(0)
    built = build_network(
        Model(hidden_size=5, embedding_size=4), LAYOUT.width, 3, False, layout=LAYOUT
    )
    with torch.no_grad():
        for absent in built.absent:
            absent.fill_(0.3)
    return built.eval()


def run(network, items):
    with torch.no_grad():
        return network(*pad(items)).numpy()


@pytest.mark.parametrize("cell", ["lstm", "rnn", "none"])
def test_an_item_does_not_depend_on_its_batch(cell):
    random = np.random.default_rng(0)
    network = build_network(Model(cell=cell, hidden_size=5, embedding_size=4),
        LAYOUT.width, 3, False, layout=LAYOUT
    ).eval()  # fmt: skip
    items = [item(random), item(random, 30, 0), item(random, 0, 12), item(random, 1, 1)]
    together = run(network, items)
    alone = np.concatenate([run(network, [one]) for one in items])
    assert np.abs(together - alone).max() < 1e-5


def test_every_input_and_cell_counts(network):
    base = item(np.random.default_rng(0))
    outputs = run(network, [
        base, item(np.random.default_rng(1)), item(np.random.default_rng(0), age=2.0),
        item(np.random.default_rng(0), note=0), item(np.random.default_rng(0), tone=0),
    ])  # fmt: skip
    assert min(np.abs(outputs[0] - other).max() for other in outputs[1:]) > 1e-4


def test_a_branch_computes_what_the_same_network_alone_does(network):
    random = np.random.default_rng(0)
    items = [item(random), item(random, 12, 6)]
    inputs, _ = pad(items)
    counts, _ = network._header(inputs)
    found = network._unpack(inputs, counts)
    for at, (steps, lengths) in enumerate(found):
        parts = [LAYOUT.unpack(one)[at] for one in items]
        expected, expected_lengths = pad(parts)
        assert torch.equal(steps, expected)
        assert torch.equal(lengths, expected_lengths)


def test_all_inputs_receive_a_gradient(network):
    random = np.random.default_rng(0)
    network.train()
    logits = network(*pad([item(random), item(random, 0), item(random, 5, 0)]))
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.absent)
    assert all(
        any(p.grad is not None and p.grad.abs().sum() > 0 for p in branch.recurrent.parameters())
        for branch in network.branches
    )


def test_each_input_has_the_defaults_of_its_kind(network):
    tone, note = network.branches
    assert (tone.settings.scaling, note.settings.scaling) == ("rows_and_sequence", "rows")
    assert network.dropout.p == tone.settings.dropout_rates[0]
