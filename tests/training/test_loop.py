"""The training loop: it learns, repeats itself, and goes on where it stopped."""

import os
import signal

import numpy as np
import pytest
import torch
from toys import toy_store

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.models.classifier import Model
from seqbelt.training import device
from seqbelt.training.scoring import predict_logits, score
from seqbelt.training.settings import Training

MODEL = Model(hidden_size=8, dropout=0.3)
TRAINING = Training(num_epochs=4, batch_size=8, learning_rate=0.02, device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def fit(store, training=TRAINING, **options):
    train, validation = store.split("train"), store.split("validation")
    return training.fit(lambda: MODEL.build(3, 2, False), train, validation, **options)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_it_learns(store):
    _, history = fit(store, TRAINING.model_copy(update={"num_epochs": 15}))
    assert history.epochs[-1].validation.accuracy > 0.9
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


def test_steps_are_not_slowed_by_subnormal_numbers(store):
    products = []

    def on_step():
        products.append(float(torch.tensor(1e-40) * 1))

    fit(store, on_step=on_step)
    assert set(products) == {0.0}
    assert float(torch.tensor(1e-40) * 1) > 0, "the caller's arithmetic is as it was"


def test_the_same_seed_gives_the_same_losses_and_weights(store):
    (one, first), (other, second) = fit(store), fit(store)
    assert [e.train_loss for e in first.epochs] == [e.train_loss for e in second.epochs]
    assert torch.equal(weights(one), weights(other))


def test_another_seed_gives_other_losses(store):
    _, first = fit(store)
    _, second = fit(store, TRAINING.model_copy(update={"seed": 1}))
    assert first.epochs[0].train_loss != second.epochs[0].train_loss


def test_the_best_epoch_s_weights_are_kept(store):
    network, history = fit(store, TRAINING.model_copy(update={"learning_rate": 0.3}))
    best = min(history.epochs, key=lambda epoch: epoch.validation.loss)
    assert history.best_epoch == best.number
    validation = store.split("validation")
    found = score(predict_logits(network, validation, torch.device("cpu")), validation.labels)
    assert found.loss == pytest.approx(best.validation.loss, abs=1e-6)


@pytest.mark.parametrize("change", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_a_rare_class_is_learned_when_it_counts_as_much(tmp_path, change):
    """The features tell nothing and one class is rare: the answers follow what counts."""
    store = toy_store(tmp_path, count=400, learnable=False)
    train = store.split("train")
    rare, frequent = (np.flatnonzero(train.labels == label) for label in (0, 1))
    skewed = train.take(np.concatenate([rare[:8], frequent]))

    def share_of_rare(training):
        network, _ = training.fit(lambda: MODEL.build(3, 2, False), skewed, None)
        logits = predict_logits(network, store.split("test"), torch.device("cpu"))
        return (logits.argmax(1) == 0).mean()

    assert share_of_rare(TRAINING) == 0
    assert share_of_rare(TRAINING.model_copy(update=change)) > 0.1


def test_patience_stops_early(tmp_path):
    hopeless = toy_store(tmp_path, learnable=False)
    _, history = fit(hopeless, TRAINING.model_copy(update={"num_epochs": 200, "patience": 3}))
    assert len(history.epochs) == history.best_epoch + 3 < 200


@pytest.mark.parametrize("stop_after", [1, 2, 5, 11])
def test_interrupted_at_any_step_it_goes_on_to_the_same_weights(store, tmp_path, stop_after):
    undisturbed, expected = fit(store)
    steps = 0

    def interrupt():
        nonlocal steps
        steps += 1
        if steps == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "checkpoint.safetensors"
    _, cut = fit(store, checkpoint=path, on_step=interrupt)
    assert cut.interrupted and len(cut.epochs) < 4
    network, history = fit(store, checkpoint=path, resume=True)
    assert torch.equal(weights(network), weights(undisturbed))
    assert [e.train_loss for e in history.epochs] == [e.train_loss for e in expected.epochs]
    assert history.best_epoch == expected.best_epoch and not history.interrupted


def test_signal_handlers_are_put_back(store):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    fit(store)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_loss_that_explodes_is_an_error_that_names_the_settings(store):
    wild = TRAINING.model_copy(update={"learning_rate": 1e30, "clip_norm": None})
    with pytest.raises(SeqbeltError, match=r"training\.learning_rate"):
        fit(store, wild)


def test_a_device_that_is_not_there_is_an_error(store):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SeqbeltError, match=r"training\.device"):
        fit(store, TRAINING.model_copy(update={"device": "cuda"}))


@pytest.mark.skipif(not device.has_bf16_products(), reason="the processor has no bfloat16")
def test_bf16_learns_too_and_keeps_float32_weights(store):
    training = TRAINING.model_copy(update={"num_epochs": 15, "precision": "bf16"})
    network, history = fit(store, training)
    assert history.epochs[-1].validation.accuracy > 0.9
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_bf16_is_refused_where_the_processor_would_emulate_it(store, monkeypatch):
    monkeypatch.setattr(device, "processor_flags", lambda: frozenset({"avx2", "fma"}))
    with pytest.raises(SettingsError, match=r"training\.precision.*use float32"):
        fit(store, TRAINING.model_copy(update={"precision": "bf16"}))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_schedules_peak_at_the_learning_rate(schedule):
    training = TRAINING.model_copy(update={"schedule": schedule})
    rates = [training.learning_rate_at(step / 100) for step in range(101)]
    assert max(rates) == pytest.approx(0.02)
    assert all(rate >= 0 for rate in rates)
    if schedule != "constant":
        assert rates[-1] < 0.01 * max(rates)


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_chunks_save_memory_and_change_nothing_but_rounding(store, layout):
    model = MODEL.model_copy(update={"layout": layout})
    train, validation = store.split("train"), store.split("validation")

    def losses(**changes):
        training = TRAINING.model_copy(update=changes)
        _, history = training.fit(lambda: model.build(3, 2, False), train, validation)
        return [epoch.train_loss for epoch in history.epochs]

    assert losses(chunk_steps=3) == pytest.approx(losses(), abs=1e-5)
    assert losses(chunk_steps=3, truncate_gradient=True) != pytest.approx(losses(), abs=1e-5)


def test_chunks_of_a_bidirectional_network_are_refused_with_the_setting(store):
    model = MODEL.model_copy(update={"bidirectional": True})
    training = TRAINING.model_copy(update={"chunk_steps": 3})
    with pytest.raises(SettingsError, match=r"training\.chunk_steps.*model\.bidirectional"):
        training.fit(lambda: model.build(3, 2, False), store.split("train"), None)


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_the_work_of_an_epoch_is_counted_and_padding_apart(store, layout):
    model = MODEL.model_copy(update={"layout": layout})
    train = store.split("train")
    training = TRAINING.model_copy(update={"num_epochs": 1})
    _, history = training.fit(lambda: model.build(3, 2, False), train, None)
    weights_of_a_step = 4 * 8 * (3 + 8)  # four gates of eight units read inputs and states
    assert history.flops == 3 * 2 * weights_of_a_step * train.lengths.sum()
    if layout == "packed":
        assert history.padded_flops == 0 < 1 - history.fill
    else:
        computed = history.flops + history.padded_flops
        assert history.flops / computed == pytest.approx(history.fill)


def test_tf32_is_refused_where_there_is_none(store):
    with pytest.raises(SettingsError, match=r"training\.precision: tf32"):
        fit(store, TRAINING.model_copy(update={"precision": "tf32"}))
