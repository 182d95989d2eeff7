"""Sound through encoders: framing, batches, pieces, streams, and what is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import toy_encoders
from toy_encoders import KERNEL, RATE, STRIDE, WIDTH

from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Learned
from seqbelt.features.pretrained.encoded_sound import EncodedSound
from seqbelt.features.pretrained.encoder_certificate import CERTIFICATE_FILE
from seqbelt.features.pretrained.onnx_model import ABOUT_FILE, MODEL_FILE
from seqbelt.features.streaming.steps import stream_steps, why_whole


def features_of(path: Path, **settings) -> EncodedSound:
    values = {"kind": "encoder", "reads": "waveform", "file": str(path), "sample_rate": RATE}
    return EncodedSound.parse({**values, "hop_ms": 1000 * STRIDE / RATE, **settings})


def learn(features: EncodedSound) -> Learned:
    return features.learn([])


def encoder_of(path: Path, **settings):
    features = features_of(path, **settings)
    return features.encoder(learn(features))


def sounds(*sizes: int) -> list[Audio]:
    random = np.random.default_rng(len(sizes))
    return [Audio(random.normal(size=size).astype(np.float32), RATE) for size in sizes]


def assert_each_as_alone(encoder, raws):
    together = encoder.encode(raws)
    for raw, steps in zip(raws, together, strict=True):
        np.testing.assert_allclose(steps, encoder.encode([raw])[0], atol=1e-5)
        assert steps.shape == (encoder.features.num_steps(len(raw.samples)), encoder.num_features)


def batching(learned: Learned) -> str:
    return json.loads(learned[ABOUT_FILE])["batching"]


class TestWholeRecordings:
    @pytest.mark.parametrize("is_transposed", [True, False])
    def test_steps_are_centred_on_every_hop(self, tmp_path, is_transposed):
        path = toy_encoders.convolution(tmp_path / "e.onnx", is_transposed=is_transposed)
        encoder = encoder_of(path)
        (raw,) = sounds(333)
        (steps,) = encoder.encode([raw])
        weights = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])[:, 0]
        padded = np.pad(raw.samples, KERNEL)
        expected = [
            weights @ padded[KERNEL // 2 + t * STRIDE :][:KERNEL] for t in range(1 + 333 // STRIDE)
        ]
        np.testing.assert_allclose(steps, expected, atol=1e-5)

    def test_batches_are_padded_where_that_is_exact(self, tmp_path):
        features = features_of(toy_encoders.convolution(tmp_path / "e.onnx"))
        learned = learn(features)
        assert batching(learned) == "padded"
        assert "run in padded batches" in features.notes(learned)[0]
        assert_each_as_alone(features.encoder(learned), sounds(50, 333, 334, 1000, 50))

    @pytest.mark.parametrize(
        ("minus", "expected", "note"),
        [("time", "equal", "an output depends on it (difference 0."),
         ("batch", "alone", "in a batch an output depends on the others (difference")],
    )  # fmt: skip
    def test_leaks_are_measured_and_kept_apart(self, tmp_path, minus, expected, note):
        features = features_of(toy_encoders.convolution(tmp_path / "e.onnx", minus))
        learned = learn(features)
        assert batching(learned) == expected
        assert note in features.notes(learned)[0]
        assert_each_as_alone(features.encoder(learned), sounds(100, 333, 100, 1000))

    def test_long_recordings_are_cut_without_seams(self, tmp_path, monkeypatch):
        module = "seqbelt.features.pretrained.sound_encoder"
        monkeypatch.setattr(f"{module}.PIECE_S", 0.3)
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        (cut,) = encoder_of(path, context_ms=40).encode(sounds(2345))
        (whole,) = encoder_of(path).encode(sounds(2345))
        np.testing.assert_allclose(cut, whole, atol=1e-5)

    def test_what_would_be_a_huge_run_is_refused(self, tmp_path):
        features = features_of(tmp_path / "e.onnx", max_whole_s=0.5)
        assert len(features.read(np.ones(500, np.float32)).samples) == 500
        with pytest.raises(BadInput, match=r"max_whole_s allows 0\.5 in one run"):
            features.read(np.ones(501, np.float32))
        assert features.replace(context_ms=40).read(np.ones(501, np.float32))

    def test_too_little_context_is_refused(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx", "time")
        with pytest.raises(SettingsError, match=r"context_ms: 40, but steps .* depend on more"):
            encoder_of(path, context_ms=40)

    def test_the_hop_of_the_encoder_is_named(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        with pytest.raises(SettingsError, match="a step every 20 samples, 20 ms at 1000 Hz; set h"):
            encoder_of(path, hop_ms=10)

    def test_randomness_is_refused(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx", "noise")
        with pytest.raises(SettingsError, match=r"another output at a second run .*model\.eval"):
            encoder_of(path)


class TestWindows:
    def test_each_window_is_a_step(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx", samples=KERNEL)
        settings = {"window_ms": 1000 * KERNEL / RATE, "hop_ms": 7, "deltas": 1}
        encoder = encoder_of(path, **settings)
        assert encoder.num_features == 2 * WIDTH
        assert_each_as_alone(encoder, sounds(1, 50, 333))

    def test_a_state_is_carried(self, tmp_path):
        path = toy_encoders.recurrence(tmp_path / "e.onnx")
        encoder = encoder_of(path, window_ms=50, hop_ms=50)
        assert encoder.carries_state
        (raw,) = sounds(220)
        (steps,) = encoder.encode([raw])
        weights = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
        padded, state = np.pad(raw.samples, (25, 50)), 0.0
        for step in range(5):
            state = state / 2 + padded[step * 50 : step * 50 + 50] @ weights
            np.testing.assert_allclose(steps[step], state, atol=1e-5)

    def test_the_window_of_the_file_is_named(self, tmp_path):
        path = toy_encoders.recurrence(tmp_path / "e.onnx")
        with pytest.raises(SettingsError, match="exactly 50 samples, 50 ms at 1000 Hz; set window"):
            encoder_of(path, window_ms=40)
        with pytest.raises(SettingsError, match="set window_ms: 25, or correct sample_rate"):
            encoder_of(path, sample_rate=2000)

    def test_several_steps_of_a_window_are_refused(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        with pytest.raises(SettingsError, match=r"gives an array of shape \(4, 3\)"):
            encoder_of(path, window_ms=100)


@pytest.mark.parametrize(
    ("make", "settings"),
    [(toy_encoders.convolution, {"context_ms": 40}),
     (toy_encoders.convolution, {"window_ms": 40, "hop_ms": 7, "deltas": 1}),
     (toy_encoders.recurrence, {"window_ms": 50, "hop_ms": 30})],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 13, 500])
def test_streams_give_the_steps_of_the_file(tmp_path, make, settings, size):
    encoder = encoder_of(make(tmp_path / "e.onnx"), **settings)
    assert why_whole(encoder.features) is None
    (raw,) = sounds(423)
    stream = stream_steps(encoder.features, encoder)
    pieces = [raw.samples[start : start + size] for start in range(0, 423, size)]
    found = np.concatenate([*map(stream.push, pieces), stream.finish()])
    np.testing.assert_allclose(found, encoder.encode([raw])[0], atol=1e-5)


def test_whole_recordings_cannot_stream(tmp_path):
    assert "features.context_ms" in str(why_whole(features_of(tmp_path / "e.onnx")))


class TestFiles:
    def test_a_copy_needs_no_file(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        features = features_of(path)
        learned = learn(features)
        expected = features.encoder(learned).encode(sounds(100))
        path.unlink()
        encoder = pickle.loads(pickle.dumps(features.encoder(learned)))
        np.testing.assert_array_equal(encoder.encode(sounds(100)), expected)

    def test_weights_beside_the_file_are_copied(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        expected = encoder_of(path).encode(sounds(100))
        model = onnx.load(path)
        onnx.save_model(
            model, path, save_as_external_data=True, location="e.data", size_threshold=0
        )
        features = features_of(path)
        learned = learn(features)
        (tmp_path / "e.data").rename(tmp_path / "away")
        np.testing.assert_array_equal(features.encoder(learned).encode(sounds(100)), expected)
        with pytest.raises(SettingsError, match=r"its weights are in e\.data, which is missing"):
            learn(features)

    def test_a_large_file_stays_where_it_is(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx")
        features = features_of(path, max_copy_mb=0)
        learned = learn(features)
        assert MODEL_FILE not in learned
        assert "predictions need it at" in features.notes(learned)[-1]
        assert features.encoder(learned).encode(sounds(100))[0].shape == (6, WIDTH)
        assert features.identifying(learned) == features.identifying(learn(features_of(path)))
        toy_encoders.convolution(path, "time")
        with pytest.raises(SeqbeltError, match="another one than at preparation"):
            features.encoder(learned)
        path.unlink()
        with pytest.raises(SeqbeltError, match=r"is missing: it was too large to be copied"):
            features.encoder(learned)

    def test_identity_is_that_of_the_content(self, tmp_path):
        one = features_of(toy_encoders.convolution(tmp_path / "one.onnx"))
        same = features_of(toy_encoders.convolution(tmp_path / "same.onnx"))
        other = features_of(toy_encoders.convolution(tmp_path / "other.onnx", "time"))
        assert one.identity() == same.identity() == other.identity()
        assert one.files_stamp() == same.files_stamp() != other.files_stamp()
        found = [features.identifying(learn(features)) for features in (one, same, other)]
        assert found[0] == found[1] != found[2]
        assert CERTIFICATE_FILE not in found[0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "no such file"), (b"", "cannot be read as ONNX"), (b"abc", "cannot be read as")],
    )
    def test_what_is_no_encoder_is_refused(self, tmp_path, content, message):
        path = tmp_path / "e.onnx"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match=message):
            encoder_of(path)

    def test_an_opset_of_the_future_is_named(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx", opset=999)
        with pytest.raises(SettingsError, match=r"export it with an older opset"):
            encoder_of(path)

    def test_a_stated_rate_is_compared(self, tmp_path):
        path = toy_encoders.convolution(tmp_path / "e.onnx", sample_rate="16000")
        with pytest.raises(SettingsError, match=r"sample_rate: 1000, but e\.onnx states 16000 Hz"):
            encoder_of(path)

    def test_what_is_no_waveform_is_refused_with_all_ports(self, tmp_path):
        path = toy_encoders.pictures(tmp_path / "e.onnx")
        with pytest.raises(SettingsError, match=r"'pixels' tensor\(float\) \(\?, 3, 8, 8\) is not"):
            encoder_of(path)

    def test_ports_that_the_file_has_not_are_listed(self, tmp_path):
        path = toy_encoders.recurrence(tmp_path / "e.onnx")
        with pytest.raises(SettingsError, match=r"no 'hidden'; inputs: 'audio'.*'stateN'"):
            encoder_of(path, output="hidden", window_ms=50)

    @pytest.mark.parametrize("minus", ["", "batch"])
    def test_rows_of_a_fixed_batch_must_not_mix(self, tmp_path, minus):
        path = toy_encoders.convolution(tmp_path / "e.onnx", minus, batch=3)
        if minus:
            with pytest.raises(SettingsError, match="takes 3 inputs at once, and an output depen"):
                encoder_of(path)
        else:
            assert_each_as_alone(encoder_of(path), sounds(100, 333))


def test_a_lower_rate_is_remarked(tmp_path):
    encoder = encoder_of(toy_encoders.convolution(tmp_path / "e.onnx"))
    low = Audio(np.ones(50, np.float32), RATE // 2)
    assert "nothing is above 250 Hz" in encoder.features.remarks(low, encoder)[0]
    assert encoder.features.remarks(sounds(5)[0], encoder) == ()
