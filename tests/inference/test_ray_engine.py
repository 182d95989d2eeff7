"""Prediction on a local Ray cluster of two workers gives the file of a run without Ray."""

import json
from pathlib import Path

import pytest
import torch

from seqbelt.data.sources.file_walk import list_files
from seqbelt.features.audio.audio import Waveform
from seqbelt.inference import ray_engine
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.folder import Item, predict_items
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("ray_cluster"),
]
NUM_FILES = 24


@pytest.fixture
def bundle() -> Bundle:
    torch.manual_seed(0)
    features = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
    model = Model(cell="gru", hidden_size=6, layout="padded")
    network = build_network(model, 8, 2, is_tokens=False).eval()
    return Bundle("toy", features, {}, model, ("low", "high"), 8, weights_of(network), {})


@pytest.fixture
def wavs(tmp_path, write_wavs) -> Path:
    write_wavs(tmp_path / "in", NUM_FILES)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF, or so it says")
    return tmp_path / "in"


def run(predictor, wavs, output):
    items = (Item(name, wavs / name) for name in list_files(wavs))
    summary = predict_items(predictor, items, output)
    return summary, [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def assert_same(found, expected):
    assert [row["path"] for row in found] == [row["path"] for row in expected]
    for one, two in zip(found, expected, strict=True):
        assert (one["label"], one["error"]) == (two["label"], two["error"])
        assert one["content_hash"] == two["content_hash"]
        if one["label"]:
            assert one["confidence"] == pytest.approx(two["confidence"], abs=1e-5)


def test_the_same_file_and_nothing_twice(bundle, wavs, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "WINDOW_ITEMS", 5)
    _, expected = run(Predictor(bundle, "cpu"), wavs, tmp_path / "alone.jsonl")
    summary, found = run(ray_engine.RayPredictor(bundle), wavs, tmp_path / "ray.jsonl")
    assert summary.num_predicted == NUM_FILES and summary.num_quarantined == 1
    assert_same(found, expected)
    first = next(wavs.glob("low/*.wav"))
    first.rename(wavs / "low" / "renamed.wav")
    again, _ = run(ray_engine.RayPredictor(bundle), wavs, tmp_path / "ray.jsonl")
    assert again.num_reused == NUM_FILES + 1


def test_a_killed_worker_costs_nothing(bundle, wavs, tmp_path, monkeypatch, killing_a_ray_worker):
    monkeypatch.setattr(ray_engine, "WINDOW_ITEMS", 2)
    _, expected = run(Predictor(bundle, "cpu"), wavs, tmp_path / "alone.jsonl")
    predictor = ray_engine.RayPredictor(bundle)
    with killing_a_ray_worker("_Worker"):
        _, found = run(predictor, wavs, tmp_path / "ray.jsonl")
    assert_same(found, expected)


def test_what_ends_every_worker_is_quarantined(bundle, wavs, tmp_path, monkeypatch, ended_by):
    (wavs / "deadly.wav").write_bytes(b"deadly")
    monkeypatch.setattr(ray_engine, "_Worker", ended_by("deadly.wav", ray_engine._Worker))
    monkeypatch.setattr(ray_engine, "WINDOW_ITEMS", 9)
    summary, found = run(ray_engine.RayPredictor(bundle), wavs, tmp_path / "ray.jsonl")
    assert summary.num_predicted == NUM_FILES
    assert [row["error"].split(":")[0] for row in found if row["path"] == "deadly.wav"] == [
        "crashed"
    ]
