"""The training loop: it learns, repeats itself, and goes on where it stopped."""

import os
import signal

import numpy as np
import pytest
import torch
from toys import PLAIN, UNCHANGED, toy_store

from seqbelt.data.batches import training_plan
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training import device
from seqbelt.training.history import Epoch
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import Scores, predict_logits, score

MODEL = Model(**PLAIN | {"hidden_size": 8, "dropout": 0.3})
TRAINING = Training(num_epochs=4, batch_size=8, learning_rate=0.02, device="cpu", **UNCHANGED)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def fit(store, training=TRAINING, resume=False, **options):
    train, validation = store.split("train"), store.split("validation")
    return Loop(
        training, lambda: build_network(MODEL, 3, 2, False), train, validation, **options
    ).run(resume)


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
    training = TRAINING.replace(learning_rate=0.3, keep="best", monitor="loss")
    network, history = fit(store, training)
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
        network, _ = Loop(training, lambda: build_network(MODEL, 3, 2, False), skewed, None).run()
        logits = predict_logits(network, store.split("test"), torch.device("cpu"))
        return (logits.argmax(1) == 0).mean()

    assert share_of_rare(TRAINING) == 0
    assert share_of_rare(TRAINING.model_copy(update=change)) > 0.1


def test_patience_stops_early(tmp_path):
    hopeless = toy_store(tmp_path, learnable=False)
    _, history = fit(
        hopeless, TRAINING.model_copy(update={"num_epochs": 200, "patience": 3, "keep": "best"})
    )
    assert len(history.epochs) == history.best_epoch + 3 < 200


@pytest.mark.parametrize("keep", ["auto", "last", "best"])
def test_patience_stops_early_whatever_is_kept(tmp_path, keep):
    """15 validation rows choose no weights, but they were asked to stop the training."""
    hopeless = toy_store(tmp_path, learnable=False)
    training = TRAINING.replace(num_epochs=200, patience=3, keep=keep)
    _, history = fit(hopeless, training)
    ranks = [(e.validation.accuracy, -e.validation.loss) for e in history.epochs]
    assert len(history.epochs) == 1 + ranks.index(max(ranks)) + 3 < 200
    assert history.kept_best is (keep == "best")


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
    assert [number for number, _ in expected.reaches] == [0, 1, 2, 4]
    assert history.reaches == expected.reaches


