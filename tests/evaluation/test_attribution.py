"""Laws that the attributions of an answer's steps keep."""

import warnings

import numpy as np
import pytest
import torch
from joined_toys import joined_bundle
from scipy.special import logit, softmax
from torch import nn
from toys import PLAIN

from seqbelt.cropping import READ_ALL, Cropping
from seqbelt.data.batches import pad
from seqbelt.data.cropped_sequences import average_window_probabilities
from seqbelt.evaluation import attribution as module
from seqbelt.evaluation.attribution import TOLERANCE, explain
from seqbelt.models import fused
from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem

NUM_CLASSES = 3
STEM = Stem(channels=(6, 8, 8), strides=(1, 2, 2))
LAYOUTS = ["padded", "packed", *(["fused"] if fused.is_available() else [])]


def make(is_tokens: bool = False, seed: int = 0, width: int = 3, **settings):
    torch.manual_seed(seed)
    model = Model(**PLAIN | {"hidden_size": 6, "embedding_size": 5} | settings)
    network = build_network(model, 20 if is_tokens else width, NUM_CLASSES, is_tokens)
    with torch.no_grad():
        if is_tokens:
            network.embed.weight.normal_()
        else:
            network.normalize.learn(torch.full((width,), 0.5), torch.full((width,), 2.0))
        network.classify.weight.mul_(8)  # answers that leave the baseline's
    return network.eval()


def draw(num_steps: int, is_tokens: bool = False, seed: int = 0, width: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    if is_tokens:
        return random.integers(0, 20, num_steps).astype(np.int32)
    return (2 * random.normal(size=(num_steps, width)) + 0.5).astype(np.float32)


def probabilities(network, sequence, cropping=READ_ALL) -> np.ndarray:
    stretches = cropping.windows(sequence)
    with torch.inference_mode():
        logits = network(*pad(stretches)).double().numpy()
    return softmax(average_window_probabilities(logits, np.zeros(len(stretches), int))[0])


SETTINGS = [
    {"cell": "lstm", "pooling": "last"},
    {"cell": "gru", "pooling": "attention", "bidirectional": True, "num_layers": 2},
    {"cell": "rnn", "pooling": "concat", "bidirectional": True},
    {"cell": "rnn", "nonlinearity": "relu", "pooling": "max"},
    {"cell": "lstm", "pooling": "mean", "bidirectional": True, "dropout": 0.5},
    {"cell": "lstm", "pooling": "attention_max", "bidirectional": True, "stem": STEM},
    {"cell": "gru", "pooling": "last", "stem": STEM, "hidden_size": 8},
    {"cell": "none", "pooling": "mean", "bidirectional": True, "stem": STEM},
]
CROPPED = [Cropping(4, "windows"), Cropping(4, "tail")]


@pytest.mark.parametrize("is_tokens", [False, True], ids=["numbers", "tokens"])
@pytest.mark.parametrize(
    ("settings", "cropping"),
    [
        *((settings, READ_ALL) for settings in SETTINGS),
        *((settings, cropping) for settings in SETTINGS[4:6] for cropping in CROPPED),
    ],
    ids=lambda value: (
        "-".join([value["cell"], value["pooling"], *["stem"][: "stem" in value]])
        if isinstance(value, dict)
        else str(value)
    ),
)
def test_shares_sum_to_what_the_input_changes_in_the_log_odds(settings, is_tokens, cropping):
    network, sequence = make(is_tokens, **settings), draw(11, is_tokens, seed=1)
    found = explain(network, sequence, cropping)
    if is_tokens:
        nothing = make(is_tokens, **settings)
        nn.init.zeros_(nothing.embed.weight)
        before = probabilities(nothing, sequence, cropping)
    else:
        mean = np.full_like(sequence, 0.5)
        before = probabilities(network, mean, cropping)
    after = probabilities(network, sequence, cropping)
    assert found.predicted == after.argmax()
    ends = [logit(float(p[found.predicted])) for p in (before, after)]
    assert [found.baseline_log_odds, found.log_odds] == pytest.approx(ends, abs=1e-4)
    difference = ends[1] - ends[0]
    assert abs(difference) > 0.02  # else there is nothing to sum to
    assert np.nansum(found.attributions) == pytest.approx(difference, rel=TOLERANCE)
    assert found.gap < TOLERANCE


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_every_layout_gives_the_same_shares(cell):
    attributions = []
    for layout in LAYOUTS:
        network = make(cell=cell, layout=layout, bidirectional=True, pooling="mean", num_layers=2)
        attributions.append(explain(network, draw(10), Cropping(4, "windows")).attributions)
    for other in attributions[1:]:
        np.testing.assert_allclose(other, attributions[0], atol=1e-5)


def test_the_shares_agree_with_a_sum_over_many_even_points():
    network, sequence = make(pooling="attention", bidirectional=True), draw(7)
    found = explain(network, sequence)
    steps = network.normalize(torch.tensor(sequence)[None], torch.tensor([len(sequence)]))[0]
    steps = steps.detach()
    points = (torch.arange(2000) + 0.5) / 2000
    entering = (points[:, None, None] * steps).requires_grad_()
    inputs = entering * network.normalize.std + network.normalize.mean
    found_probabilities = network(inputs, torch.full((2000,), 7)).softmax(1)[:, found.predicted]
    (gradient,) = torch.autograd.grad(torch.logit(found_probabilities).sum(), entering)
    total = (gradient.mean(0) * steps).sum(1)
    np.testing.assert_allclose(found.attributions, total, atol=2e-3 * np.abs(total).max())


@pytest.mark.parametrize(
    ("settings", "deciding"),
    [
        ({"pooling": "last"}, [8]),
        ({"pooling": "last", "bidirectional": True}, [0, 8]),
        ({"pooling": "last", "max_steps": 5}, [4]),
        ({"pooling": "last", "max_steps": 5, "crop": "tail"}, [8]),
        ({"pooling": "last", "max_steps": 3, "crop": "windows"}, [2, 5, 8]),
        ({"pooling": "last", "max_steps": 6, "crop": "windows"}, [5, 8]),
    ],
    ids=str,
)
def test_a_network_without_memory_decides_by_the_steps_that_it_pools(settings, deciding):
    network = make(cell="rnn", **settings)
    for name, weights in network.recurrent.weights.named_parameters():
        if "weight_hh" in name:
            nn.init.zeros_(weights)
    explanation = explain(network, draw(9), network.settings.cropping)
    attributions = np.nan_to_num(explanation.attributions)
    assert np.flatnonzero(attributions).tolist() == deciding


def test_a_trained_network_gives_the_share_to_the_step_that_tells_the_class():
    random = np.random.default_rng(0)
    sequences = random.normal(size=(256, 8, 3)).astype(np.float32)
    labels = random.integers(0, 2, 256)
    sequences[:, 3, 1] = 8 * labels - 4
    network = make(hidden_size=8, pooling="mean")
    inputs, targets = torch.tensor(sequences), torch.tensor(labels)
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs, torch.full((256,), 8)), targets).backward()
        optimizer.step()
    strongest = [
        np.abs(explain(network, sequence).attributions).argmax() for sequence in sequences[:12]
    ]
    assert np.mean(np.array(strongest) == 3) > 0.9


