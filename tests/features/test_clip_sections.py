"""Several sections of video features: the same frames, side by side."""

import numpy as np
import pytest
import toy_encoders

from seqbelt.errors import BadInput, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.clip_sections import ClipSections
from seqbelt.features.encoding import encode_sources
from seqbelt.features.kinds import parse_stored

DIFFERENCES = {"kind": "frame_differences", "rows": 1, "columns": 2, "num_orientations": 2}


def sections_of(path, *more: dict) -> ClipSections:
    encoder = {"kind": "encoder", "reads": "frames", "file": str(path), "pixels": "0..1"}
    values = {"name": "x", "data": {"source": "clips"}, "features": [encoder, *more]}
    features = Experiment.parse(values).features
    assert isinstance(features, ClipSections)
    return features


def test_sections_describe_the_same_frames(tmp_path):
    features = sections_of(toy_encoders.pictures(tmp_path / "e.onnx"), DIFFERENCES)
    assert features.step_s() == 0.1
    learned = features.learn(())
    encoder = features.encoder(learned)
    clip = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    good, bad = encode_sources(features, encoder, [(0, clip), (1, b"no clip")])
    assert isinstance(bad.sequence, BadInput)
    assert good.sequence.shape == (7, encoder.num_features) == (7, 4 + 4)
    start = 0
    for section in features.sections:
        (alone,) = section.encoder(section.learn(())).encode([section.read(clip)])
        found = good.sequence[:, start : start + alone.shape[1]]
        np.testing.assert_allclose(found, alone, atol=1e-6)
        start += alone.shape[1]
    assert parse_stored(features.to_dict()) == features


@pytest.mark.parametrize(
    ("section", "message"),
    [({**DIFFERENCES, "frame_rate": 5.0}, "frame_rate must be the same"),
     ({"kind": "log_mel"}, "features.1.kind: expected 'frame_differences', 'frames', 'encoder'")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, section, message):
    with pytest.raises(SettingsError) as error:
        sections_of(tmp_path / "e.onnx", section)
    assert message in str(error.value)
