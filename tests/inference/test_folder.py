import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqbelt.data.sources.file_walk import list_files
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features import base
from seqbelt.features.audio.audio import Waveform
from seqbelt.inference import folder as folder_module
from seqbelt.inference import predictor as predictor_module
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.folder import Item, Summary, predict_items
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

NUM_FILES = 24
WAIT_S = 300


def make(seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    features = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
    model = Model(cell="gru", hidden_size=6, layout="padded")
    network = build_network(model, 8, 2, is_tokens=False).eval()
    return Bundle("toy", features, {}, model, ("low", "high"), 8, weights_of(network), {})


@pytest.fixture
def wavs(tmp_path, write_wavs) -> Path:
    write_wavs(tmp_path / "in", NUM_FILES)
    return tmp_path / "in"


def run(wavs: Path, output: Path, bundle: Bundle | None = None, **options) -> Summary:
    items = (Item(name, wavs / name) for name in list_files(wavs))
    return predict_items(Predictor(bundle or make(), "cpu"), items, output, **options)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def assert_same(found: Path, expected: Path) -> None:
    """The same rows in the same order; shares may differ by rounding."""
    for one, two in zip(read(found), read(expected), strict=True):
        for name in one.keys() | two.keys():
            if isinstance(one[name], float):
                assert one[name] == pytest.approx(two[name], abs=1e-5)
            else:
                assert one[name] == two[name]


@pytest.fixture
def answered(monkeypatch):
    """The numbers of steps of the sequences that a network had to answer."""
    seen = []
    probabilities = Predictor._probabilities

    def counting(self, engine, sequences):
        seen.extend(len(sequence) for sequence in sequences)
        return probabilities(self, engine, sequences)

    monkeypatch.setattr(Predictor, "_probabilities", counting)
    return seen


def test_every_file_is_a_row_under_its_own_name_and_answer(tmp_path, wavs):
    done = []
    summary = run(wavs, tmp_path / "out.jsonl", model="models:/toy/1", progress=done.append)
    rows = read(tmp_path / "out.jsonl")
    assert [row["path"] for row in rows] == list(list_files(wavs))
    assert (summary.num_predicted, summary.num_quarantined, summary.num_reused) == (24, 0, 0)
    assert sum(done) == NUM_FILES
    predictor = Predictor(make(), "cpu")
    for row in rows:
        (alone,) = predictor.predict([(0, wavs / row["path"])])
        assert row["p_high"] == pytest.approx(float(alone.probabilities[1]), abs=1e-5)
        assert row["label"] == ("low", "high")[int(alone.probabilities.argmax())]
        assert row["confidence"] == max(row["p_low"], row["p_high"])
        assert row["num_steps"] == alone.num_steps
        assert row["content_hash"] == alone.content_hash
        assert row["model"] == "models:/toy/1"
        assert row["error"] is None


def test_bad_inputs_become_rows_with_a_reason(tmp_path, wavs):
    (wavs / "empty.wav").touch()
    (wavs / "text.wav").write_text("hello")
    (wavs / "cut.wav").write_bytes((wavs / "low/000.wav").read_bytes()[:-5])
    (wavs / "gone.wav").symlink_to("gone")
    summary = run(wavs, tmp_path / "out.jsonl")
    errors = {row["path"]: row["error"] for row in read(tmp_path / "out.jsonl") if row["error"]}
    assert {name: error.split(":")[0] for name, error in errors.items()} == {
        "empty.wav": "empty",
        "text.wav": "wrong type",
        "cut.wav": "truncated",
        "gone.wav": "unreadable",
    }
    assert (summary.num_predicted, summary.num_quarantined) == (24, 4)
    assert summary.reasons == {"empty": 1, "wrong type": 1, "truncated": 1, "unreadable": 1}
    for row in read(tmp_path / "out.jsonl"):
        if row["error"]:
            assert row["label"] is row["confidence"] is row["p_low"] is row["num_steps"] is None


def test_a_second_run_answers_nothing_and_writes_the_same_file(tmp_path, wavs, answered):
    (wavs / "text.wav").write_text("hello")
    run(wavs, tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    answered.clear()
    summary = run(wavs, tmp_path / "out.jsonl")
    assert answered == []
    assert (summary.num_reused, summary.num_predicted, summary.num_quarantined) == (25, 24, 1)
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_second_run_says_again_how_inputs_were_read(tmp_path, wavs, wav_bytes, noise):
    (wavs / "slow.wav").write_bytes(wav_bytes(noise(900), 4000))
    (wavs / "same.wav").write_bytes(wav_bytes(noise(900), 4000))
    readings = run(wavs, tmp_path / "out.jsonl").readings
    assert any("4000 Hz" in remark and count == 2 for remark, count in readings.items())
    assert run(wavs, tmp_path / "out.jsonl").readings == readings
    (wavs / "same.wav").unlink()
    again = run(wavs, tmp_path / "out.jsonl")
    assert again.readings == dict.fromkeys(readings, 1) and again.num_reused == 25


def test_an_unchanged_file_is_not_even_opened(tmp_path, wavs, monkeypatch, wav_bytes, noise):
    run(wavs, tmp_path / "out.jsonl")
    (wavs / "new.wav").write_bytes(wav_bytes(noise(640, 90)))
    opened = []
    read_bytes = base.read_bytes
    monkeypatch.setattr(
        base, "read_bytes", lambda p, *limits: opened.append(p) or read_bytes(p, *limits)
    )
    run(wavs, tmp_path / "out.jsonl")
    assert opened == [wavs / "new.wav"]


def test_only_new_and_changed_files_are_answered(tmp_path, wavs, answered, wav_bytes, noise):
    run(wavs, tmp_path / "out.jsonl")
    (wavs / "new.wav").write_bytes(wav_bytes(noise(80 * 8, 90)))
    (wavs / "low/000.wav").write_bytes(wav_bytes(noise(90 * 8, 91)))
    (wavs / "high/001.wav").unlink()
    answered.clear()
    summary = run(wavs, tmp_path / "out.jsonl")
    assert sorted(answered) == [81, 91]
    assert summary.num_reused == 22
    run(wavs, tmp_path / "fresh.jsonl")
    assert_same(tmp_path / "out.jsonl", tmp_path / "fresh.jsonl")


def test_a_renamed_file_is_not_answered_again(tmp_path, wavs, answered):
    run(wavs, tmp_path / "out.jsonl")
    (wavs / "low/000.wav").rename(wavs / "renamed.wav")
    answered.clear()
    run(wavs, tmp_path / "out.jsonl")
    assert answered == []
    assert "renamed.wav" in {row["path"] for row in read(tmp_path / "out.jsonl") if row["label"]}


def test_another_model_answers_everything_anew(tmp_path, wavs, answered):
    run(wavs, tmp_path / "out.jsonl")
    answered.clear()
    run(wavs, tmp_path / "out.jsonl", make(seed=1))
    assert len(answered) == NUM_FILES
    run(wavs, tmp_path / "fresh.jsonl", make(seed=1))
    assert_same(tmp_path / "out.jsonl", tmp_path / "fresh.jsonl")


def test_the_same_content_under_two_names_is_two_rows(tmp_path, wavs):
    (wavs / "twin.wav").write_bytes((wavs / "low/000.wav").read_bytes())
    run(wavs, tmp_path / "out.jsonl")
    rows = {row.pop("path"): row for row in read(tmp_path / "out.jsonl")}
    assert rows["twin.wav"] == rows["low/000.wav"]


@pytest.mark.parametrize(
    "name",
    [b"new\nline.wav", b"caf\xe9.wav", b'quote".wav'],
    ids=["new-line", "latin-1", "quote"],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_any_file_name_gets_its_label(tmp_path, wavs, name, suffix):
    (wavs / "low/000.wav").rename(wavs / os.fsdecode(name))
    summary = run(wavs, tmp_path / f"out{suffix}")
    assert (summary.num_predicted, summary.num_quarantined) == (NUM_FILES, 0)
    assert (tmp_path / f"out{suffix}").stat().st_size


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path, wavs, answered):
    (tmp_path / "file").touch()
    for name in ("out.txt", "file/out.csv"):
        with pytest.raises(SettingsError, match="--output"):
            run(wavs, tmp_path / name)
    (tmp_path / "out.csv.journal").mkdir()
    with pytest.raises(SeqbeltError, match=r"out\.csv\.journal"):
        run(wavs, tmp_path / "out.csv")
    assert answered == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, wavs, monkeypatch, answered, stop):
    run(wavs, tmp_path / "whole.jsonl")
    monkeypatch.setattr(folder_module, "COMMIT_ITEMS", 4)
    monkeypatch.setattr(predictor_module, "WINDOW_ITEMS", 4)

    def progress(count):
        raise stop

    with pytest.raises(stop):
        run(wavs, tmp_path / "out.jsonl", progress=progress)
    assert not (tmp_path / "out.jsonl").exists()
    answered.clear()
    summary = run(wavs, tmp_path / "out.jsonl")
    assert summary.num_reused >= 4
    assert len(answered) == NUM_FILES - summary.num_reused
    assert_same(tmp_path / "out.jsonl", tmp_path / "whole.jsonl")


PROCESS = """
    import hashlib, os, signal, sys, time
    from pathlib import Path
    import torch
    from seqbelt.data.sources.file_walk import list_files
    from seqbelt.inference import folder, predictor
    from seqbelt.inference.bundle import Bundle
    from seqbelt.inference.bundle_weights import weights_of

    bundle, wavs, output, mode = sys.argv[1:]
    wavs, output = Path(wavs), Path(output)
    torch.set_num_threads(1)
    folder.COMMIT_ITEMS = predictor.WINDOW_ITEMS = 4
    done = []

    def progress(count):
        done.append(count)
        if mode == "kill" and len(done) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)

    ready = predictor.Predictor(Bundle.load(Path(bundle)), "cpu")
    items = (folder.Item(name, wavs / name) for name in list_files(wavs))
    folder.predict_items(ready, items, output, progress=progress)
    print(hashlib.sha256(output.read_bytes()).hexdigest())
"""


def start(tmp_path: Path, wavs: Path, mode: str) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(PROCESS)]
    paths = [tmp_path / "bundle", wavs, tmp_path / "out.jsonl"]
    return subprocess.Popen([*command, *map(str, paths), mode], stdout=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_file(tmp_path, wavs, answered):
    make().save(tmp_path / "bundle")
    run(wavs, tmp_path / "whole.jsonl")
    process = start(tmp_path, wavs, "kill")
    process.communicate(timeout=WAIT_S)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.jsonl").exists()
    answered.clear()
    summary = run(wavs, tmp_path / "out.jsonl")
    assert summary.num_reused >= 12
    assert len(answered) == NUM_FILES - summary.num_reused
    assert_same(tmp_path / "out.jsonl", tmp_path / "whole.jsonl")


def test_a_second_run_into_an_output_that_is_being_written_is_refused(
    tmp_path, wavs, answered, monkeypatch
):
    monkeypatch.setattr(folder_module, "WAIT_S", 0.0)
    output = tmp_path / "out.jsonl"

    def progress(count):
        with pytest.raises(SeqbeltError, match=r"out\.jsonl: another run is writing it"):
            run(wavs, output)

    run(wavs, output, progress=progress)
    assert len(answered) == len(read(output)) == NUM_FILES
    # Who waits for the lock has its file open: another file in its place would be another lock.
    (lock,) = tmp_path.glob(".out*")
    number = lock.stat().st_ino
    assert run(wavs, output).num_reused == NUM_FILES and lock.stat().st_ino == number


@pytest.mark.slow
def test_a_full_disk_costs_nothing_that_was_answered(tmp_path, wavs):
    """The kernel refuses to let a file grow beyond a limit, as it does on a disk that is full."""
    make().save(tmp_path / "bundle")
    run(wavs, tmp_path / "whole.jsonl")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
    script = limit + "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    command = [sys.executable, "-c", script + textwrap.dedent(PROCESS)]
    paths = [tmp_path / "bundle", wavs, tmp_path / "out.jsonl"]
    done = subprocess.run([*command, *map(str, paths), ""], capture_output=True, text=True)
    assert done.returncode == 1 and "SeqbeltError" in done.stderr, done.stderr
    assert "run the same command again" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
    assert [path.name for path in tmp_path.glob(".out*")] == [".out.jsonl.lock"]
    run(wavs, tmp_path / "out.jsonl")
    assert_same(tmp_path / "out.jsonl", tmp_path / "whole.jsonl")


def test_a_path_that_is_text_has_its_labels_key(tmp_path, noise):
    items = [Item("row-7", noise(300))]
    predict_items(Predictor(make(), "cpu"), items, tmp_path / "out.jsonl", key="id")
    (row,) = read(tmp_path / "out.jsonl")
    assert next(iter(row.items())) == ("id", "row-7")
    assert np.isclose(row["p_low"] + row["p_high"], 1)


def test_answers_below_the_confidence_of_a_coverage_are_rejected(wavs, tmp_path):
    """What is rejected keeps its probabilities, has no label, is counted, and costs no answer."""
    everything = run(wavs, tmp_path / "out.jsonl")
    confidences = sorted(row["confidence"] for row in read(tmp_path / "out.jsonl"))
    known = replace(make(), confidences=tuple(confidences))
    summary = run(wavs, tmp_path / "out.jsonl", known, coverage=0.75)
    assert summary.num_reused == everything.num_predicted == NUM_FILES
    assert summary.reasons == {"rejected": NUM_FILES // 4}
    threshold = float(np.quantile(confidences, 0.25))
    for row in read(tmp_path / "out.jsonl"):
        assert (row["label"] is None) == (row["confidence"] < threshold)
        assert (row["error"] is None) == (row["label"] is not None)
        assert row["confidence"] == max(row["p_low"], row["p_high"])
        best = "low" if row["p_low"] > row["p_high"] else "high"
        assert row["rejected_label"] == (best if row["label"] is None else None)


def test_a_coverage_needs_confidences_of_validation_rows(wavs, tmp_path):
    with pytest.raises(SettingsError, match="validation_fraction"):
        run(wavs, tmp_path / "out.jsonl", coverage=0.9)


def test_answers_are_counted_by_class_and_unknown_classes_are_told(tmp_path, wavs):
    names = [*list_files(wavs)]
    items = [Item(name, wavs / name, ("low", "lo ", None)[n % 3]) for n, name in enumerate(names)]
    summary = predict_items(Predictor(make(), "cpu"), items, tmp_path / "out.jsonl")
    rows = read(tmp_path / "out.jsonl")
    assert summary.labels == Counter(row["label"] for row in rows)
    assert summary.unknown_labels == {"lo ": 8}
    assert summary.num_labelled == summary.num_labelled_predicted == 16
    right = sum(row["label"] == item.label for row, item in zip(rows, items, strict=True))
    assert summary.num_correct == right


@pytest.mark.parametrize(("crop", "is_cropped"), [("head", True), ("windows", False)])
def test_how_much_was_read_is_a_column_where_some_input_is_too_long(
    tmp_path, write_wavs, noise, wav_bytes, crop, is_cropped
):
    folder = tmp_path / "long"
    folder.mkdir()
    for name, num_samples in (("a", 4000), ("b", 40_000)):
        (folder / f"{name}.wav").write_bytes(wav_bytes(noise(num_samples)))
    bundle = make()
    (length, long) = (row["num_steps"] for row in run_and_read(folder, tmp_path, bundle))
    cropped = replace(bundle, model=bundle.model.replace(max_steps=length, crop=crop))
    for _ in range(2):  # the second run reads the journal
        summary = run(folder, tmp_path / "out.jsonl", cropped)
        rows = read(tmp_path / "out.jsonl")
        if is_cropped:
            shares = [row["share_read"] for row in rows]
            np.testing.assert_allclose(shares, [1, length / long], rtol=1e-6)
            assert summary.num_partly_read == 1 and summary.min_share_read == length / long
        else:
            assert "share_read" not in rows[0] and summary.num_partly_read == 0


def run_and_read(folder: Path, tmp_path: Path, bundle: Bundle) -> list[dict]:
    run(folder, tmp_path / "whole.jsonl", bundle)
    return read(tmp_path / "whole.jsonl")
