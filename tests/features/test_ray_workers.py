"""Preparation on a local Ray cluster of two workers gives the store of a preparation without."""

import numpy as np
import pytest

from seqbelt.data.sources.dataset import Data
from seqbelt.data.store.preparation import prepare
from seqbelt.features import ray_workers
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.ray_workers import encode_on_ray
from seqbelt.features.text.text import Subword

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("ray_cluster"),
]
NUM_FILES = 24
LOG_MEL = LogMel(kind="log_mel", sample_rate=8000, num_bands=8, window_ms=25.0, hop_ms=10.0)
SUBWORD = Subword(kind="subword", vocabulary_size=60, max_length=20)


@pytest.fixture
def wavs(tmp_path, write_wavs):
    write_wavs(tmp_path / "in", NUM_FILES)
    (tmp_path / "in" / "low" / "broken.wav").write_bytes(b"RIFF, or so it says")
    return tmp_path / "in"


def manifest_of(path, **settings):
    return Data(source=str(path), test_fraction=0.2, validation_fraction=0.2, **settings).load()


def in_steps(features, encoder, sources, is_known):
    """As ``encode_on_ray``, with windows so small that each worker has several."""
    content = (features, encoder, is_known)
    workers = ray_workers.RayWorkers(ray_workers._EncodingWorker, content, use_gpus=False)
    return workers.results(sources, max_items=2)


def assert_same(found, expected):
    assert found.num_quarantined == expected.num_quarantined
    for split in ("train", "validation", "test"):
        mine, theirs = found.store.split(split), expected.store.split(split)
        assert len(mine) == len(theirs) > 0
        for row in range(len(mine)):
            assert np.array_equal(mine[row], theirs[row])
        assert np.array_equal(mine.labels, theirs.labels)


def test_the_same_store_and_only_what_is_new(wavs, tmp_path, write_wavs):
    expected = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "alone", {})
    found = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "a" / "ray", {}, encode=encode_on_ray)
    assert found.num_encoded == NUM_FILES and found.num_quarantined == 1
    assert_same(found, expected)
    next(wavs.glob("low/0*.wav")).rename(wavs / "low" / "renamed.wav")
    write_wavs(wavs / "more", 2, first_seed=1000)
    for path in (wavs / "more").rglob("*.wav"):
        path.rename(wavs / path.parent.name / f"new{path.name}")
    again = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "a" / "ray", {}, encode=encode_on_ray)
    assert again.num_encoded == 2


def test_a_vocabulary_goes_to_the_workers(tmp_path):
    table = tmp_path / "reviews.csv"
    rows = [f"{'좋은 영화 good' if row % 2 else 'bad 별로'} {row},{row % 2}" for row in range(40)]
    table.write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
    expected = prepare(manifest_of(table), SUBWORD, tmp_path / "alone", {})
    found = prepare(manifest_of(table), SUBWORD, tmp_path / "a" / "ray", {}, encode=encode_on_ray)
    assert_same(found, expected)


def test_a_killed_worker_costs_nothing(wavs, tmp_path, killing_a_ray_worker):
    expected = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "alone", {})
    with killing_a_ray_worker("_EncodingWorker"):
        found = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "a" / "ray", {}, encode=in_steps)
    assert_same(found, expected)


def test_what_ends_every_worker_is_quarantined(wavs, tmp_path, monkeypatch, ended_by):
    (wavs / "low" / "deadly.wav").write_bytes(b"deadly")
    deadly = ended_by("deadly.wav", ray_workers._EncodingWorker)
    monkeypatch.setattr(ray_workers, "_EncodingWorker", deadly)
    found = prepare(manifest_of(wavs), LOG_MEL, tmp_path / "ray", {}, encode=in_steps)
    assert found.num_encoded == NUM_FILES and found.num_quarantined == 2
    assert "crashed" in (tmp_path / "ray" / "quarantine.csv").read_text("utf-8")
