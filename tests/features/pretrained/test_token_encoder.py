"""Texts through encoders: tokens, masks, batches, fixed lengths."""

import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import toy_encoders

from seqbelt.errors import SettingsError
from seqbelt.features.pretrained.onnx_model import ABOUT_FILE
from seqbelt.features.pretrained.token_encoder import EncodedText
from seqbelt.features.text.encoder import FILE as TOKENIZER_FILE

TEXTS = ["one two three", "two", "three one", "four five six seven eight", "one [PAD] two"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four", "five", "six"]
    tokenizer = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def features_of(path: Path, tokenizer: Path, **settings) -> EncodedText:
    values = {"kind": "encoder", "reads": "tokens", "file": str(path)}
    return EncodedText.parse({**values, "tokenizer": str(tokenizer), **settings})


@pytest.mark.parametrize("length", ["tokens", 10])
def test_each_token_has_its_vector(tmp_path, tokenizer, length):
    path = toy_encoders.token_vectors(tmp_path / "e.onnx", 9, length=length)
    features = features_of(path, tokenizer)
    learned = features.learn([])
    path.unlink()
    encoder = pickle.loads(pickle.dumps(features.encoder(learned)))
    found = encoder.encode([features.read(text) for text in TEXTS])
    (one,) = encoder.encode(TEXTS[:1])
    np.testing.assert_allclose(found[0], one, atol=1e-6)
    weights = onnx.numpy_helper.to_array(
        onnx.load_from_string(learned["encoder.onnx"]).graph.initializer[0]
    )
    rows = weights[[1, 3, 4, 5, 2]]
    np.testing.assert_allclose(found[0], rows + rows.mean(axis=0), atol=1e-5)
    assert [len(steps) for steps in found] == [5, 3, 4, 7, 7]
    assert learned[TOKENIZER_FILE] == tokenizer.read_bytes()


@pytest.mark.parametrize(("is_masked", "expected"), [(True, "padded"), (False, "equal")])
def test_padding_that_leaks_is_left_out(tmp_path, tokenizer, is_masked, expected):
    path = toy_encoders.token_vectors(tmp_path / "e.onnx", 9, is_masked)
    features = features_of(path, tokenizer, truncate_tokens=6)
    learned = features.learn([])
    assert json.loads(learned[ABOUT_FILE])["encoder"]["batching"] == expected
    encoder = features.encoder(learned)
    for text, steps in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        np.testing.assert_allclose(steps, encoder.encode([text])[0], atol=1e-6)
        assert len(steps) <= 6


def test_padding_that_cannot_be_left_out_is_refused(tmp_path, tokenizer):
    path = toy_encoders.token_vectors(tmp_path / "e.onnx", 9, is_masked=False, length=30)
    with pytest.raises(SettingsError, match=r"depends on the values at the padding \(difference"):
        features_of(path, tokenizer).learn([])


def test_files_that_are_missing_or_broken_are_named(tmp_path, tokenizer):
    path = toy_encoders.token_vectors(tmp_path / "e.onnx", 9)
    with pytest.raises(SettingsError, match=r"features\.tokenizer: .*no such file"):
        features_of(path, tmp_path / "none.json").learn([])
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(SettingsError, match=r"cannot be read as a tokenizer\.json"):
        features_of(path, broken).learn([])
    sound = toy_encoders.convolution(tmp_path / "sound.onnx")
    with pytest.raises(SettingsError, match=r"none fits in sound\.onnx"):
        features_of(sound, tokenizer).learn([])
