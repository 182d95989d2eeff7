"""Laws of the average of several networks."""

import numpy as np
import pytest
import torch
from toys import PLAIN, streaming

from seqbelt.cropping import Cropping
from seqbelt.data.batches import pad
from seqbelt.evaluation.attribution import TOLERANCE, explain
from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble, average_logits
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem


def build(seed, is_tokens=False, **settings):
    torch.manual_seed(seed)
    model = Model(**PLAIN | {"hidden_size": 6, "embedding_size": 5} | settings)
    network = build_network(model, 20 if is_tokens else 4, 3, is_tokens).eval()
    with torch.no_grad():
        network.classify.weight.mul_(6)
        if is_tokens:
            network.embed.weight.normal_()
    return network


def draw(num_steps, seed=0):
    return np.random.default_rng(seed).normal(size=(num_steps, 4)).astype(np.float32)


@pytest.mark.parametrize("pooling", ["attention", "none"])
def test_the_probabilities_are_the_mean_of_its_networks(pooling):
    networks = [build(seed, pooling=pooling) for seed in range(3)]
    inputs, lengths = pad([draw(9), draw(4, 1)])
    with torch.inference_mode():
        found = Ensemble(networks)(inputs, lengths).softmax(-1)
        each = [one(inputs, lengths).softmax(-1) for one in networks]
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    assert not torch.allclose(found, each[0], atol=1e-2), "the networks do not differ"


def test_logits_far_apart_stay_finite():
    logits = [torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])]
    torch.testing.assert_close(average_logits(logits), torch.full((1, 2), -np.log(2)).float())


def test_its_loss_is_at_most_the_mean_loss_of_its_networks():
    networks = [build(seed) for seed in range(4)]
    inputs, lengths = pad([draw(9, seed) for seed in range(20)])
    labels = torch.arange(20) % 3
    loss = torch.nn.functional.cross_entropy
    with torch.inference_mode():
        mean = np.mean([float(loss(one(inputs, lengths), labels)) for one in networks])
        assert float(loss(Ensemble(networks)(inputs, lengths), labels)) < mean


@pytest.mark.parametrize("other", [{"hidden_size": 7}, {"cell": "rnn"}, {"dropout": 0.5}])
def test_networks_of_other_settings_are_refused(other):
    with pytest.raises(ValueError, match="equal settings and sizes"):
        Ensemble([build(0), build(1, **other)])


def test_one_network_is_no_ensemble():
    with pytest.raises(ValueError, match="two networks or more, got 1"):
        Ensemble([build(0)])


@pytest.mark.parametrize(
    "settings", [{}, {"stem": Stem(channels=(6, 8), kernel_sizes=(3, 3), strides=(1, 2))}]
)
def test_it_streams_to_the_answer_of_the_whole(settings):
    network, steps = Ensemble([build(seed, **settings) for seed in range(2)]), draw(40)
    reader = streaming(network)
    for piece in np.split(steps, [1, 8, 30]):
        reader.push(piece)
    with torch.inference_mode():
        expected = network(*pad([steps]))[0]
    assert reader.num_steps == 40
    torch.testing.assert_close(torch.from_numpy(reader.logits), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_tokens", [False, True])
@pytest.mark.parametrize("crop", [{}, {"max_steps": 8, "crop": "windows"}])
def test_an_explanation_is_complete_and_of_its_own_answer(is_tokens, crop):
    network = Ensemble([build(seed, is_tokens) for seed in range(3)])
    sequence = draw(21)
    if is_tokens:
        sequence = np.random.default_rng(0).integers(0, 20, 21).astype(np.int32)
    found = explain(network, sequence, Cropping(**crop))
    stretches = Cropping(**crop).windows(sequence)
    with torch.inference_mode():
        shares = network(*pad(stretches)).double().softmax(1).mean(0)
    best = int(shares.argmax())
    assert found.predicted == best and found.gap < TOLERANCE
    assert found.log_odds == pytest.approx(float(torch.logit(shares[best])), rel=1e-3, abs=1e-4)
    assert not any(one._forward_hooks for one in network.modules())
