"""``seqbelt stream``: what it prints for pipes, files and growing files, and what it refuses."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import PLAIN

from seqbelt.cli import main
from seqbelt.commands import stream as stage
from seqbelt.data.labels.targets import TARGETS
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.folder import Item, predict_items
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

CLASSES = ("ja", "nein")
LOG_MEL = LogMel(kind="log_mel", sample_rate=8000, num_bands=8)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(features=LOG_MEL, learn_from=(), **settings) -> str:
    raws = [features.read(source) for source in learn_from]
    learned = features.learn(raws)
    encoder = features.encoder(learned)
    model = Model(**PLAIN | {"hidden_size": 6} | settings)
    torch.manual_seed(0)
    network = build_network(model, encoder.num_features, 2, features.is_tokens)
    if features is LOG_MEL:
        network.normalize.learn(torch.full((8,), -40.0), torch.full((8,), 10.0))
    Bundle(
        "t", features, learned, model, CLASSES, encoder.num_features, weights_of(network), {}
    ).save(Path("bundle"))
    return "bundle"


class Trickle(io.BytesIO):
    """Standard input that gives a few bytes at a time."""

    def __init__(self, content: bytes, at_once: int) -> None:
        super().__init__(content)
        self.at_once = at_once

    def read1(self, size=-1, /):
        return super().read1(min(self.at_once, size))


def run(capsys, *arguments):
    """Exit code, the lines of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["stream", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stop.value.code, [json.loads(line) for line in out.splitlines()], err


def pipe(monkeypatch, content: bytes, at_once: int = 1 << 20) -> None:
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Trickle(content, at_once)}))


def check(line, source) -> None:
    """A line is what ``predict`` says of a source."""
    (answer,) = Predictor(Bundle.load(Path("bundle")), "cpu").predict([(0, source)])
    assert list(line["p"]) == list(CLASSES)
    np.testing.assert_allclose(list(line["p"].values()), answer.probabilities, atol=1e-5)
    assert line["label"] == CLASSES[answer.probabilities.argmax()]
    assert line["confidence"] == max(line["p"].values())


def as_integers(noise, num_samples=3001) -> bytes:
    return (noise(num_samples) * 32767).astype("<i2").tobytes()


def from_integers(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<i2").astype(np.float32) / 32768


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 20])
def test_piped_samples_get_the_answer_of_the_file(noise, capsys, monkeypatch, at_once):
    model, content = save(pooling="attention"), as_integers(noise)
    pipe(monkeypatch, content, at_once)
    code, lines, err = run(capsys, model, "-", "--every-ms", "100", "--json")
    assert code == 0 and "latency" in err
    *answers, summary = lines
    assert [line["time_s"] for line in answers] == [0.1, 0.2, 0.3, 0.375125]
    assert [line["step"] for line in answers] == [9, 19, 29, 38]
    assert [line["final"] for line in answers] == [False, False, False, True]
    check(answers[-1], from_integers(content))
    check(summary, from_integers(content))
    assert summary["num_steps"] == 38 and summary["num_decisions"] == 4
    assert summary["duration_s"] == 0.375125
    assert 0 < summary["latency_ms"]["median"] <= summary["latency_ms"]["p95"]


def test_without_json_only_answers_are_on_standard_output(noise, capsys, monkeypatch):
    model = save()
    pipe(monkeypatch, as_integers(noise))
    code, lines, err = run(capsys, model, "-")
    assert code == 0 and len(lines) == 2 and all("step" in line for line in lines)
    assert lines[-1]["label"] in err


def test_floats_and_a_piped_wav(noise, wav_bytes, capsys, monkeypatch):
    model, samples = save(), noise(2500)
    pipe(monkeypatch, samples.astype("<f4").tobytes())
    code, lines, _ = run(capsys, model, "-", "--pcm", "f32le")
    assert code == 0
    check(lines[-1], samples)
    content = wav_bytes(samples)
    pipe(monkeypatch, content, 7)
    code, lines, _ = run(capsys, model, "-")
    assert code == 0
    check(lines[-1], content)


