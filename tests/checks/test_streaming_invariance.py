"""The streaming certificate is green for an exact model and red for a broken one."""

import numpy as np
import pytest
import torch
from toys import PLAIN, toy_store

from seqbelt.checks import streaming_invariance
from seqbelt.checks.streaming_invariance import StreamedFile, certify_streaming
from seqbelt.features.audio.audio import Waveform
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.streaming import steps
from seqbelt.features.streaming.steps import stream_steps
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.numpy_network import NumpyNetwork
from seqbelt.models.numpy_streaming import RunningSums
from seqbelt.models.stem import Stem

FEATURES = Waveform(kind="waveform", sample_rate=8000, window_ms=0.375, hop_ms=0.25)
POOLINGS = ["last", "mean", "max", "attention", "attention_max", "concat"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store")).split("train")


@pytest.fixture
def signal(noise):
    samples = 10 * noise(130)
    (steps,) = FEATURES.encode([Audio(samples, 8000)])
    return StreamedFile(samples, steps, lambda: stream_steps(FEATURES, FEATURES))


def build(**settings):
    torch.manual_seed(0)
    return build_network(Model(**PLAIN | {"hidden_size": 8} | settings), 3, 2, False)


@pytest.mark.parametrize(
    ("cell", "pooling"),
    [("gru", "concat"), ("rnn", "concat"), *(("lstm", pooling) for pooling in POOLINGS)],
)
def test_an_exact_network_passes(rows, signal, cell, pooling):
    network = build(cell=cell, pooling=pooling, num_layers=2, dropout=0.5).train()
    found = certify_streaming(network, rows, [signal])
    assert found.passed and found.num_flips == 0 and network.training
    assert (found.num_sequences, found.num_signals) == (len(rows), 1)
    sizes = ("1", "7", "50", "random")
    assert set(found.differences) == {f"{of}_{n}" for of in ("steps", "inputs") for n in sizes}
    assert 0 <= found.max_difference <= found.tolerance < 2e-5
    assert "passed" in found.sentence and found.to_dict()["passed"]


@pytest.mark.parametrize("cell", ["lstm", "none"])
@pytest.mark.parametrize("strides", [(1, 1, 1), (1, 2, 2)], ids=str)
def test_a_network_with_a_stem_passes(rows, signal, cell, strides):
    stem = Stem(channels=(6, 8, 8), strides=strides)
    network = build(cell=cell, stem=stem, pooling="attention_max")
    found = certify_streaming(network, rows, [signal])
    assert found.passed and found.num_flips == 0
    assert 0 <= found.max_difference <= found.tolerance < 2e-5


def test_a_stem_that_forgets_the_last_steps_is_found(rows, monkeypatch):
    exact = NumpyNetwork.apply_block

    def forget(self, block, window, inputs):
        window[: len(window) - len(inputs)] = 0
        return exact(self, block, window, inputs)

    monkeypatch.setattr(NumpyNetwork, "apply_block", forget)
    assert not certify_streaming(build(stem="auto"), rows).passed


def test_a_state_that_is_not_carried_is_found(rows, monkeypatch):
    exact = NumpyNetwork.run_layer
    monkeypatch.setattr(
        NumpyNetwork, "run_layer", lambda self, steps, layer, states: exact(self, steps, layer)
    )
    found = certify_streaming(build(), rows)
    assert not found.passed and found.max_difference > 1e-3 and "FAILED" in found.sentence
    assert found.differences["steps_50"] <= found.tolerance  # these sequences are one piece of 50
    assert found.num_signals == 0 and "inputs_1" not in found.differences


def test_labels_that_flip_are_counted(rows, monkeypatch):
    network = build()
    torch.nn.init.zeros_(network.classify.bias)
    exact = NumpyNetwork.run_layer
    monkeypatch.setattr(
        NumpyNetwork, "run_layer", lambda self, steps, layer, states: exact(self, steps, layer)
    )
    assert certify_streaming(network, rows).num_flips > 0


@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "concat"])
def test_a_pooling_of_the_last_piece_alone_is_found(rows, monkeypatch, pooling):
    monkeypatch.setattr(RunningSums, "join", lambda self, other: other)
    assert not certify_streaming(build(pooling=pooling), rows).passed


def test_frames_that_do_not_wait_are_found(rows, signal, monkeypatch):
    monkeypatch.setattr(steps, "_reach", lambda features: (1, 1))
    found = certify_streaming(build(pooling="mean"), rows, [signal])
    assert not found.passed and found.differences["steps_1"] <= found.tolerance
    assert found.differences["inputs_1"] > found.tolerance


def test_a_stream_that_does_not_end_is_found(rows, signal, monkeypatch):
    monkeypatch.setattr(
        streaming_invariance.StepStream, "finish", lambda self: np.empty((0, 3), np.float32)
    )
    assert not certify_streaming(build(pooling="mean"), rows, [signal]).passed


def test_logits_that_are_not_finite_fail_and_are_null(rows):
    network = build()
    torch.nn.init.constant_(network.classify.bias, torch.nan)
    found = certify_streaming(network, rows)
    assert not found.passed and found.max_difference is None
    assert found.differences["steps_1"] is None


def test_two_directions_have_no_certificate(rows):
    with pytest.raises(ValueError, match="bidirectional"):
        certify_streaming(build(bidirectional=True), rows)
