from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.audio.audio import LogMel, Waveform
from seqbelt.features.encoding import Encoded, hash_content
from seqbelt.inference import numpy_engine, torch_engine
from seqbelt.inference import predictor as predictor_module
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Prediction, Predictor
from seqbelt.inference.reference import Reference
from seqbelt.inference.row_quantities import signal_names, summarize_signal
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CLASSES = ("a", "b", "c")


def make(features, cell: str = "lstm", **settings) -> Predictor:
    torch.manual_seed(0)
    model = Model(cell=cell, hidden_size=8, **settings)
    network = build_network(model, features.num_features, 3, is_tokens=False)
    if isinstance(features, LogMel):
        mean, std = (torch.full((features.num_features,), value) for value in (-50.0, 10.0))
        network.normalize.learn(mean, std)
    with torch.no_grad():
        network.classify.weight.mul_(20)  # answers that differ from item to item
    bundle = Bundle(
        "t", features, {}, model, CLASSES, features.num_features, weights_of(network), {}
    )
    return Predictor(bundle, "cpu")


@pytest.fixture(scope="module")
def samples(noise):
    random = np.random.default_rng(0)
    return [
        random.uniform(0.1, 3) * np.cumsum(noise(int(n), int(n)))[::-1].astype(np.float32)
        for n in random.integers(1, 9000, 40)
    ]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "last"},
        {"pooling": "attention", "bidirectional": True, "num_layers": 2},
        {"pooling": "concat", "bidirectional": True},
    ],
    ids=lambda settings: settings["pooling"],
)
def test_an_item_alone_in_any_batch_and_in_any_order_gets_one_answer(samples, cell, settings):
    predictor = make(LogMel(kind="log_mel", sample_rate=8000, num_bands=12), cell, **settings)
    shares = [answer.probabilities for answer in predictor.predict(enumerate(samples))]
    with torch.no_grad():  # so that the items get different labels
        predictor.network.classify.bias -= torch.tensor(np.log(shares).mean(axis=0))
    together = list(predictor.predict(enumerate(samples)))
    order = np.random.default_rng(1).permutation(len(samples))
    shuffled = {a.index: a for a in predictor.predict((int(i), samples[i]) for i in order)}
    for index, answer in enumerate(together):
        (alone,) = predictor.predict([(index, samples[index])])
        for other in (alone, shuffled[index]):
            np.testing.assert_allclose(other.probabilities, answer.probabilities, atol=1e-5)
            assert other.probabilities.argmax() == answer.probabilities.argmax()
            assert other.num_steps == answer.num_steps
    assert len({int(answer.probabilities.argmax()) for answer in together}) > 1


@pytest.fixture
def predictor():
    return make(Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0))


def test_an_output_that_is_not_finite_is_an_error(predictor, noise, monkeypatch):
    monkeypatch.setattr(predictor, "_rows", lambda sequences: [np.full(3, np.nan, np.float32)])
    (answer,) = predictor.predict([(0, noise(400))])
    assert "the network's output is NaN or infinite" in str(answer.probabilities)


def test_probabilities_are_the_softmax_of_the_networks_logits(predictor, noise):
    (answer,) = predictor.predict([(0, noise(400))])
    (steps,) = predictor.bundle.encoder.encode([predictor.bundle.features.read(noise(400))])
    with torch.inference_mode():
        logits = predictor.network(torch.tensor(steps)[None], torch.tensor([len(steps)]))
    np.testing.assert_allclose(answer.probabilities, logits.softmax(1)[0], atol=1e-6)
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert answer.num_steps == len(steps) == 51
    assert answer.content_hash == hash_content(noise(400))


def test_an_input_far_from_all_training_rows_is_said(predictor, noise):
    width, none = predictor.bundle.num_features, np.zeros(0, np.float32)
    encode, read = predictor.bundle.encoder.encode, predictor.bundle.features.read
    rows = [summarize_signal(encode([read(noise(800, seed))])[0]) for seed in range(5)]
    reference = Reference(signal_names(width), np.stack(rows), none, none, none)
    predictor.bundle = replace(predictor.bundle, reference=reference)
    usual, far = predictor.predict([(0, noise(800, 9)), (1, 1000 * noise(800, 9))])
    assert usual.remarks == ()
    assert "far from those of all training rows" in far.remarks[-1]


def test_answers_come_in_the_order_of_the_questions(predictor, noise, monkeypatch):
    monkeypatch.setattr(predictor_module, "WINDOW_ITEMS", 5)
    sources = [(index, noise(2000 - 90 * index, index)) for index in range(17)]
    answers = list(predictor.predict(sources))
    assert [answer.index for answer in answers] == list(range(17))
    for (index, source), answer in zip(sources, answers, strict=True):
        (alone,) = predictor.predict([(index, source)])
        np.testing.assert_allclose(answer.probabilities, alone.probabilities, atol=1e-5)


def test_a_bad_item_costs_only_itself(predictor, noise, tmp_path):
    sources = [noise(300), np.zeros(300, np.float32), tmp_path / "none.wav", b"text", noise(90)]
    answers = list(predictor.predict(enumerate(sources)))
    bad = [isinstance(answer.probabilities, BadInput) for answer in answers]
    assert bad == [False, True, True, True, False]
    reasons = [answer.probabilities.reason for answer in answers[1:4]]
    assert reasons == ["silent", "unreadable", "wrong type"]


def test_known_content_passes_through_unanswered(predictor, noise):
    known = hash_content(noise(300, 1))
    sources = [(0, noise(300, 0)), (1, noise(300, 1))]
    first, second = predictor.predict(sources, {known}.__contains__)
    assert isinstance(first, Prediction)
    assert isinstance(second, Encoded)
    assert second.content_hash == known


