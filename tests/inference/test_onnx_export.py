"""The ONNX file gives the network's answers, for every cell, pooling, batch and length."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from export_toys import CELLS, POOLINGS, make

from seqbelt.data.batches import pad
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.onnx_export import OnnxNetwork, crop_rule, export_bytes, quantize
from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.stem import Stem

MEDIAN, LONGEST = 9, 23


def batches(bundle: Bundle):
    """Batches of 1, 2 and 7, led by each of the lengths 1, 2, median and longest."""
    random = np.random.default_rng(0)
    for size in (1, 2, 7):
        for place in range(4):
            lengths = np.resize(np.roll([1, 2, MEDIAN, LONGEST], -place), size)
            if bundle.features.is_tokens:
                yield pad([random.integers(0, bundle.num_features, n) for n in lengths])
            else:
                width = bundle.num_features
                yield pad([random.normal(size=(n, width)).astype(np.float32) for n in lengths])


def assert_same(bundle: Bundle, exported: OnnxNetwork) -> None:
    with torch.inference_mode():
        for inputs, lengths in batches(bundle):
            expected = bundle.network(inputs, lengths)
            # Relative to the largest logit, as the certificates are: ReLU's states grow large.
            scale = max(1.0, float(expected.abs().max()))
            found = exported(inputs, lengths) / scale
            torch.testing.assert_close(found, expected / scale, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_file_answers_as_the_network(cell, bidirectional, pooling):
    bundle = make(
        **CELLS[cell], bidirectional=bidirectional, pooling=pooling, num_layers=2, dropout=0.5
    )
    assert_same(bundle, OnnxNetwork(export_bytes(bundle)))


@pytest.mark.parametrize("is_text", [False, True], ids=["numbers", "tokens"])
@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_batch_has_no_rows_and_an_empty_sequence_no_answer(cell, is_text):
    told = (
        {"features": Character(kind="character"), "learn_from": ("abc", "cab")} if is_text else {}
    )
    bundle = make(**CELLS[cell], bidirectional=True, pooling="concat", stem=Stem(), **told)
    exported = OnnxNetwork(export_bytes(bundle))
    inputs, lengths = next(batch for batch in batches(bundle) if len(batch[1]) == 7)
    whole = exported(inputs, lengths)
    for steps in (0, 1, 9):
        assert exported(inputs[:0, :steps], lengths[:0]).shape == (0, 3)
    lengths[2] = 0
    given = {"inputs": inputs.numpy(), "lengths": lengths.numpy()}
    logits, probabilities = exported.session.run(["logits", "probabilities"], given)
    assert np.isnan(logits[2]).all() and np.isnan(probabilities[2]).all()
    assert np.array_equal(np.delete(logits, 2, 0), np.delete(whole.numpy(), 2, 0))
    with pytest.raises(ValueError, match="lengths from 0"):
        exported(inputs, lengths)


@pytest.mark.parametrize("strides", [(1, 1, 1), (1, 2, 2), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("cell", [*CELLS, "none"])
def test_a_stem_answers_alike_at_every_length(cell, bidirectional, strides):
    stem = Stem(channels=(6, 8, 8), strides=strides)
    settings = CELLS.get(cell, {"cell": cell}) | {"pooling": "concat"}
    bundle = make(**settings, bidirectional=bidirectional, stem=stem)
    exported, random = OnnxNetwork(export_bytes(bundle)), np.random.default_rng(0)
    width = bundle.num_features
    steps = [random.normal(size=(n, width)).astype(np.float32) for n in range(1, 41)]
    with torch.inference_mode():
        inputs, lengths = pad(steps)
        expected = bundle.network(inputs, lengths)
        torch.testing.assert_close(exported(inputs, lengths), expected, atol=1e-5, rtol=1e-5)
        for one, wanted in zip(steps, expected):
            alone = exported(*pad([one]))[0]
            torch.testing.assert_close(alone, wanted, atol=1e-5, rtol=1e-5)


def test_tokens_are_embedded_in_the_file():
    bundle = make(Character(kind="character", min_count=1), ["abc", "bcd"], embedding_size=4)
    assert_same(bundle, OnnxNetwork(export_bytes(bundle)))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("stem", ["none", Stem(strides=(1, 2, 2))], ids=["plain", "stem"])
def test_what_stands_in_the_padding_changes_nothing(pooling, stem):
    bundle = make(bidirectional=True, pooling=pooling, stem=stem)
    exported = OnnxNetwork(export_bytes(bundle))
    for inputs, lengths in batches(bundle):
        filled = inputs.clone()
        for row, length in enumerate(lengths):
            filled[row, length:] = 7.0
        torch.testing.assert_close(exported(filled, lengths), exported(inputs, lengths))


def test_the_file_explains_itself():
    bundle = make(Character(kind="character", min_count=1), ["abc"], max_steps=4, crop="tail")
    session = OnnxNetwork(export_bytes(bundle)).session
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["a", "b", "ç"]
    assert json.loads(about["features"]) == bundle.features.to_dict()
    assert json.loads(about["bundle"]) == bundle.fingerprint
    assert about["learned/tokenizer.json"].encode() == bundle.learned["tokenizer.json"]
    assert "last max_steps" in about["crop"] and crop_rule(make()) is None
    logits, shares = session.run(None, {"inputs": [[1, 2]], "lengths": [2]})
    np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)


def test_framing_is_told_in_samples():
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=250, window_ms=20)
    about = OnnxNetwork(export_bytes(make(features))).session.get_modelmeta().custom_metadata_map
    framing = json.loads(about["framing"])
    assert framing == {"fft_size": features.fft_size, "window": 160, "hop": 80}
    assert features.fft_size > 256  # so many bands need more bins than the window gives


@pytest.mark.parametrize("cell", CELLS)
def test_int8_is_smaller_and_near(cell):
    settings = {"hidden_size": 64, "bidirectional": True, "pooling": "attention", "stem": "none"}
    bundle = make(**CELLS[cell] | settings)
    content = export_bytes(bundle)
    smaller, operators = quantize(content)
    assert operators == (["LSTM", "MatMul"] if cell == "lstm" else ["MatMul"])
    assert len(smaller) < len(content) * (0.4 if cell == "lstm" else 1)
    exact, near = OnnxNetwork(content), OnnxNetwork(smaller)
    about = near.session.get_modelmeta().custom_metadata_map
    assert json.loads(about["quantized"]) == operators
    for inputs, lengths in batches(bundle):
        one, other = exact(inputs, lengths), near(inputs, lengths)
        assert 0 < (one - other).abs().max() < 0.1 * one.abs().max() + 0.1


@pytest.mark.parametrize("kind", ["numbers", "tokens"])
def test_an_ensemble_is_exported_with_its_average(kind):
    options = {} if kind == "numbers" else {
        "features": Character(kind="character"), "learn_from": ["abc", "cde"]
    }  # fmt: skip
    bundle = make(**options)
    torch.manual_seed(1)
    other = build_network(bundle.model, bundle.num_features, 3, bundle.features.is_tokens).eval()
    both = replace(bundle, weights=weights_of(Ensemble([bundle.network, other])))
    exported = OnnxNetwork(export_bytes(both))
    assert_same(both, exported)
    with torch.inference_mode():
        inputs, lengths = next(batches(both))
        alone = bundle.network(inputs, lengths).softmax(1)
        assert (exported(inputs, lengths).softmax(1) - alone).abs().max() > 1e-3