def test_a_file_is_decoded_as_predict_decodes_it(noise, wav_bytes, capsys):
    model = save(pooling="max")
    Path("x.flac").write_bytes(wav_bytes(noise(5000, num_channels=2), format="FLAC"))
    code, lines, _ = run(capsys, model, "x.flac", "--every-steps", "20", "--json")
    assert code == 0
    assert [line["time_s"] for line in lines[:-1]] == [0.2, 0.4, 0.6, 0.625]
    check(lines[-1], Path("x.flac"))
    content = as_integers(noise)
    Path("x.raw").write_bytes(content)
    code, lines, _ = run(capsys, model, "x.raw", "--pcm", "s16le")
    assert code == 0
    check(lines[-1], from_integers(content))


def test_a_growing_file_is_followed_until_it_is_stopped(noise, capsys, monkeypatch):
    model, content = save(), as_integers(noise)
    Path("x.raw").write_bytes(content[:2001])
    to_come = [content[2001:4444], b"", content[4444:]]

    def sleep(_):
        if not to_come:
            raise KeyboardInterrupt
        with Path("x.raw").open("ab") as file:
            file.write(to_come.pop(0))

    monkeypatch.setattr(stage.time, "sleep", sleep)
    code, lines, err = run(capsys, model, "x.raw", "--follow", "--json")
    assert code == 0 and "stopped by Ctrl-C" in err and not to_come
    check(lines[-1], from_integers(content))


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_rows_of_a_table_are_piped(capsys, monkeypatch, at_once):
    rows = np.random.default_rng(0).normal(size=(12, 2)).round(3)
    content = "x,y\n" + "".join(f"{x},{y}\n" for x, y in rows)
    model = save(
        Channels(kind="channels", differences=True, sample_rate=4.0), [content.encode()],
        cell="gru", pooling="concat",
    )  # fmt: skip
    pipe(monkeypatch, content.encode(), at_once)
    code, lines, _ = run(capsys, model, "-", "--every-steps", "5", "--json")
    assert code == 0
    assert [(line["step"], line["time_s"]) for line in lines[:-1]] == [
        (5, 1.25), (10, 2.5), (12, 3.0)
    ]  # fmt: skip
    check(lines[-1], content.encode())
    np.save("rows.npy", rows)
    code, lines, _ = run(capsys, model, "rows.npy")
    assert code == 0 and len(lines) == 13
    check(lines[-1], Path("rows.npy"))