def test_resuming_a_finished_training_changes_nothing(store, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    network, expected = fit(store, checkpoint=path)
    again, history = fit(store, checkpoint=path, resume=True)
    assert torch.equal(weights(again), weights(network))
    assert history.epochs == expected.epochs and history.best_epoch == expected.best_epoch
    for name in ("fill", "flops", "padded_flops"):
        assert getattr(history, name) == getattr(expected, name), name


PASSES = Training(num_updates=24, batch_size=8, learning_rate=0.02, device="cpu")
"""On the toy store's 30 rows six passes of 4 batches, of which two epochs have three each; with
the augmentation of the kind, which differs from pass to pass."""


@pytest.fixture
def two_epochs(monkeypatch):
    monkeypatch.setattr("seqbelt.training.hyperparameters.MAX_EPOCHS", 2)


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("stop_after", [3, 6, 8, 12, 18])
def test_interrupted_in_any_pass_of_an_epoch_it_goes_on_to_the_same_weights(
    store, tmp_path, two_epochs, stop_after, keep
):
    training = PASSES.replace(keep=keep)
    undisturbed, expected = fit(store, training)
    assert len(expected.epochs) == 2
    steps = []

    def interrupt():
        steps.append(1)
        if len(steps) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "checkpoint.safetensors"
    _, cut = fit(store, training, checkpoint=path, on_step=interrupt)
    assert cut.interrupted and len(steps) == stop_after
    network, history = fit(store, training, checkpoint=path, resume=True, on_step=interrupt)
    assert len(steps) == 24, "no batch is read twice"
    assert torch.equal(weights(network), weights(undisturbed))
    for name in ("train_loss", "gradient_norm", "validation", "learning_rate"):
        found, wanted = ([getattr(e, name) for e in h.epochs] for h in (history, expected))
        assert found == wanted, name
    assert history.best_epoch == expected.best_epoch


def test_every_pass_has_batches_of_its_own(store, two_epochs, monkeypatch):
    plans = []

    def spy(lengths, batch_size, seed, number, bucket_batches):
        plan = training_plan(lengths, batch_size, seed, number, bucket_batches)
        plans.append((number, tuple(np.concatenate(plan).tolist())))
        return plan

    monkeypatch.setattr("seqbelt.training.loop.training_plan", spy)
    fit(store, PASSES)
    assert [number for number, _ in plans] == list(range(6))
    assert len({order for _, order in plans}) == 6


def loss_of(network, validation):
    logits = predict_logits(network, validation, torch.device("cpu"))
    return score(logits, validation.labels).loss


def test_the_last_weights_are_kept_or_the_best_of_the_same_training(store):
    wild = TRAINING.replace(learning_rate=0.3, num_epochs=6, schedule="constant")
    (last, end), (best, found) = (fit(store, wild.replace(keep=keep)) for keep in ("last", "best"))
    scores = [epoch.validation for epoch in end.epochs]
    assert scores == [epoch.validation for epoch in found.epochs]
    assert (end.kept_best, end.best_epoch) == (False, 6)
    ranks = [(one.accuracy, -one.loss) for one in scores]
    assert found.kept_best and found.best_epoch == 1 + ranks.index(max(ranks))
    assert len({one.accuracy for one in scores}) < 6, "some tie, which the loss decides"
    validation = store.split("validation")
    assert loss_of(last, validation) == pytest.approx(scores[-1].loss, abs=1e-6)
    assert loss_of(best, validation) == pytest.approx(scores[found.best_epoch - 1].loss, abs=1e-6)


def test_of_equals_the_one_with_the_lower_loss_is_best(store):
    loop = loop_of(store, TRAINING.replace(keep="best"))
    loop.history.epochs = [Epoch(1, 0.0, 0.0, 0.0, 0.0, 0.0, Scores(0.8, 0.8, 0.5))]
    loop.history.best_epoch = 1
    for scores, is_best in [
        (Scores(0.8, 0.8, 0.4), True),
        (Scores(0.8, 0.8, 0.5), False),
        (Scores(0.8, 0.9, 0.6), False),
        (Scores(0.9, 0.8, 0.9), True),
        (Scores(0.7, 0.7, 0.1), False),
    ]:
        assert loop._is_best(Epoch(2, 0.0, 0.0, 0.0, 0.0, 0.0, scores)) is is_best, scores


def loop_of(store, training, validation="validation"):
    part = store.split(validation) if isinstance(validation, str) else validation
    return Loop(training, lambda: build_network(MODEL, 3, 2, False), store.split("train"), part)


def test_only_enough_validation_rows_of_every_class_choose(store, tmp_path):
    large = toy_store(tmp_path, count=400)
    constant = TRAINING.replace(schedule="constant")
    enough = large.split("validation")
    assert len(enough) == 100 and len(store.split("validation")) == 15
    lacking = large.split("train")
    lacking = lacking.take(np.flatnonzero(lacking.labels == 0))
    assert len(lacking) > 50
    assert loop_of(large, constant, enough).keeps_best
    assert loop_of(large, constant, enough.take(np.arange(50))).keeps_best
    for part in (enough.take(np.arange(49)), lacking, None):
        assert not loop_of(large, constant, part).keeps_best
        assert loop_of(large, constant.replace(keep="best"), part).keeps_best is (part is not None)
    assert not loop_of(large, constant.replace(keep="last"), enough).keeps_best


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_a_learning_rate_that_falls_to_zero_keeps_the_last_unless_it_may_stop_early(
    tmp_path, schedule
):
    store = toy_store(tmp_path, count=400)
    falling = TRAINING.replace(schedule=schedule)
    assert not loop_of(store, falling).keeps_best
    assert loop_of(store, falling.replace(patience=3)).keeps_best
    assert loop_of(store, falling.replace(keep="best")).keeps_best


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
    with pytest.raises(SettingsError, match=r"training\.precision.*set it to float32"):
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
        _, history = Loop(
            training, lambda: build_network(model, 3, 2, False), train, validation
        ).run()
        return [epoch.train_loss for epoch in history.epochs]

    assert losses(chunk_steps=3) == pytest.approx(losses(), abs=1e-5)
    assert losses(chunk_steps=3, truncate_gradient=True) != pytest.approx(losses(), abs=1e-5)


def test_chunks_of_a_bidirectional_network_are_refused_with_the_setting(store):
    model = MODEL.model_copy(update={"bidirectional": True})
    training = TRAINING.model_copy(update={"chunk_steps": 3})
    with pytest.raises(SettingsError, match=r"training\.chunk_steps.*model\.bidirectional"):
        Loop(training, lambda: build_network(model, 3, 2, False), store.split("train"), None).run()


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_the_work_of_an_epoch_is_counted_and_padding_apart(store, layout):
    model = MODEL.model_copy(update={"layout": layout})
    train = store.split("train")
    training = TRAINING.model_copy(update={"num_epochs": 1})
    _, history = Loop(training, lambda: build_network(model, 3, 2, False), train, None).run()
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
