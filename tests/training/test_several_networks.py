"""Several networks of one model: each as if alone, and the same after an interruption."""

import os
import signal

import pytest
import torch
from toys import PLAIN, UNCHANGED, toy_store

from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.several_networks import member_seed, train_networks

MODEL = Model(**PLAIN | {"hidden_size": 8, "dropout": 0.3})
TRAINING = Training(
    num_networks=3, num_epochs=2, batch_size=8, learning_rate=0.02, device="cpu", **UNCHANGED
)
NUM_STEPS = 2 * 4
"""Of each network: two epochs of 30 rows."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    store = toy_store(tmp_path_factory.mktemp("store"))
    return store.split("train"), store.split("validation")


def build():
    return build_network(MODEL, 3, 2, False)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_each_network_is_trained_as_if_it_were_alone(parts):
    epochs, steps, numbers = [], [], []
    network, history = train_networks(
        TRAINING,
        build,
        *parts,
        on_network=lambda number: numbers.append((number, len(steps))),
        on_epoch=epochs.append,
        on_step=lambda: steps.append(1),
    )
    assert numbers == [(number, number * NUM_STEPS) for number in range(3)]
    assert isinstance(network, Ensemble) and len(network.networks) == 3
    assert len(steps) == 3 * NUM_STEPS
    seconds = 0.0
    for number, member in enumerate(network.networks):
        seed = member_seed(TRAINING.seed, number)
        alone, its_history = Loop(TRAINING.replace(seed=seed), build, *parts).run()
        assert torch.equal(weights(member), weights(alone))
        if not number:
            assert [e.train_loss for e in epochs] == [e.train_loss for e in its_history.epochs]
            assert history.epochs == epochs
            seconds = sum(epoch.train_s for epoch in epochs)
    assert history.train_s > seconds


def test_one_network_is_no_ensemble(parts):
    one = TRAINING.replace(num_networks=1)
    network, _ = train_networks(one, build, *parts)
    alone, _ = Loop(one, build, *parts).run()
    assert torch.equal(weights(network), weights(alone))


def test_no_network_has_the_seed_of_another():
    seeds = {member_seed(seed, number) for seed in range(50) for number in range(10)}
    assert len(seeds) == 500 and member_seed(7, 0) == 7
    assert all(Training(seed=seed).seed == seed for seed in seeds)


@pytest.mark.parametrize("stop_after", [3, NUM_STEPS + 1, 2 * NUM_STEPS + 5])
def test_interrupted_in_any_network_it_goes_on_to_the_same_weights(parts, tmp_path, stop_after):
    expected, _ = train_networks(TRAINING, build, *parts)
    steps = []

    def interrupt():
        steps.append(1)
        if len(steps) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"checkpoint": tmp_path / "checkpoint.safetensors", "on_step": interrupt}
    cut, history = train_networks(TRAINING, build, *parts, **options)
    assert history.interrupted and len(steps) == stop_after
    assert len(cut.networks) == max(1, stop_after // NUM_STEPS)
    network, history = train_networks(TRAINING, build, *parts, **options, resume=True)
    assert not history.interrupted and len(steps) == 3 * NUM_STEPS, "no batch is read twice"
    assert torch.equal(weights(network), weights(expected))


def test_a_new_training_does_not_go_on_from_an_earlier_one(parts, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train_networks(TRAINING, build, *parts, checkpoint=path)
    assert len(list(tmp_path.iterdir())) == 3 * 2  # and the one before it
    steps = []

    def interrupt():
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    train_networks(TRAINING, build, *parts, checkpoint=path, on_step=interrupt)
    assert {file.stem for file in tmp_path.iterdir()} == {path.stem, f"{path.stem}-former"}
