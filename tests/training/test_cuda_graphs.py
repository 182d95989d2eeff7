"""Recorded steps do what launched ones do, and nothing in them waits."""

import logging
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_store

from seqbelt.data.batches import Batch
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.cuda_graphs import GraphedSteps, pad_steps, rounded_up
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MODEL = Model(hidden_size=16, num_layers=2, bidirectional=True, dropout=0.3, pooling="attention")
TRAINING = Training(num_epochs=6, batch_size=8, learning_rate=0.02)


@given(st.integers(1, 200_000))
def test_batches_are_padded_to_few_lengths_at_most_an_eighth_longer(num_steps):
    longer = rounded_up(num_steps)
    assert num_steps <= longer <= 1.125 * num_steps
    assert rounded_up(longer) == longer


def test_there_are_eight_lengths_from_one_power_of_two_to_the_next():
    assert len({rounded_up(steps) for steps in range(513, 1025)}) == 8


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3)])
def test_zeros_are_put_behind_the_steps(shape):
    inputs = torch.ones(shape, dtype=torch.int64)
    longer = pad_steps(inputs, 8)
    assert longer.shape == (2, 8, *shape[2:])
    assert torch.equal(longer[:, :5], inputs) and not longer[:, 5:].any()


def fit(store, **changes):
    training = TRAINING.model_copy(update={"device": "cuda", **changes})
    train, validation = store.split("train"), store.split("validation")
    network, history = Loop(
        training, lambda: build_network(MODEL, 3, 2, False), train, validation
    ).run()
    weights = torch.cat([value.flatten() for value in network.state_dict().values()])
    return weights, [epoch.train_loss for epoch in history.epochs]


CHANGES = {
    "float32": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "mixup": {"augmentation": Augmentation(mixup_alpha=0.3, time_stretch=0.3)},
}


@needs_gpu
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_recorded_training_gives_the_bits_of_a_launched_one(tmp_path, monkeypatch, changes):
    store = toy_store(tmp_path)
    recorded, losses = fit(store, **changes)
    monkeypatch.setattr("seqbelt.training.cuda_graphs.RECORD_AFTER", 10**9)
    launched, expected = fit(store, **changes)
    assert losses == expected and torch.equal(recorded, launched)


@needs_gpu
def test_without_graphs_it_learns_as_well(tmp_path):
    _, losses = fit(toy_store(tmp_path), cuda_graphs=False)
    assert losses[-1] < losses[0]


def test_without_room_for_recorded_steps_they_are_launched(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    tried, launched = [], []

    def record(batch):
        tried.append(batch)
        raise RuntimeError("CUDA error: out of memory")

    steps = GraphedSteps(launched.append, torch.device("cpu"))
    monkeypatch.setattr(steps, "_record", record)
    batch = Batch(torch.ones(2, 5, 1), torch.tensor([5, 5]), torch.ones(2), torch.arange(2))
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            steps._run(batch)
    assert len(launched) == 4 and len(tried) == 1 and not steps.recorded
    assert "training.cuda_graphs" in caplog.text


@needs_gpu
@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("is_resident", [True, False])
def test_no_step_waits_for_the_gpu(tmp_path, layout, is_resident):
    train = toy_store(tmp_path).split("train")
    model = MODEL.model_copy(update={"layout": layout})
    training = TRAINING.model_copy(update={"device": "cuda"})
    loop = Loop(training, lambda: build_network(model, 3, 2, False), train, None)
    if not is_resident:
        loop.prefetcher.resident = None
    plan = [torch.arange(8).numpy()] * 4
    for batch in loop.prefetcher.batches(train, plan, 0):
        loop.update(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in loop.prefetcher.batches(train, plan, 0):
            loop.update(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    if layout == "padded":
        assert isinstance(loop.update, GraphedSteps) and len(loop.update.recorded) == 1
