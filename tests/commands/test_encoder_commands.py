"""Recordings from files to predictions through an encoder in an ONNX file."""

import json
from pathlib import Path

import numpy as np
import pytest
import toy_encoders

from seqbelt.cli import main
from seqbelt.data.store.store import SequenceStore
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Predictor

CONFIG = """
name: sounds
data: {source: wavs, validation_fraction: 0, test_fraction: 0.25}
features:
  {kind: encoder, reads: waveform, file: e.onnx, sample_rate: 1000, hop_ms: 20, context_ms: 40}
model: {hidden_size: 4, bidirectional: false, stem: none}
training: {num_epochs: 1, batch_size: 4, device: cpu, augmentation: none}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, write_wavs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_wavs(Path("wavs"))
    toy_encoders.convolution(Path("e.onnx"))
    Path("sounds.yaml").write_text(CONFIG)

    def run(*arguments: str) -> tuple[dict, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert not stop.value.code, err
        return json.loads(out.splitlines()[-1]), err

    return run


def test_an_encoder_from_files_to_predictions(run):
    result, said = run("prepare", "sounds.yaml")
    assert "encoder e.onnx" in said and "run in padded batches" in said
    assert not result["skipped"]
    Path("e.onnx").rename("moved.onnx")
    again, _ = run("prepare", "sounds.yaml", "features.file=moved.onnx")
    assert again["skipped"]
    toy_encoders.convolution(Path("moved.onnx"), "time")
    other, said = run(
        "prepare", "sounds.yaml", "features.file=moved.onnx", "features.context_ms=null"
    )
    assert not other["skipped"] and "run without padding" in said
    Path("moved.onnx").unlink()
    toy_encoders.convolution(Path("e.onnx"))
    trained, _ = run("train", "sounds.yaml")
    Path("e.onnx").unlink()  # the bundle has its own
    found, _ = run("predict", trained["bundle"], "wavs", "--output", "found.csv")
    assert (found["num_predicted"], found["num_quarantined"]) == (8, 0)
    explained, _ = run("explain", trained["bundle"], "wavs/low/000.wav")
    assert explained["num_steps"] == 4
    exported, _ = run("export", trained["bundle"], "--format", "onnx", "--output", "m.onnx")
    assert exported["max_difference"] < 1e-5


def test_sections_from_files_to_predictions(run):
    one, other = CONFIG.splitlines()[4].strip(), "{kind: log_mel, sample_rate: 1000, num_bands: 4}"
    config = CONFIG.replace(f"features:\n  {one}", f"features:\n- {other}\n- {one}")
    Path("sounds.yaml").write_text(config)
    _, said = run("prepare", "sounds.yaml")
    assert "features[1] (encoder) has a step every 20 ms: its last step is repeated" in said
    again, _ = run("prepare", "sounds.yaml")
    assert again["skipped"]
    assert SequenceStore(Path("data/prepared/sounds")).sections == (("log_mel", 4), ("encoder", 3))
    trained, _ = run("train", "sounds.yaml")
    Path("e.onnx").unlink()
    found, _ = run("predict", trained["bundle"], "wavs", "--output", "found.csv")
    assert (found["num_predicted"], found["num_quarantined"]) == (8, 0)
    explained, _ = run("explain", trained["bundle"], "wavs/low/000.wav")
    assert explained["num_steps"] == 7


@pytest.mark.slow
def test_a_stream_ends_as_the_file(run, capsys, noise, wav_bytes):
    trained, _ = run("train", "sounds.yaml")
    Path("live.wav").write_bytes(wav_bytes(noise(700), 1000, subtype="FLOAT"))
    with pytest.raises(SystemExit) as stop:
        main(["stream", trained["bundle"], "live.wav"])
    assert not stop.value.code
    *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    (expected,) = Predictor(Bundle.load(Path(trained["bundle"]))).predict([(0, Path("live.wav"))])
    np.testing.assert_allclose(list(last["p"].values()), expected.probabilities, atol=1e-5)