def test_steps_without_a_time_have_none(capsys, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    model = save(Channels(kind="channels"), [rows])
    pipe(monkeypatch, b"1 2\n3 4\n")
    code, lines, _ = run(capsys, model, "-", "--json")
    assert code == 0 and [line["step"] for line in lines[:-1]] == [1, 2, 2]
    assert not any("time_s" in line or "duration_s" in line for line in lines)


def test_what_cannot_be_answered_says_why(noise, wav_bytes, capsys, monkeypatch):
    Path("x.raw").write_bytes(as_integers(noise))
    Path("folder").mkdir()
    Path("quiet.wav").write_bytes(wav_bytes(np.zeros(400)))
    Path("broken.wav").write_bytes(b"RIFF but no sound")
    model = save()
    for arguments, expected, words in (
        ([model, "none.wav"], 2, "none.wav: no such file"),
        ([model, "folder"], 2, "FILE folder: a folder"),
        ([model, "x.raw"], 1, "--pcm s16le reads raw samples"),
        ([model, "quiet.wav"], 1, "silent"),
        ([model, "broken.wav"], 1, "broken.wav: "),
        ([model, "-", "--follow"], 2, "--follow"),
        ([model, "-", "--every-ms", "9", "--every-steps", "9"], 2, "one of them"),
        (["nothing", "quiet.wav"], 1, "neither a bundle folder"),
    ):
        code, lines, err = run(capsys, *arguments)
        assert (code, lines) == (expected, []) and words in err, (arguments, err)
    for content, words in (
        (b"", "empty"),
        (b"\0" * 900, "silent"),
        (b"fLaC" * 9, "wrong type: FLAC"),
    ):
        pipe(monkeypatch, content)
        code, lines, err = run(capsys, model, "-")
        assert (code, lines) == (1, []) and f"standard input: {words}" in err
    assert "ffmpeg -i - -f wav - | seqbelt stream bundle -" in err


def test_a_file_of_another_rate_is_resampled_as_predict_does(noise, wav_bytes, capsys, monkeypatch):
    model, content = save(), wav_bytes(noise(9000), 4000)
    Path("slow.wav").write_bytes(content)
    for file in ("slow.wav", "-"):
        pipe(monkeypatch, content)
        code, lines, err = run(capsys, model, file)
        assert code == 0 and lines[-1]["time_s"] == 2.25
        check(lines[-1], Path("slow.wav"))
        assert "read: resampled from 4000 Hz to 8000 Hz" in err


def test_columns_of_a_file_are_found_by_name_as_in_predict(capsys):
    rows = np.random.default_rng(0).normal(size=(12, 2)).round(3)
    content = "x,y\n" + "".join(f"{x},{y}\n" for x, y in rows)
    model = save(Channels(kind="channels", sample_rate=4.0), [content.encode()])
    Path("swapped.csv").write_text("y,x\n" + "".join(f"{y},{x}\n" for x, y in rows))
    code, lines, err = run(capsys, model, "swapped.csv")
    assert code == 0 and "read: columns in another order" in err
    check(lines[-1], content.encode())


def test_a_signal_far_longer_than_the_training_rows_is_remarked_once(noise, capsys, monkeypatch):
    model = save()
    bundle = Bundle.load(Path(model))
    about = {"max_num_steps": 5, "median_num_steps": 4}
    replace(bundle, about=about).save(Path(model))
    for options, times in (([], 1), (["--window-s", "0.04"], 0)):
        pipe(monkeypatch, as_integers(noise))
        _, _, err = run(capsys, model, "-", "--every-steps", "3", *options)
        assert err.count("longer by now than 4 times") == times
        assert err.count("--window-s 0.04 predicts") == times


@pytest.mark.parametrize(
    ("features", "learn_from", "settings", "words"),
    [
        (
            LOG_MEL, [], {"bidirectional": True},
            "add --window-s SECONDS, or train one that reads forwards: seqbelt train CONFIG.yaml "
            "name=t-live model.bidirectional=false",
        ),
        (LOG_MEL, [], {"max_steps": 9, "crop": "windows"}, "name=t-live model.crop=head"),
        (LogMel(kind="log_mel", subtract_mean=True), [], {}, "subtract_mean: false"),
        (Character(kind="character", min_count=1), ["abc"], {}, "'seqbelt predict'"),
    ],
)  # fmt: skip
def test_a_model_that_needs_the_whole_signal_is_refused(
    capsys, features, learn_from, settings, words
):
    model = save(features, learn_from, **settings)
    code, lines, err = run(capsys, model, "-")
    assert (code, lines) == (2, []) and "cannot stream" in err and words in err


def save_that_follows(**settings) -> str:
    """A model of one channel: nein where it is high, ja where it is low."""
    rows = np.ones((3, 1), np.float32)
    features = Channels(kind="channels", sample_rate=10.0)
    model = save(features, [rows], cell="rnn", pooling="mean", hidden_size=1, **settings)
    bundle = Bundle.load(Path(model))
    with torch.no_grad():
        for name, weight in bundle.network.named_parameters():
            weight.zero_()
            if "weight_ih" in name:
                weight.fill_(1.0)
        bundle.network.classify.weight.copy_(torch.tensor([[-4.0], [4.0]]))
    replace(bundle, weights=weights_of(bundle.network)).save(Path(model))
    return model


def test_events_are_the_changes_and_run_a_command(capsys):
    model = save_that_follows()
    levels = np.repeat([-1.0, 1.0, -1.0, 1.0, -1.0], [60, 60, 2, 58, 60])
    Path("x.csv").write_text("".join(f"{value}\n" for value in levels))
    command = f"{sys.executable} -c \"import os; e = os.environ; open('log', 'a').write(' '.join("
    command += "[e['SEQBELT_LABEL'], e['SEQBELT_PREVIOUS'], e['SEQBELT_TIME_S']]) + chr(10))\""
    options = ["--every-steps", "1", "--window-s", "1", "--events", "--on-event", command]
    code, lines, err = run(capsys, model, "x.csv", *options, "--json")
    assert code == 0, err
    *events, summary = lines
    assert [(e["previous"], e["label"]) for e in events] == [
        (None, "ja"), ("ja", "nein"), ("nein", "ja"),
    ]  # fmt: skip
    delays = [e["time_s"] - start for e, start in zip(events, (0, 6, 18))]
    assert all(0.5 <= delay <= 1.6 for delay in delays)
    assert all(round(e["time_s"] - e["since_s"], 6) == 0.5 for e in events)
    assert summary["num_events"] == 3 and summary["num_failed_commands"] == 0
    logged = [line.split(" ") for line in Path("log").read_text().splitlines()]
    assert logged == [[e["label"], e["previous"] or "", str(e["time_s"])] for e in events]


def save_that_labels(thresholds=()) -> str:
    """A model of one channel: nein where it is high, ja where it is low, both between."""
    bundle = Bundle.load(Path(save_that_follows()))
    with torch.no_grad():
        bundle.network.classify.bias.copy_(torch.tensor([1.0, 1.0]))
    weights = weights_of(bundle.network)
    several = replace(bundle, weights=weights, target=TARGETS["several"], thresholds=thresholds)
    several.save(Path("bundle"))
    return "bundle"


def test_several_labels_are_printed_as_predict_has_them(capsys):
    model = save_that_labels(thresholds=(0.5, 0.25))
    Path("x.csv").write_text("0\n" * 10 + "1\n" * 10 + "-1\n" * 20)
    code, lines, err = run(capsys, model, "x.csv", "--every-steps", "5", "--json")
    assert code == 0, err
    predictor = Predictor(Bundle.load(Path(model)), "cpu")
    summary = predict_items(
        predictor, [Item("x.csv", Path("x.csv"))], Path("out.jsonl"), key="path", model="m"
    )
    assert summary.num_predicted == 1
    (expected,) = map(json.loads, Path("out.jsonl").read_text().splitlines())
    for line in (lines[-2], lines[-1]):
        assert "label" not in line and line["labels"] == expected["labels"]
        assert line["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)
        for name in CLASSES:
            assert line["p"][name] == pytest.approx(expected[f"p_{name}"], abs=1e-5)
    steps = predictor.encode(Path("x.csv"))
    for line in lines[:-1]:
        (row,) = predictor.probabilities([steps[: line["step"]]])
        assert line["labels"] == predictor.bundle.predicted_names(row)
    sets = {tuple(line["labels"]) for line in lines[:-1]}
    assert sets >= {("ja", "nein"), ("nein",)}
    assert f"{', '.join(lines[-1]['labels'])} " in err


def test_events_of_several_labels_begin_and_end_each(capsys):
    model = save_that_labels()
    levels = np.repeat([-1.0, 1.0, 0.0, -1.0], [60, 60, 60, 60])
    Path("x.csv").write_text("".join(f"{value}\n" for value in levels))
    command = f"{sys.executable} -c \"import os; e = os.environ; open('log', 'a').write(' '.join("
    command += "[e['SEQBELT_LABEL'], e['SEQBELT_CHANGE'], e['SEQBELT_TIME_S'], e['SEQBELT_P']])"
    command += ' + chr(10))"'
    options = ["--every-steps", "1", "--window-s", "1", "--events", "--on-event", command]
    code, lines, err = run(capsys, model, "x.csv", *options, "--json")
    assert code == 0, err
    *events, summary = lines
    found = [(one["label"], one["change"]) for event in events for one in event["changes"]]
    assert found == [
        ("ja", "begins"), ("nein", "begins"), ("ja", "ends"), ("ja", "begins"), ("nein", "ends"),
    ]  # fmt: skip
    for event in events:
        for one in event["changes"]:
            assert round(event["time_s"] - one["since_s"], 6) == 0.5
            assert (one["p"] >= 0.5) == (one["change"] == "begins")
    assert summary["num_events"] == len(found) == 5 and summary["num_failed_commands"] == 0
    logged = [line.split(" ") for line in Path("log").read_text().splitlines()]
    assert logged == [
        [one["label"], one["change"], str(event["time_s"]), str(one["p"])]
        for event in events
        for one in event["changes"]
    ]
    code, _, err = run(capsys, model, "x.csv", "--events", "--threshold", "0.4")
    assert code == 2 and "a label needs its own threshold, 0.5 or more, anyway" in err
    code, lines, _ = run(capsys, model, "x.csv", *options[:5], "--threshold", "0.9999")
    assert code == 0 and not lines  # nothing is that sure


def test_a_command_that_fails_is_reported_and_the_stream_goes_on(capsys):
    model = save_that_follows()
    Path("x.csv").write_text("1\n" * 30 + "-1\n" * 30)
    options = ["--every-steps", "1", "--window-s", "1", "--on-event", "exit 7"]
    code, lines, err = run(capsys, model, "x.csv", *options, "--json")
    assert code == 0 and len(lines) == 62  # each answer, the final one, the summary
    assert err.count("exit code 7") == 2 and lines[-1]["num_failed_commands"] == 2


def test_a_model_with_max_steps_says_what_it_reads(capsys):
    model = save_that_follows(max_steps=10)
    Path("x.csv").write_text("1\n" * 30 + "-1\n" * 30)
    code, lines, err = run(capsys, model, "x.csv")
    assert code == 0 and "at most 10 steps (1 s)" in err
    assert lines[2]["label"] == "nein" and lines[-1]["label"] == "ja"


def test_several_signals_are_predicted_side_by_side(capsys):
    model = save_that_follows()
    Path("a.csv").write_text("1\n" * 30)
    Path("b.csv").write_text("-1\n" * 30)
    Path("bad.csv").write_text("1,2\n" * 30)
    options = ["--every-steps", "10", "--json"]
    alone = {name: run(capsys, model, name, *options)[1][:-1] for name in ("a.csv", "b.csv")}
    code, lines, err = run(capsys, model, "a.csv", "b.csv", *options)
    assert code == 0, err
    for name, expected in alone.items():
        assert [line for line in lines[:-1] if line["file"] == name] == [
            {"file": name, **line} for line in expected
        ]
    assert {name: one["label"] for name, one in lines[-1]["signals"].items()} == {
        "a.csv": "nein", "b.csv": "ja",
    }  # fmt: skip
    code, lines, err = run(capsys, model, "a.csv", "bad.csv", "--follow", "--pcm", "s16le")
    assert code == 2
    code, lines, err = run(capsys, model, "a.csv", "a.csv")
    assert code == 2 and "a.csv: given twice" in err


def test_a_file_that_cannot_be_read_does_not_end_the_others(capsys):
    model = save_that_follows()
    Path("a.csv").write_text("1\n" * 30)
    Path("bad.csv").write_text("1\nx\n")
    code, lines, err = run(capsys, model, "bad.csv", "a.csv", "--json")
    assert code == 3 and "warning: bad.csv" in err and "the other signals continue" in err
    assert lines[-1]["signals"]["a.csv"]["label"] == "nein"
    code, lines, err = run(capsys, model, "bad.csv", "--json")
    assert code == 1 and not lines and err.count("bad.csv") == 1


def test_a_bad_signal_does_not_end_the_others(capsys, monkeypatch):
    model = save_that_follows()
    Path("a.csv").write_text("1\n" * 30)
    Path("bad.csv").write_text("1\nx\n")

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.time, "sleep", stop)
    code, lines, err = run(capsys, model, "bad.csv", "a.csv", "--follow", "--json")
    assert code == 3 and "warning: bad.csv" in err and "the other signals continue" in err
    assert lines[-1]["signals"]["a.csv"]["label"] == "nein"
    assert "error" in lines[-1]["signals"]["bad.csv"]


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_followed_file_that_is_cut_or_replaced_is_read_as_another_signal(
    capsys, monkeypatch, how
):
    model = save_that_follows()
    Path("x.csv").write_text("1\n" * 40)
    to_come = ["restart", "wait"]

    def sleep(_):
        if not to_come:
            raise KeyboardInterrupt
        if to_come.pop(0) == "restart":
            if how == "replaced":
                Path("x.csv").rename("x.csv.1")
            Path("x.csv").write_text("-1\n" * 20)

    monkeypatch.setattr(stage.time, "sleep", sleep)
    code, lines, err = run(capsys, model, "x.csv", "--follow", "--every-steps", "10", "--json")
    assert code == 0 and f"x.csv: {how}" in err and not to_come
    assert [line["step"] for line in lines[:-1]] == [10, 20, 30, 40, 10, 20, 20]
    assert lines[-2]["label"] == "ja" and lines[-1]["num_restarts"] == 1


@pytest.mark.parametrize("at_once", [9, 1 << 16])
def test_a_clock_that_begins_anew_begins_another_signal(capsys, monkeypatch, at_once):
    model = save_that_follows()
    rows = [f"{k / 10:g},1\n" for k in range(20)] + [f"{k / 10:g},-1\n" for k in range(15)]
    pipe(monkeypatch, ("time_s,x\n" + "".join(rows)).encode(), at_once)
    code, lines, err = run(capsys, model, "-", "--every-steps", "10", "--json")
    assert code == 0 and "times begin anew in line 22; what follows is another signal" in err
    assert [line["step"] for line in lines[:-1]] == [10, 20, 10, 15]
    assert [line["label"] for line in lines[:-1]] == ["nein", "nein", "ja", "ja"]
    assert lines[-1]["num_restarts"] == 1


def test_options_of_events_without_events_are_refused(capsys):
    model = save_that_follows()
    Path("x.csv").write_text("1\n" * 30)
    for options, words in (
        (["--threshold", "0.7"], "needs --events"),
        (["--min-duration-s", "1"], "needs --events"),
        (["--events", "--threshold", "0.4"], "always reaches 0.5"),
    ):
        code, lines, err = run(capsys, model, "x.csv", *options)
        assert (code, lines) == (2, []) and words in err


def test_a_table_is_not_sound(capsys):
    model = save(Channels(kind="channels"), [np.ones((3, 2), np.float32)])
    code, _, err = run(capsys, model, "-", "--pcm", "s16le")
    assert code == 2 and "--pcm" in err


@pytest.mark.slow
def test_answers_come_while_the_signal_does_and_a_closed_reader_ends_it(noise):
    model, content = save(), as_integers(noise, 8000)
    command = [sys.executable, "-m", "seqbelt", "stream", model, "-"]
    process = subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"SEQBELT_FUSED": "0"},
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    with process.stdin, process.stdout, process.stderr:
        process.stdin.write(content[:4002])
        first = json.loads(process.stdout.readline())  # although the input is open
        assert first["time_s"] == 0.25 and not first["final"]
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(content)
        assert process.wait(60) == 1
        err = process.stderr.read().decode()
    assert (
        "closed by the reading process" in err and "Traceback" not in err and "Exception" not in err
    )
