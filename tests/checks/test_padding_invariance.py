"""Certificates are green for an exact model and red for a broken one: the mutations prove it."""

import json
import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from toys import PLAIN, toy_store

from seqbelt.checks.determinism import certify_determinism
from seqbelt.checks.padding_invariance import _garbage_padding, certify_padding
from seqbelt.data.batches import Batch
from seqbelt.data.labels.targets import SequenceTarget
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.pooling import Pooling
from seqbelt.models.recurrent import Recurrent
from seqbelt.models.stem import Stem
from seqbelt.models.stem_layers import StemBlock
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

CELLS = ["lstm", "gru", "rnn"]
TRAINING = Training(batch_size=8, device="cpu")
POOLINGS = ["last", "mean", "max", "attention", "attention_max", "concat"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store")).split("train")


def build(**settings):
    torch.manual_seed(0)
    return build_network(
        Model(**PLAIN | {"hidden_size": 8, "pooling": "last"} | settings), 3, 2, False
    )


def drop_lengths(monkeypatch):
    """The recurrent engine runs over the padding as if it were data."""
    exact = Recurrent.forward

    def forward(self, inputs, lengths):
        return exact(self, inputs, torch.full_like(lengths, inputs.shape[1]))

    monkeypatch.setattr(Recurrent, "forward", forward)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_exact_network_passes(rows, cell, pooling):
    found = certify_padding(build(cell=cell, pooling=pooling, bidirectional=True), rows)
    assert found.passed and found.num_flips == 0 and found.num_sequences == len(rows)
    assert 0 <= found.max_difference <= found.tolerance < 2e-5


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("pooling", "bidirectional"), [("last", False), ("last", True), ("mean", True)]
)
def test_an_engine_that_drops_the_lengths_is_found(rows, monkeypatch, cell, pooling, bidirectional):
    network = build(cell=cell, pooling=pooling, bidirectional=bidirectional)
    drop_lengths(monkeypatch)
    found = certify_padding(network, rows)
    assert not found.passed and found.max_difference > 1e-3
    assert set(found.differences) == {"batch", "more_padding", "garbage_padding", "permuted"}


def test_labels_that_flip_are_counted(rows, monkeypatch):
    network = build()
    torch.nn.init.zeros_(network.classify.bias)
    drop_lengths(monkeypatch)
    assert certify_padding(network, rows).num_flips > 0


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_over_padding_is_found(rows, monkeypatch, pooling):
    network, exact = build(pooling=pooling), Pooling.forward

    def forward(self, outputs, final, lengths):
        return exact(self, outputs, final, torch.full_like(lengths, outputs.shape[1]))

    monkeypatch.setattr(Pooling, "forward", forward)
    assert not certify_padding(network, rows).passed


def test_an_answer_that_depends_on_the_neighbours_is_found(rows, monkeypatch):
    network, exact = build(), Recurrent.forward

    def forward(self, inputs, lengths):
        outputs, (hidden, cell) = exact(self, inputs, lengths)
        return outputs, (hidden + hidden.mean(1, keepdim=True), cell)

    monkeypatch.setattr(Recurrent, "forward", forward)
    assert not certify_padding(network, rows).passed


def test_all_padding_and_nothing_else_is_filled():
    lengths = torch.tensor([2, 4])
    is_padding = torch.arange(6) >= lengths[:, None]
    inputs = torch.ones(2, 4, 3).masked_fill(is_padding[:, :4, None], 0)
    filled = _garbage_padding(Batch(inputs, lengths, torch.zeros(2), np.arange(2))).inputs
    assert (filled[is_padding] > 100).all() and (filled[~is_padding] == 1).all()


@pytest.mark.parametrize("leak", [1.0, torch.nan])
def test_what_only_loud_padding_shows_is_found(rows, monkeypatch, leak):
    network, exact = build(), Recurrent.forward

    def forward(self, inputs, lengths):
        outputs, (hidden, cell) = exact(self, inputs, lengths)
        is_loud = (inputs.abs().amax((1, 2)) > 20)[:, None]
        return outputs, (torch.where(is_loud, hidden + leak, hidden), cell)

    monkeypatch.setattr(Recurrent, "forward", forward)
    found = certify_padding(network, rows)
    assert not found.passed
    assert found.differences["more_padding"] <= 1e-5
    assert found.differences["garbage_padding"] == found.max_difference
    assert (found.max_difference is None) == (leak != 1.0)


def test_logits_that_are_not_finite_fail_and_are_still_json(rows):
    network = build()
    torch.nn.init.constant_(network.classify.bias, torch.nan)
    found = certify_padding(network, rows)
    assert not found.passed and found.max_difference is None
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["differences"]["batch"] is None