def test_what_has_no_influence_has_no_share():
    network = make(cell="lstm", pooling="mean")
    with torch.no_grad():
        network.recurrent.weights.weight_ih_l0[:, 2] = 0  # the third feature is ignored
    sequence = draw(8)
    sequence[5] = (0.5, 0.5, 90.0)  # the mean but for the ignored feature
    attributions = explain(network, sequence).attributions
    assert attributions[5] == 0 and np.count_nonzero(attributions) == 7
    tokens = make(is_tokens=True, pooling="max")
    with torch.no_grad():
        tokens.embed.weight[7] = 0
    attributions = explain(tokens, np.array([3, 7, 5, 7], np.int32)).attributions
    assert attributions[[1, 3]].tolist() == [0, 0] and attributions[[0, 2]].all()


def test_steps_that_the_model_does_not_read_have_no_share():
    network, sequence = make(), draw(10)
    head, tail = (
        explain(network, sequence, Cropping(4, crop)).attributions for crop in ("head", "tail")
    )
    assert np.isnan(head).tolist() == [False] * 4 + [True] * 6
    assert np.isnan(tail).tolist() == [True] * 6 + [False] * 4
    np.testing.assert_allclose(head[:4], explain(network, sequence[:4]).attributions, atol=1e-6)
    assert not np.isnan(explain(network, sequence, Cropping(4, "windows")).attributions).any()


