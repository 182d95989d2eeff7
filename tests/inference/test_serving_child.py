"""The process that decodes may die or hang: what it was at gets an error, the rest its answers."""

import os
import signal
import tempfile

import numpy as np
import pytest
import torch

from seqbelt.errors import SeqbeltError
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.crash_board import Board
from seqbelt.inference import request_rows, serving
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.request_rows import ServeLimits
from seqbelt.inference.serving import ModelProcess, in_this_process
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=6)
    network = build_network(model := Model(hidden_size=4), 6, 2, is_tokens=False).eval()
    Bundle("toy", features, {}, model, ("a", "b"), 6, weights_of(network), {}).save(
        tmp_path / "toy"
    )
    return tmp_path / "toy"


def assert_alike(found, expected):
    """Two processes may divide the work otherwise, and round the last digit otherwise."""
    assert [set(row) for row in found] == [set(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(row.get("values", []), other.get("values", []), atol=1e-6)
        assert row.get("reason") == other.get("reason")


@pytest.mark.parametrize(
    "name", ["COLUMNS", "Content", "ServeLimits", "read_row", "read_joined_row"]
)
def test_the_code_of_older_logged_models_finds_what_it_imports(name):
    assert getattr(serving, name) is getattr(request_rows, name)


@pytest.mark.slow
def test_a_child_that_dies_or_hangs_costs_what_it_was_at(folder, wav_bytes, noise, monkeypatch):
    child = ModelProcess(folder, ServeLimits(timeout_s=1.0))
    sources = [wav_bytes(noise(4000, seed)) for seed in range(3)] + [b"no recording"]
    try:
        first = child.predict(sources)
        assert [set(row) for row in first] == [{"values"}] * 3 + [{"error", "reason"}]
        assert all(np.isclose(sum(row["values"]), 1) for row in first[:3])
        assert child._process is not None
        os.kill(child._process.pid, signal.SIGKILL)
        assert_alike(child.predict(sources), first)
        os.kill(child._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(serving, "NETWORK_S", 0.2)
        (late,) = child.predict(sources[:1])
        assert "values" in late or late["error"].startswith("timed out")
        monkeypatch.undo()
        assert_alike(child.predict(sources), first)
    finally:
        child.close()


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_an_error(folder):
    (folder / "weights.safetensors").write_bytes(b"")
    child = ModelProcess(folder, ServeLimits())
    with pytest.raises(SeqbeltError, match=r"weights\.safetensors: was changed"):
        child.predict([b"x"])
    child.close()


def test_a_server_leaves_no_file_however_it_ends(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = [*tmp_path.iterdir()]
    child = ModelProcess(folder, ServeLimits())
    assert [*tmp_path.iterdir()] == before
    with child._board.working_on([7]):
        same = Board(child._shared.fileno())  # as the child process opens it
        assert [busy.indices for busy in same.busy()] == [(7,)]
    child.close()


def test_known_sources_need_no_child(folder, wav_bytes, noise, monkeypatch):
    started = []
    monkeypatch.setattr(ModelProcess, "_start", lambda self: started.append(self))
    child = ModelProcess(folder, ServeLimits())
    with in_this_process():
        good, bad = child.predict([wav_bytes(noise(4000)), b"no recording"])
    assert not started and child._process is None
    assert sum(good["values"]) == pytest.approx(1)
    assert bad["reason"] == "wrong type" and bad["error"]
    with pytest.raises(AssertionError):  # nothing was started, but it was tried
        child.predict([b"no recording"])
    assert started