@dataclass(frozen=True)
class Tokens:
    """Random token ids 1 to 8 in place of other sequences' steps."""

    lengths: np.ndarray
    labels: np.ndarray
    store: ClassVar = SimpleNamespace(target=SequenceTarget())

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        length = self.lengths[index]
        return np.random.default_rng(length).integers(1, 9, length, dtype=np.int32)

    def take(self, indices):
        return Tokens(self.lengths[indices], self.labels[indices])


def test_tokens_are_certified_too(rows, monkeypatch):
    tokens = Tokens(rows.lengths, rows.labels)
    network = build_network(Model(hidden_size=8, bidirectional=True), 9, 2, is_tokens=True)
    assert certify_padding(network, tokens).passed
    drop_lengths(monkeypatch)
    assert not certify_padding(network, tokens).passed


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_the_sample_is_bounded_and_holds_the_shortest_and_the_longest(rows, count):
    found = certify_padding(build(), rows, num_sequences=count)
    assert found.num_sequences == min(count, len(rows))


def test_certifying_leaves_the_mode_alone(rows):
    network = build(dropout=0.5).train()
    assert certify_padding(network, rows).passed and network.training


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_seed_gives_the_same_bits(rows, cell):
    found = certify_determinism(
        build(cell=cell, dropout=0.2), TRAINING, lambda: build(cell=cell, dropout=0.2), rows
    )
    assert found.passed and found.first_difference is None
    assert found.num_steps == 4 and found.weights[0] == found.weights[1]


STEMS = {"auto": "auto", "strides": Stem(channels=(8, 12, 12), strides=(1, 2, 2))}


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
@pytest.mark.parametrize("cell", ["lstm", "none"])
def test_a_trained_network_with_a_stem_is_exact_and_repeats_itself(rows, cell, stem):
    def make():
        return build_network(Model(cell=cell, hidden_size=8, stem=stem), 3, 2, False)

    network, history = Loop(TRAINING.replace(num_epochs=3), make, rows, None).run()
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    padding = certify_padding(network, rows)
    assert padding.passed and padding.num_flips == 0 and padding.max_difference < 2e-5
    found = certify_determinism(network, TRAINING, make, rows)
    assert found.passed and found.first_difference is None and found.num_steps == 4


def test_a_stem_that_reads_the_padding_is_found(rows, monkeypatch):
    network, exact = build(stem="auto", bidirectional=True), StemBlock.forward

    def forward(self, inputs, lengths):
        _, found = exact(self, inputs, lengths)
        return exact(self, inputs, torch.full_like(lengths, inputs.shape[2]))[0], found

    monkeypatch.setattr(StemBlock, "forward", forward)
    found = certify_padding(network, rows)
    assert not found.passed and found.max_difference > 1e-3


def test_hooks_do_not_stay(rows):
    network = build()
    certify_determinism(network, TRAINING, build, rows)
    assert not any(part._forward_hooks for part in network.modules())


def test_an_initialisation_by_chance_is_blamed(rows):
    def by_chance():
        network = build()
        torch.nn.init.constant_(network.classify.bias, random.SystemRandom().random())
        return network

    found = certify_determinism(build(), TRAINING, by_chance, rows)
    assert not found.passed and found.weights[0] != found.weights[1]
    assert found.first_difference == "initialisation: weights of classify.bias"
    assert found.to_dict()["blame"] == found.first_difference  # the key in the JSON of before


def test_the_part_that_computes_by_chance_is_blamed(rows, monkeypatch):
    exact = Pooling.forward

    def forward(self, *inputs):
        noise = random.SystemRandom().random() if self.training else 0
        return exact(self, *inputs) + noise

    monkeypatch.setattr(Pooling, "forward", forward)
    found = certify_determinism(build(), TRAINING, build, rows)
    assert found.first_difference == "step 1: output of pool"


def test_a_gradient_by_chance_is_blamed(rows):
    def build_noisy():
        network = build()
        weight = network.recurrent.weights.weight_hh_l0
        weight.register_hook(lambda g: g + random.SystemRandom().random())
        return network

    found = certify_determinism(build(), TRAINING, build_noisy, rows)
    assert found.first_difference == "step 1: gradient of recurrent.weights.weight_hh_l0"


def test_a_prediction_by_chance_is_blamed(rows):
    network = build()
    network.dropout.forward = lambda x: x + random.SystemRandom().random()
    found = certify_determinism(network, TRAINING, build, rows)
    assert not found.passed and found.weights[0] == found.weights[1]
    assert found.first_difference == "prediction: output of dropout"
