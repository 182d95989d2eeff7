"""Several sections of sound features: alignment, streams, storage, and what is refused."""

import json

import numpy as np
import pytest
import toy_encoders
from toy_encoders import RATE, WIDTH

from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.kinds import parse_stored
from seqbelt.features.sound_sections import SoundSections
from seqbelt.features.streaming.steps import stream_steps, why_whole

MEL = {"kind": "log_mel", "sample_rate": RATE, "window_ms": 30, "hop_ms": 10, "num_bands": 4}
SLOW = {"kind": "waveform", "sample_rate": RATE, "window_ms": 3, "hop_ms": 25, "deltas": 1}
OTHER_RATE = {**MEL, "sample_rate": 700, "hop_ms": 20}


def experiment(sections: list[dict]) -> Experiment:
    return Experiment.parse({"name": "x", "data": {"source": "wavs"}, "features": sections})


def encoder_section(tmp_path) -> dict:
    path = toy_encoders.convolution(tmp_path / "e.onnx")
    return {"kind": "encoder", "reads": "waveform", "file": str(path), "sample_rate": RATE,
            "hop_ms": 20, "context_ms": 40}  # fmt: skip


@pytest.fixture
def raw() -> Audio:
    return Audio(np.random.default_rng(0).normal(size=437).astype(np.float32), RATE)


def test_a_slower_sections_last_step_is_repeated(tmp_path, raw):
    sections = [MEL, SLOW, encoder_section(tmp_path), OTHER_RATE]
    features = experiment(sections).features
    assert isinstance(features, SoundSections)
    learned = features.learn(())
    encoder = features.encoder(learned)
    (steps,) = encoder.encode([raw])
    assert steps.shape == (features.num_steps(437), encoder.num_features) == (44, 4 + 6 + WIDTH + 4)
    start = 0
    for one, hop in zip(features.sections, (10, 25, 20, 20), strict=True):
        (alone,) = one.encoder(one.learn(())).encode([raw])
        rows = (np.arange(44) * 10 // hop).clip(max=len(alone) - 1)
        width = alone.shape[1]
        np.testing.assert_allclose(steps[:, start : start + width], alone[rows], atol=1e-4)
        start += width
    notes = features.notes(learned)
    assert "encoder e.onnx" in notes[0]
    assert "features[1] (waveform) has a step every 25 ms: its last step is repeated" in notes[2]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_streams_give_the_steps_of_the_file(tmp_path, raw, size):
    features = experiment([SLOW, encoder_section(tmp_path), MEL]).features
    assert why_whole(features) is None
    encoder = features.encoder(features.learn(()))
    stream = stream_steps(features, encoder)
    pieces = [raw.samples[start : start + size] for start in range(0, 437, size)]
    found = np.concatenate([*map(stream.push, pieces), stream.finish()])
    np.testing.assert_allclose(found, encoder.encode([raw])[0], atol=1e-3)


def test_what_cannot_stream_is_told():
    assert "several sample rates" in str(why_whole(experiment([MEL, OTHER_RATE]).features))
    whole = experiment([MEL, {**SLOW, "subtract_mean": True}]).features
    assert "subtract_mean" in str(why_whole(whole))


def test_sections_are_stored_and_known_again(tmp_path):
    features = experiment([MEL, encoder_section(tmp_path)]).features
    stored = features.to_dict()
    assert list(stored) == ["kind", "sections"]
    again = parse_stored(json.loads(json.dumps(stored)))
    assert again == features and again.identity() == features.identity()
    assert experiment(stored["sections"]).features == features
    learned = features.learn(())
    assert sorted(learned) == ["1-certificate.json", "1-encoder.json", "1-encoder.onnx"]
    assert list(features.identifying(learned)) == ["1-encoder.json"]
    assert features.replace(max_duration_s=5.0).max_duration_s == 5


@pytest.mark.parametrize(
    ("sections", "message"),
    [([MEL], "features: Value error, a list needs two sections at least; write one as a mapping"),
     ([MEL, {"kind": "subword"}], "features.1.kind: expected 'log_mel', 'mfcc',"),
     ([MEL, {**SLOW, "hop": 3}], "features.1.hop: no such setting; did you mean 'hop_ms'"),
     ([MEL, {**SLOW, "trim_silence_db": 30}], "trim_silence_db must be the same in every section")],
)  # fmt: skip
def test_faults_are_named_by_section(sections, message):
    with pytest.raises(SettingsError) as error:
        experiment(sections)
    assert message in str(error.value)


def test_framing_belongs_to_the_sections():
    values = {"kind": "sections", "sections": [MEL, SLOW], "hop_ms": 5}
    with pytest.raises(SettingsError, match="hop_ms: set in each section, not beside them"):
        SoundSections.parse(values)
