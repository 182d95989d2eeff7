"""The last answer of a stream is the answer that the file gets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import PLAIN

from seqbelt.data.labels.targets import TARGETS
from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.live_stream import Stream
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CLASSES = ("a", "b", "c")
THRESHOLDS = (0.5, 0.3, 0.7)
AUDIO = {"sample_rate": 8000, "window_ms": 25.0, "hop_ms": 10.0}
KINDS = {
    "log_mel": LogMel(kind="log_mel", num_bands=12, deltas=2, **AUDIO),
    "mfcc": Mfcc(kind="mfcc", num_bands=12, num_coefficients=8, **AUDIO),
    "waveform": Waveform(kind="waveform", **AUDIO),
}


def make(features, learn_from=(), **settings) -> Bundle:
    torch.manual_seed(0)
    raws = [features.read(source) for source in learn_from]
    learned = features.learn(raws)
    encoder = features.encoder(learned)
    model = Model(**PLAIN | {"hidden_size": 8} | settings)
    network = build_network(model, encoder.num_features, 3, features.is_tokens)
    if isinstance(features, LogMel):
        network.normalize.learn(
            torch.full((encoder.num_features,), -20.0), torch.full((encoder.num_features,), 15.0)
        )
    with torch.no_grad():
        network.classify.weight.mul_(5)
    return Bundle(
        "t", features, learned, model, CLASSES, encoder.num_features, weights_of(network), {}
    )


def predict(bundle, source):
    (answer,) = Predictor(bundle, "cpu").predict([(0, source)])
    return answer


def hear(bundle, inputs, cuts=(), **every):
    stream = Stream(bundle, **every)
    found = []
    for piece in np.split(inputs, sorted(cuts)):
        found += stream.push(piece)
    return [*found, stream.finish()]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), num_samples=st.integers(1, 4000))
def test_the_last_answer_is_that_of_the_file(kind, cell, data, num_samples, noise):
    pooling = data.draw(st.sampled_from(["last", "mean", "max", "attention", "concat"]))
    layers = data.draw(st.integers(1, 2))
    bundle = make(KINDS[kind], cell=cell, pooling=pooling, num_layers=layers)
    samples = noise(num_samples, num_samples)
    cuts = data.draw(st.lists(st.integers(0, num_samples), max_size=20))
    expected = predict(bundle, samples)
    last = hear(bundle, samples, cuts)[-1]
    assert last.is_final
    assert (last.num_inputs, last.num_steps) == (num_samples, expected.num_steps)
    np.testing.assert_allclose(last.probabilities, expected.probabilities, atol=1e-5)


def test_the_answers_do_not_depend_on_the_pieces(noise):
    bundle, samples = make(KINDS["log_mel"], pooling="attention"), noise(4001)
    at_once = hear(bundle, samples, every_ms=100)
    steps = Predictor(bundle, "cpu").encode(samples)
    expected = Predictor(bundle, "cpu").probabilities([steps[: d.num_steps] for d in at_once])
    np.testing.assert_allclose([d.probabilities for d in at_once], expected, atol=1e-5)
    for cuts in (range(1, 4001, 3), [799, 800, 801]):
        found = hear(bundle, samples, cuts, every_ms=100)
        assert [d.num_inputs for d in found] == [800, 1600, 2400, 3200, 4000, 4001]
        assert [d.num_steps for d in found] == [d.num_steps for d in at_once]
        for one, other in zip(found, at_once, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def as_several(bundle: Bundle) -> Bundle:
    return replace(bundle, target=TARGETS["several"], thresholds=THRESHOLDS, temperature=1.5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("kind", KINDS)
def test_several_labels_are_those_of_the_file_at_every_cut(kind, cell, noise):
    bundle = as_several(make(KINDS[kind], cell=cell, pooling="concat"))
    samples, predictor = noise(2400), Predictor(bundle, "cpu")
    steps = predictor.encode(samples)
    found = hear(bundle, samples, range(0, 2400, 7), every_steps=1)
    expected = predictor.probabilities([steps[: d.num_steps] for d in found])
    for decision, probabilities in zip(found, expected, strict=True):
        np.testing.assert_allclose(decision.probabilities, probabilities, atol=1e-5)
        names = [bundle.predicted_names(p) for p in (decision.probabilities, probabilities)]
        assert names[0] == names[1]
    assert (expected.sum(axis=1) - 1 > 1e-3).any()  # no softmax
    for end in (1, 199, 200, 1001, 2399):  # a signal that ends there is a file that ends there
        last, file = hear(bundle, samples[:end])[-1], predict(bundle, samples[:end])
        np.testing.assert_allclose(last.probabilities, file.probabilities, atol=1e-5)
        assert last.num_steps == file.num_steps
        assert bundle.predicted_names(last.probabilities) == bundle.predicted_names(
            file.probabilities
        )


def test_a_window_of_several_labels_is_that_of_its_steps():
    rows = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    timed = Channels(kind="channels", sample_rate=10.0)
    bundle = as_several(make(timed, [rows], bidirectional=True))
    for decision in hear(bundle, rows, every_steps=4, window_s=0.9):
        end = decision.num_inputs
        expected = predict(bundle, rows[max(0, end - 9) : end]).probabilities
        np.testing.assert_allclose(decision.probabilities, expected, atol=1e-5)


def test_an_answer_before_the_end_uses_only_what_was_heard(noise):
    bundle, samples = make(KINDS["log_mel"]), noise(4000)
    changed = np.concatenate([samples[:2000], noise(2000, 5)])
    one, other = (hear(bundle, signal, every_ms=250)[0] for signal in (samples, changed))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert one.num_inputs == 2000


@pytest.mark.parametrize("differences", [False, True])
@given(cuts=st.lists(st.integers(0, 30), max_size=10))
def test_rows_of_a_table_stream(differences, cuts):
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    bundle = make(Channels(kind="channels", differences=differences), [rows], pooling="concat")
    found = hear(bundle, rows, cuts)
    assert [d.num_steps for d in found] == [*range(1, 31), 30]
    expected = predict(bundle, rows).probabilities
    np.testing.assert_allclose(found[-1].probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("crop", ["head", "random"])
def test_a_model_with_max_steps_answers_from_its_last_steps(crop):
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    bundle = make(Vectors(kind="vectors"), [rows], max_steps=7, crop=crop)
    for cuts in ([3, 6, 11], range(30), []):
        found = hear(bundle, rows, cuts)
        assert [d.num_steps for d in found] == [*range(1, 31), 30]
        for decision in found:
            end = decision.num_steps
            expected = predict(bundle, rows[max(0, end - 7) : end]).probabilities
            np.testing.assert_allclose(decision.probabilities, expected, atol=1e-5)
    assert len({d.probabilities.tobytes() for d in found[:-1]}) == 30  # it repeats nothing


@pytest.mark.parametrize(
    "settings",
    [{}, {"bidirectional": True}, {"max_steps": 9, "crop": "windows"}, {"pooling": "attention"}],
)
@pytest.mark.parametrize("cuts", [[], [1, 2, 50, 51], range(0, 90, 7)])
def test_with_a_window_the_answer_is_that_of_the_last_seconds(settings, cuts):
    rows = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    bundle = make(Channels(kind="channels", sample_rate=10.0), [rows], **settings)
    found = hear(bundle, rows, cuts, every_steps=4, window_s=0.9)
    assert [d.num_inputs for d in found] == [*range(4, 90, 4), 90]
    for decision in found:
        end = decision.num_inputs
        expected = predict(bundle, rows[max(0, end - 9) : end]).probabilities
        np.testing.assert_allclose(decision.probabilities, expected, atol=1e-5)


def test_a_window_that_cannot_be_read_is_refused():
    rows = np.ones((9, 2), np.float32)
    timed = Channels(kind="channels", sample_rate=10.0)
    with pytest.raises(SettingsError, match=r"at most 0\.5 s"):
        Stream(make(timed, [rows], max_steps=5), window_s=1.0)
    with pytest.raises(SettingsError, match="have no time"):
        Stream(make(Channels(kind="channels"), [rows]), window_s=1.0)


def test_how_often_it_answers():
    bundle = make(KINDS["log_mel"])
    samples = np.full(4100, 0.1, np.float32)
    for every, expected in (
        ({}, [2000, 4000, 4100]),
        ({"every_ms": 200.0}, [1600, 3200, 4100]),
        ({"every_steps": 20}, [1600, 3200, 4100]),
    ):
        assert [d.num_inputs for d in hear(bundle, samples, **every)] == expected
    rows = np.ones((9, 2), np.float32)
    timed = make(Channels(kind="channels", sample_rate=10.0), [rows])
    assert [d.num_inputs for d in hear(timed, rows)] == [2, 4, 6, 8, 9]
    untimed = make(Channels(kind="channels"), [rows])
    assert [d.num_inputs for d in hear(untimed, rows, every_steps=4)] == [4, 8, 9]
    with pytest.raises(SettingsError, match="--every-steps"):
        Stream(untimed, every_ms=100)
    with pytest.raises(SettingsError, match="one of them"):
        Stream(bundle, every_ms=100, every_steps=2)


def test_silence_has_no_answer_until_something_is_heard(noise):
    bundle, quiet = make(KINDS["log_mel"]), np.full(4000, 1e-6, np.float32)
    found = hear(bundle, np.concatenate([quiet, noise(2000)]))
    assert [d.num_inputs for d in found] == [6000, 6000]
    assert str(predict(bundle, quiet).probabilities).startswith("silent")
    with pytest.raises(BadInput, match="silent"):
        hear(bundle, quiet)


def test_what_is_no_number_is_refused(noise):
    samples = noise(3000)
    samples[2500] = np.nan
    with pytest.raises(BadInput, match="not finite"):
        hear(make(KINDS["log_mel"]), samples)
    with pytest.raises(BadInput, match="empty"):
        hear(make(KINDS["log_mel"]), samples[:0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bidirectional": True}, "model.bidirectional=false"),
        ({"max_steps": 5, "crop": "tail"}, "crop: tail"),
        ({"max_steps": 5, "crop": "windows"}, "crop: windows"),
    ],
)
def test_a_model_that_reads_from_the_end_is_refused(settings, words):
    with pytest.raises(SettingsError, match=words):
        Stream(make(KINDS["waveform"], **settings))


def test_features_of_the_whole_are_refused():
    mean = LogMel(kind="log_mel", subtract_mean=True, **AUDIO)
    with pytest.raises(SettingsError, match="subtract_mean: false"):
        Stream(make(mean))
    with pytest.raises(SettingsError, match="character"):
        Stream(make(Character(kind="character", min_count=1), ["abc"]))


def test_a_network_that_overflows_gives_no_label(noise):
    bundle = make(KINDS["log_mel"])
    name = "recurrent.weights.weight_ih_l0"
    large = {**bundle.weights[0], name: np.full_like(bundle.weights[0][name], 1e38)}
    stream = Stream(replace(bundle, weights=(large,)), every_ms=100)
    with pytest.raises(BadInput, match="NaN or infinite"):
        list(stream.push(noise(4000)))
