"""``seqbelt predict --timeline``: its table, label files, defaults and refusals."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import PLAIN

from seqbelt.cli import main
from seqbelt.commands.review import items_of_predictions
from seqbelt.errors import SettingsError
from seqbelt.features.audio.audio import LogMel
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model


def save(pooling: str) -> str:
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=8)
    model = Model(**PLAIN | {"hidden_size": 4, "pooling": pooling})
    torch.manual_seed(0)
    network = build_network(model, 8, 2, is_tokens=False)
    network.normalize.learn(torch.full((8,), -40.0), torch.full((8,), 10.0))
    about = {"median_num_steps": 50}
    bundle = Bundle("t", features, {}, model, ("call", "rest"), 8, weights_of(network), about)
    bundle.save(Path("bundle"))
    return "bundle"


def run(capfd, *arguments) -> tuple[int, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["predict", *arguments])
    return stop.value.code, capfd.readouterr().err


@pytest.mark.parametrize("pooling", ["attention", pytest.param("last", marks=pytest.mark.slow)])
def test_long_recordings_become_segments(tmp_path, monkeypatch, capfd, noise, wav_bytes, pooling):
    monkeypatch.chdir(tmp_path)
    model = save(pooling)
    Path("in").mkdir()
    Path("in/a.wav").write_bytes(wav_bytes(noise(3 * 8000)))
    Path("in/bad.wav").write_bytes(b"RIFF")
    code, err = run(
        capfd, model, "in", "--timeline", "--threshold", "0", "--output", "o.csv", "--audacity",
        "labels",
    )  # fmt: skip
    assert code == 3, err
    assert "windows of 0.5 s" in err and "next:" not in err
    with pytest.raises(SettingsError, match="a row for each segment"):
        items_of_predictions(Path("o.csv"))
    with Path("o.csv").open() as file:
        rows = list(csv.DictReader(file))
    segments = [row for row in rows if not row["error"]]
    assert list(rows[0])[:5] == ["path", "start_s", "end_s", "label", "confidence"]
    assert float(segments[0]["start_s"]) == 0 and float(segments[-1]["end_s"]) == 3
    assert {row["path"] for row in rows} == {"a.wav", "bad.wav"}
    lengths = [float(row["end_s"]) - float(row["start_s"]) for row in segments]
    assert min(lengths) >= 0.125 - 1e-6  # a quarter of a window
    label_file = Path("labels/a.wav.txt").read_text().splitlines()
    assert len(label_file) == len(segments)


def test_spans_of_other_poolings_are_refused(tmp_path, monkeypatch, capfd, noise, wav_bytes):
    monkeypatch.chdir(tmp_path)
    model = save("last")
    Path("a.wav").write_bytes(wav_bytes(noise(8000)))
    arguments = [model, "a.wav", "--output", "o.csv"]
    code, err = run(capfd, *arguments, "--timeline", "--span-s", "0.2")
    assert code == 2 and "--span-s 0.5" in err
    code, err = run(capfd, *arguments, "--span-s", "0.2")
    assert code == 2 and "--span-s: needs --timeline" in err


def test_a_recording_far_longer_than_those_trained_on_is_said(
    tmp_path, monkeypatch, capfd, noise, wav_bytes
):
    """A whole hour may be given one label, but not without a word."""
    monkeypatch.chdir(tmp_path)
    model = save("attention")
    for name, seconds in (("short", 1), ("long", 3)):
        Path(f"{name}.wav").write_bytes(wav_bytes(noise(seconds * 8000)))
    files = ["short.wav", "long.wav"]
    code, err = run(capfd, model, *files, "--output", "o.csv")
    assert code == 0 and "longest training sequence" not in err  # not known of older bundles
    bundle = Bundle.load(Path(model))
    about = {**bundle.about, "max_num_steps": 50, "step_s": 0.01}
    replace(bundle, about=about).save(Path("new"))
    code, err = run(capfd, "new", *files, "--output", "p.csv")
    assert "longer than 4 times the longest training sequence (50 steps): 1 input" in err
    assert "--timeline" in err
    assert "next: seqbelt review p.csv short.wav long.wav" in err
