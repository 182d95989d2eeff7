"""Cropping: the same steps are read in training, evaluation and prediction."""

import itertools
import os
import signal

import numpy as np
import pytest
import torch
from scipy.special import softmax
from toys import Ready, toy_store

from seqbelt.cropping import Cropping
from seqbelt.data.cropped_sequences import (
    average_window_probabilities,
    crop_sequences,
    cut_windows,
    draw_crops,
    lost_steps,
)
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop
from seqbelt.training.scoring import predict_logits

CROPS = ["head", "tail", "random", "windows"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Sequences of 2 to 12 steps."""
    return toy_store(tmp_path_factory.mktemp("store")).split("train")


@pytest.mark.parametrize("crop", CROPS)
def test_no_more_than_max_steps_are_read_and_short_sequences_are_whole(rows, crop):
    cropped = draw_crops(crop_sequences(rows, Cropping(5, crop)), seed=0, epoch=3)
    assert cropped.lengths.tolist() == np.minimum(rows.lengths, 5).tolist()
    for index in range(len(rows)):
        assert len(cropped[index]) == cropped.lengths[index]
        if rows.lengths[index] <= 5:
            assert np.array_equal(cropped[index], rows[index])


def test_head_is_the_first_steps_and_tail_the_last(rows):
    head, tail = (
        crop_sequences(rows, Cropping(5, "head")),
        crop_sequences(rows, Cropping(5, "tail")),
    )
    for index in range(len(rows)):
        assert np.array_equal(head[index], rows[index][:5])
        assert np.array_equal(tail[index], rows[index][-5:])


@pytest.mark.parametrize("crop", CROPS)
def test_one_array_is_cropped_as_the_rows_of_a_store_are(rows, crop):
    stretches, sequence_index = cut_windows(crop_sequences(rows, Cropping(5, crop)))
    found = [(i, s) for i in range(len(rows)) for s in Cropping(5, crop).windows(rows[i])]
    assert sequence_index.tolist() == [owner for owner, _ in found]
    for index, (_, stretch) in enumerate(found):
        assert np.array_equal(stretch, stretches[index])


@pytest.mark.parametrize("max_steps", [1, 2, 5, 11])
def test_windows_read_every_step_and_are_equally_long(rows, max_steps):
    for index in range(len(rows)):
        numbered = np.arange(rows.lengths[index])
        stretches = Cropping(max_steps, "windows").windows(numbered)
        assert set(np.concatenate(stretches)) == set(numbered)
        assert {len(s) for s in stretches} == {min(max_steps, len(numbered))}
        assert len(stretches) == -(-len(numbered) // max_steps)


def test_votes_are_the_mean_probability_and_one_alone_keeps_its_logits():
    logits = np.array([[0.0, 9.0], [1.0, -2.0], [30.0, 3.0], [5.0, 5.0]], np.float32)
    pooled = average_window_probabilities(logits, np.array([0, 1, 1, 2]))
    assert np.array_equal(pooled[[0, 2]], logits[[0, 3]])
    expected = softmax(logits[1:3], axis=1).mean(0)
    np.testing.assert_allclose(np.exp(pooled[1]), expected, rtol=1e-6)
    assert np.array_equal(average_window_probabilities(logits, np.arange(4)), logits)


@pytest.mark.parametrize("crop", ["random", "windows"])
def test_training_at_random_reads_stretches_that_change_and_cover_all_steps(rows, crop):
    view = crop_sequences(rows, Cropping(4, crop))
    longest = int(rows.lengths.argmax())
    whole = rows[longest]
    seen = set()
    for epoch in range(60):
        found = draw_crops(view, 7, epoch)[longest]
        start = next(s for s in range(len(whole)) if np.array_equal(whole[s : s + 4], found))
        seen.add(start)
    assert seen == set(range(len(whole) - 4 + 1))
    assert np.array_equal(draw_crops(view, 7, 2).starts, draw_crops(view, 7, 2).starts)
    assert not np.array_equal(draw_crops(view, 7, 2).starts, draw_crops(view, 8, 2).starts)


def test_an_answer_reads_the_head_where_training_reads_at_random(rows):
    head = crop_sequences(rows, Cropping(4, "head"))
    view = crop_sequences(rows, Cropping(4, "random"))
    assert all(np.array_equal(view[index], head[index]) for index in range(len(rows)))


@pytest.mark.parametrize("crop", CROPS)
def test_a_selection_keeps_its_crops(rows, crop):
    cropped = draw_crops(crop_sequences(rows, Cropping(5, crop)), 0, 0)
    chosen = np.array([7, 3, 11])
    for place, index in enumerate(chosen):
        assert np.array_equal(cropped.take(chosen)[place], cropped[index])
    assert lost_steps(cropped.take(chosen)) == pytest.approx(
        1 - np.minimum(rows.lengths[chosen], 5).sum() / rows.lengths[chosen].sum()
    )


def test_nothing_is_lost_where_nothing_is_longer(rows):
    assert (
        crop_sequences(rows, Cropping(12, "head")) is rows
        and crop_sequences(rows, Cropping(None, "tail")) is rows
    )
    assert lost_steps(rows) == 0
    assert lost_steps(crop_sequences(rows, Cropping(6, "tail"))) == pytest.approx(
        1 - np.minimum(rows.lengths, 6).sum() / rows.lengths.sum()
    )


@pytest.mark.parametrize("crop", CROPS)
def test_prediction_reads_what_evaluation_read(rows, crop):
    model = Model(hidden_size=6, bidirectional=True, max_steps=4, crop=crop)
    network = build_network(model, 3, 2, False).eval()
    bundle = Bundle("toy", Ready(), {}, model, ("no", "yes"), 3, weights_of(network), {})
    found = Predictor(bundle, "cpu").probabilities([rows[index] for index in range(len(rows))])
    logits = predict_logits(network, crop_sequences(rows, Cropping(4, crop)), torch.device("cpu"))
    expected = torch.from_numpy(logits).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    whole = predict_logits(network, rows, torch.device("cpu"))
    assert np.abs(whole - logits).max() > 1e-3  # the crop does matter here


def test_an_interrupted_training_goes_on_with_the_same_crops(rows, tmp_path):
    model, view = Model(hidden_size=4), crop_sequences(rows, Cropping(4, "random"))
    training = Training(num_epochs=3, batch_size=8, device="cpu")

    def fit(resume=False, **options):
        return Loop(training, lambda: build_network(model, 3, 2, False), view, None, **options).run(
            resume
        )

    undisturbed, _ = fit()
    path = tmp_path / "checkpoint.safetensors"
    steps = itertools.count(1)

    def stop_in_the_second_epoch():
        if next(steps) == 6:
            os.kill(os.getpid(), signal.SIGINT)

    _, cut = fit(checkpoint=path, on_step=stop_in_the_second_epoch)
    assert cut.interrupted and len(cut.epochs) == 1
    resumed, _ = fit(checkpoint=path, resume=True)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("crop", CROPS)
def test_only_random_stretches_change_from_epoch_to_epoch(rows, crop):
    seen = []

    def build():
        network = build_network(Model(hidden_size=4), 3, 2, False)
        network.register_forward_pre_hook(lambda _, given: seen.append(given[0].sum((1, 2))))
        return network

    training = Training(num_epochs=3, batch_size=len(rows), augmentation="none", device="cpu")
    Loop(training, build, crop_sequences(rows, Cropping(4, crop)), None).run()
    first, second, third = (sums.sort().values for sums in seen)
    assert torch.equal(first, second) == torch.equal(second, third) == (crop in ("head", "tail"))