def test_a_sequence_of_another_width_is_refused(noise):
    wide = make(Waveform(kind="waveform", sample_rate=8000, window_ms=2.0, hop_ms=1.0))
    narrow = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
    values = {name: getattr(wide.bundle, name) for name in wide.bundle.__dataclass_fields__}
    mixed = Predictor(Bundle(**(values | {"features": narrow})), "cpu")
    (answer,) = mixed.predict([(0, noise(300))])
    assert answer.probabilities.reason == "wrong shape"


def test_memory_is_bounded_by_windows(predictor, noise, monkeypatch):
    monkeypatch.setattr(predictor_module, "WINDOW_VALUES", 1)
    taken = []

    def sources():
        for index in range(2000):
            taken.append(index)
            yield index, noise(80, index)

    answers = predictor.predict(sources())
    next(answers)
    assert len(taken) < 1000
    answers.close()


def test_nothing_in_nothing_out(predictor):
    assert list(predictor.predict([])) == []


@pytest.mark.parametrize("options", [{"engine": "onnx"}, {"precision": "bf16"}], ids=str)
def test_another_engine_or_precision_answers_nearly_alike_under_its_own_name(samples, options):
    if "engine" in options:
        pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=12)
    exact = make(features, pooling="attention", bidirectional=True, layout="packed", cell="gru")
    other = Predictor(exact.bundle, "cpu", **options)
    assert other.fingerprint != exact.fingerprint == exact.bundle.fingerprint
    expected = np.stack([answer.probabilities for answer in exact.predict(enumerate(samples))])
    found = np.stack([answer.probabilities for answer in other.predict(enumerate(samples))])
    difference = np.abs(found - expected).max()
    assert 0 < difference < (1e-5 if "engine" in options else 0.05)


def test_a_precision_that_torch_cannot_compute_is_refused(monkeypatch):
    bundle = make(LogMel(kind="log_mel", sample_rate=8000, num_bands=12)).bundle

    def forward(*_):
        raise RuntimeError("could not create a primitive. Look there.")

    monkeypatch.setattr(bundle.network, "forward", forward)
    with pytest.raises(SettingsError, match="could not create a primitive"):
        Predictor(bundle, "cpu", precision="bf16")
    Predictor(bundle, "cpu")


def test_what_does_not_go_together_is_refused():
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    bundle = make(LogMel(kind="log_mel", sample_rate=8000, num_bands=12)).bundle
    with pytest.raises(SettingsError, match="--precision bf16"):
        Predictor(bundle, "cpu", engine="onnx", precision="bf16")


def test_threads_and_tf32_of_the_caller_stay_also_while_the_generator_waits(
    predictor, noise, monkeypatch
):
    monkeypatch.setattr(predictor_module, "WINDOW_ITEMS", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.backends.cudnn.allow_tf32 = True
    try:
        another = Predictor(predictor.bundle, "cpu", engine="torch")
        waiting = another.predict(enumerate([noise(400, seed) for seed in range(200)]))
        next(waiting)
        with ThreadPoolExecutor(1) as thread:  # one that starts meanwhile
            found = thread.submit(torch.get_num_threads).result()
        assert (torch.get_num_threads(), found) == (3, 3)
        assert torch.backends.cudnn.allow_tf32
        torch.set_num_threads(2)  # the caller's choice stands
        next(waiting)
        assert torch.get_num_threads() == 2
        waiting.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_network_computes_in_one_thread_for_each_worker(predictor, noise, monkeypatch):
    found, forward = [], predictor.network.forward

    def note(*arguments):
        found.append(torch.get_num_threads())
        return forward(*arguments)

    monkeypatch.setattr(predictor_module, "WINDOW_ITEMS", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(predictor.network, "forward", note)
        list(predictor.predict(enumerate([noise(400, seed) for seed in range(200)])))
    finally:
        torch.set_num_threads(before)
    assert found and set(found) == {1}


@pytest.mark.parametrize("pooling", ["none", "concat"])
def test_a_few_inputs_are_predicted_by_numpy_and_more_by_torch(monkeypatch, samples, pooling):
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=12)
    exact, sources = make(features, pooling=pooling), list(enumerate(samples[:10]))
    expected = [one.probabilities for one in exact.predict(sources)]

    def check(predictor: Predictor) -> None:
        found = [one.probabilities for one in predictor.predict(sources)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        assert predictor.fingerprint == exact.fingerprint

    with monkeypatch.context() as patch:
        patch.setattr(torch_engine.TorchEngine, "__init__", None)  # torch is not asked
        check(Predictor(exact.bundle, engine="auto"))
    monkeypatch.setattr(numpy_engine, "MAX_STEPS", 5)
    large = Predictor(exact.bundle, engine="auto")
    check(large)
    assert isinstance(large._engine_for([np.zeros((1, 12), np.float32)]), torch_engine.TorchEngine)


def test_the_work_of_numpy_is_counted_over_all_inputs(monkeypatch):
    exact = make(LogMel(kind="log_mel", sample_rate=8000, num_bands=12))
    predictor = Predictor(exact.bundle, engine="auto")
    steps = np.zeros((10, 12), np.float32)
    monkeypatch.setattr(numpy_engine, "MAX_STEPS", 3 * exact.bundle.numpy_networks[0].work(10)[1])
    engines = [type(predictor._engine_for([steps])).__name__ for _ in range(5)]
    assert engines == ["NumpyEngine"] * 3 + ["TorchEngine"] * 2