def test_a_sudden_flip_on_the_line_is_found():
    """A network that changes its mind within a thousandth of the line, between even points."""
    network = make(cell="rnn", hidden_size=2, pooling="last", width=1)
    weights = network.recurrent.weights
    with torch.no_grad():
        network.normalize.learn(torch.zeros(1), torch.ones(1))
        for parameter in network.parameters():
            parameter.zero_()
        weights.weight_ih_l0[0] = 4e4
        weights.bias_ih_l0[0] = -4e4 * 0.61803  # tanh switches at that share of the way
        network.classify.weight[1, 0] = 3
    found = explain(network, np.array([[0.3], [1.0]], np.float32))
    assert found.predicted == 1 and found.log_odds - found.baseline_log_odds > 5
    assert found.attributions[0] == 0 and found.gap < TOLERANCE
    assert found.num_points < 1000


def test_an_answer_that_nothing_changes_has_no_shares_and_no_gap():
    network = make()
    nn.init.zeros_(network.classify.weight)
    found = explain(network, draw(5))
    assert not found.attributions.any() and found.gap == 0


def test_explaining_leaves_the_network_as_it_was(monkeypatch):
    monkeypatch.setattr(module, "STEPS_AT_ONCE", 1)  # as for the longest recordings
    network = make(dropout=0.5, num_layers=2, layout="padded").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = (explain(network, draw(6)).attributions for _ in range(2))
    np.testing.assert_array_equal(one, other)  # no dropout
    assert network.training and not network.normalize._forward_hooks
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    np.testing.assert_allclose(one, explain(network.eval(), draw(6)).attributions, atol=1e-6)


def test_what_is_missed_makes_the_attributions_rough(monkeypatch):
    """A network that switches within a thousandth of the line."""
    network = make(cell="lstm", pooling="last", seed=3)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if "weight" in name:
                values.mul_(2)
    sequence = draw(40, seed=1)
    explanation = explain(network, sequence)
    assert not explanation.is_rough and explanation.gap <= TOLERANCE
    monkeypatch.setattr(module, "MOST_POINTS", 36)
    assert explain(network, sequence).is_rough


def joined_item(tone: int = 7, note: int = 4) -> tuple:
    """The network of a bundle of several inputs, and an item with so many steps."""
    bundle = joined_bundle(**PLAIN)
    random = np.random.default_rng(2)
    assert bundle.layout is not None
    parts = [
        random.normal(2, 3, (tone, 2)).astype(np.float32) if tone else None,
        random.integers(2, 6, note).astype(np.int32) if note else None,
    ]
    cells = np.zeros(bundle.layout.num_cells, np.float32)
    cells[[0, 2]] = 1.5, 1
    return bundle.network, bundle.layout, bundle.layout.pack(parts, cells)


@pytest.mark.parametrize(("tone", "note"), [(7, 4), (0, 4), (7, 0), (0, 0)])
def test_shares_of_several_inputs_sum_to_what_all_change_together(tone, note):
    network, layout, item = joined_item(tone, note)
    found = explain(network, item, predicted=0)
    assert found.attributions.shape == (tone + note + len(layout.columns),)
    nothing = joined_item()[0]
    nn.init.zeros_(nothing.branches[1].embed.weight)
    mean = np.full((tone, 2), 2, np.float32) if tone else None
    tokens = layout.unpack(item)[1]
    before = probabilities(nothing, layout.pack([mean, tokens], 0 * layout.cells(item)))
    after = probabilities(network, item)
    ends = [logit(float(p[found.predicted])) for p in (before, after)]
    assert [found.baseline_log_odds, found.log_odds] == pytest.approx(ends, abs=1e-4)
    difference = ends[1] - ends[0]
    assert abs(difference) > 0.02
    assert found.attributions.sum() == pytest.approx(difference, rel=TOLERANCE)


def test_an_input_or_column_that_counts_for_nothing_has_no_share():
    network, layout, item = joined_item()
    tone, _ = (branch.pool.output_size for branch in network.branches)
    with torch.no_grad():
        network.join.weight[:, :tone] = 0
        network.join.weight[:, -layout.columns[1].width :] = 0
    shares = explain(network, item, predicted=0).attributions
    assert not shares[:7].any() and shares[7:12].all() and shares[12] == 0


def test_several_joined_networks_are_explained_together():
    network, layout, item = joined_item()
    other = joined_item()[0]
    nn.init.normal_(other.classify.weight)
    found = explain(Ensemble([network, other]).eval(), item, predicted=0)
    assert found.gap < TOLERANCE and found.attributions.all()
    assert len(found.attributions) == 11 + len(layout.columns)
