"""Frames through encoders: layout, values of pixels, batches."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import toy_encoders

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.encoding import encode_sources
from seqbelt.features.pretrained.frame_encoder import EncodedFrames
from seqbelt.features.pretrained.onnx_model import ABOUT_FILE


def features_of(path: Path, **settings) -> EncodedFrames:
    values = {"kind": "encoder", "reads": "frames", "file": str(path), "pixels": "0..1"}
    return EncodedFrames.parse({**values, **settings})


def clip(number: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixels", "scale"),
    [("0..1", lambda x: x / 255), ("-1..1", lambda x: x / 127.5 - 1), ("0..255", lambda x: x),
     ("imagenet", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])],
)  # fmt: skip
@pytest.mark.parametrize("size", [8, "size"])
def test_pixels_are_scaled_as_set(tmp_path, pixels, scale, size):
    path = toy_encoders.pictures(tmp_path / "e.onnx", size)
    features = features_of(path, pixels=pixels, size=8)
    encoder = features.encoder(features.learn([]))
    (steps,) = encoder.encode([features.read(clip())])
    weights = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    images = scale(clip().astype(np.float64)).transpose(0, 3, 1, 2)
    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(2, 3))
    expected = np.einsum("fchwij,ocij->fohw", patches, weights).mean(axis=(2, 3))
    np.testing.assert_allclose(steps, expected, rtol=1e-4, atol=1e-4)


def test_frames_that_depend_on_others_are_run_alone(tmp_path):
    features = features_of(toy_encoders.pictures(tmp_path / "e.onnx", is_mixed=True))
    learned = features.learn([])
    assert json.loads(learned[ABOUT_FILE])["encoder"]["batching"] == "alone"
    assert "in a batch an output depends on the others" in features.notes(learned)[0]
    encoder = features.encoder(learned)
    np.testing.assert_array_equal(encoder.encode([features.read(clip())])[0], 0)


def test_a_broken_clip_costs_itself(tmp_path):
    features = features_of(toy_encoders.pictures(tmp_path / "e.onnx"))
    encoder = features.encoder(features.learn([]))
    good, bad = encode_sources(features, encoder, [(0, clip()), (1, b"not a video")])
    assert good.sequence.shape == (5, 4)
    assert isinstance(bad.sequence, BadInput)


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [("size", {}, "reads pictures of any size"), (8, {"size": 9}, "size: 9, but")],
)
def test_sizes_must_agree(tmp_path, size, settings, message):
    path = toy_encoders.pictures(tmp_path / "e.onnx", size)
    with pytest.raises(SettingsError, match=message):
        features_of(path, **settings).learn([])


def test_waveforms_are_no_pictures(tmp_path):
    path = toy_encoders.convolution(tmp_path / "e.onnx")
    with pytest.raises(SettingsError, match=r"none fits in e\.onnx; name one\. inputs: 'waveform'"):
        features_of(path).learn([])
