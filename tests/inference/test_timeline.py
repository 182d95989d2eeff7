"""A model of clips along long recordings: where the tone is, whatever the chunking."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import PLAIN

from seqbelt.data.labels.segments import Segment, read_segments
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.inference import recording_windows, timeline
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.folder import Item, predict_items
from seqbelt.inference.predictor import Predictor
from seqbelt.inference.recording_windows import slide_windows
from seqbelt.inference.segment_merging import Timeline, merge
from seqbelt.inference.timeline import TimelinePredictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

RATE = 8000
FEATURES = LogMel(kind="log_mel", sample_rate=RATE, num_bands=8)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """Trained on clips of half a second: noise, or a tone of 1 kHz in noise."""
    torch.manual_seed(0)
    model = Model(**PLAIN | {"cell": "gru", "hidden_size": 8, "pooling": "mean"})
    network = build_network(model, 8, 2, is_tokens=False)
    network.normalize.learn(torch.full((8,), -40.0), torch.full((8,), 10.0))
    random = np.random.default_rng(0)
    clips = [signal(random, 0.5, [(0, 0.5)] if i % 2 else []) for i in range(64)]
    steps = FEATURES.encode([FEATURES.read(clip) for clip in clips])
    inputs, labels = torch.tensor(np.stack(steps)), torch.arange(64) % 2
    lengths = torch.full((64,), inputs.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs, lengths), labels).backward()
        optimizer.step()
    about = {"median_num_steps": 50}
    return Bundle("t", FEATURES, {}, model, ("noise", "tone"), 8, weights_of(network), about)


def signal(random, duration_s, tones) -> np.ndarray:
    times = np.arange(round(duration_s * RATE)) / RATE
    found = 0.02 * random.normal(size=len(times))
    for start, stop in tones:
        found += 0.2 * np.sin(2000 * np.pi * times) * ((times >= start) & (times < stop))
    return found.astype(np.float32)


@pytest.mark.parametrize(("span_s", "tolerance_s"), [(None, 0.25), (0.15, 0.08)])
def test_segments_stand_where_the_tone_is_and_a_rerun_reuses_them(
    bundle, tmp_path, wav_bytes, monkeypatch, span_s, tolerance_s
):
    events = [(3.0, 5.0), (10.0, 11.5), (20.2, 24.0)]
    recording = signal(np.random.default_rng(1), 30.3, events)
    (tmp_path / "x.wav").write_bytes(wav_bytes(recording))
    out = tmp_path / "out.jsonl"

    def run(**options):
        predictor = TimelinePredictor(
            bundle,
            Timeline(0.5, 0.25, span_s, **options),
            device="cpu",
            audacity=tmp_path / "labels",
            raven=tmp_path / "tables",
        )
        summary = predict_items(predictor, [Item("x.wav", tmp_path / "x.wav")], out)
        return summary, [json.loads(line) for line in out.read_text().splitlines()]

    _, rows = run()
    tones = [row for row in rows if row["label"] == "tone"]
    assert len(tones) == len(events) and len(rows) == 2 * len(events) + 1
    for row, (start, stop) in zip(tones, events):
        assert abs(row["start_s"] - start) <= tolerance_s
        assert abs(row["end_s"] - stop) <= tolerance_s
        assert row["confidence"] > 0.8 and row["path"] == "x.wav" and row["error"] is None
    assert rows[0]["start_s"] == 0 and rows[-1]["end_s"] == pytest.approx(30.3, abs=1e-3)
    labels = (tmp_path / "labels" / "x.wav.txt").read_text().splitlines()
    assert [line.split("\t")[2] for line in labels] == [row["label"] for row in rows]
    expected = [Segment(row["start_s"], row["end_s"], row["label"]) for row in rows]
    assert read_segments(tmp_path / "labels" / "x.wav.txt") == expected
    table = tmp_path / "tables" / "x.wav.Table.1.selections.txt"
    assert read_segments(table) == expected
    header, first, *_ = (line.split("\t") for line in table.read_text().splitlines())
    selection = dict(zip(header, first, strict=True))
    assert float(selection["High Freq (Hz)"]) == RATE / 2
    assert float(selection["Confidence"]) == pytest.approx(rows[0]["confidence"], abs=1e-4)
    monkeypatch.setattr(recording_windows, "BLOCK_SAMPLES", 777)
    monkeypatch.setattr(timeline, "MAX_BATCH_WINDOWS", 3)
    out.with_name("out.jsonl.journal").unlink()
    _, again = run()
    assert [(r["start_s"], r["end_s"], r["label"]) for r in again] == [
        (r["start_s"], r["end_s"], r["label"]) for r in rows
    ]
    np.testing.assert_allclose(
        [r["confidence"] for r in again], [r["confidence"] for r in rows], atol=1e-5
    )
    monkeypatch.setattr(TimelinePredictor, "_classify", None)  # nothing is computed again
    summary, longer = run(min_duration_s=1.9)
    assert summary.num_reused == 1
    assert [r["label"] for r in longer if r["end_s"] - r["start_s"] < 1.9] == []
    assert sum(r["label"] == "tone" for r in longer) == 2


def test_a_window_gets_the_answer_of_its_clip(bundle):
    recording = signal(np.random.default_rng(2), 3.1, [(1, 2)])
    predictor = TimelinePredictor(bundle, Timeline(0.5, 0.3), device="cpu")
    (found,) = predictor.predict([(0, recording)])
    rows = found.probabilities.reshape(-1, 4)
    clips = [recording[round(a * RATE) : round(b * RATE)] for a, b in rows[:, :2]]
    expected = list(Predictor(bundle, "cpu").predict(enumerate(clips)))
    np.testing.assert_allclose(rows[:, 2:], [e.probabilities for e in expected], atol=1e-5)


def test_a_duration_of_hours_keeps_its_milliseconds(bundle):
    predictor = TimelinePredictor(bundle, Timeline(0.5, 0.25, 0.2), device="cpu")
    duration_s = 36_000.123
    header = np.array([duration_s, duration_s - float(np.float32(duration_s))], np.float32)
    cells = np.tile(np.array([0.9, 0.1], np.float32), (5, 1))
    (segment,) = predictor.segments(np.concatenate([header, cells.ravel()]))
    assert segment.end_s == pytest.approx(duration_s, abs=1e-4)


def test_silence_within_a_recording_has_no_label(bundle):
    recording = signal(np.random.default_rng(2), 6, [(1, 2)])
    recording[2 * RATE : 5 * RATE] = 0
    predictor = TimelinePredictor(bundle, Timeline(0.5, 0.25, 0.2), device="cpu")
    (found,) = predictor.predict([(0, recording)])
    covered = [(one.start_s, one.end_s) for one in predictor.segments(found.probabilities)]
    assert all(stop <= 2.5 or start >= 4.5 for start, stop in covered)
    assert covered[0][0] == 0 and covered[-1][1] == pytest.approx(6)


@pytest.mark.parametrize(
    ("num", "size", "hop"), [(100, 10, 5), (103, 10, 5), (7, 10, 5), (23, 10, 3.3)]
)
def test_windows_do_not_depend_on_the_pieces(num, size, hop):
    values = np.arange(num)
    whole = list(slide_windows([values], size, hop))
    assert whole[0][0] == 0 and whole[-1][1][-1] == num - 1
    for cuts in (range(num), [1, 2, 50], [num // 2]):
        found = list(slide_windows(np.split(values, cuts), size, hop))
        assert [(first, part.tolist()) for first, part in found] == [
            (first, list(range(first, first + min(size, num)))) for first, _ in whole
        ]


def test_merging():
    def labels(text, **options):
        shares = {"A": (0.9, 0.1), "a": (0.6, 0.4), "B": (0.1, 0.9), "b": (0.4, 0.6)}
        cells = np.array([shares.get(c, (np.nan, np.nan)) for c in text])
        timeline = Timeline(1.0, 1.0, **{"threshold": 0.8} | options)
        found = merge(np.arange(len(text) + 1.0), cells, timeline)
        return [(one.start_s, one.end_s, "AB"[one.label]) for one in found]

    assert labels("aAabbbBb") == [(0, 3, "A"), (3, 8, "B")]  # one sure cell is enough
    assert labels("aabbAA") == [(4, 6, "A")]
    assert labels("AA.AA") == [(0, 2, "A"), (3, 5, "A")]
    assert labels("AA.AA", max_gap_s=1) == [(0, 5, "A")]
    assert labels("AABAA", max_gap_s=1, min_duration_s=2) == [(0, 5, "A")]


def test_what_cannot_be_done_is_refused(bundle):
    with pytest.raises(SettingsError, match="gaps between windows"):
        TimelinePredictor(bundle, Timeline(1.0, 2.0))
    whole = replace(bundle, model=bundle.model.replace(pooling="last"))
    with pytest.raises(SettingsError, match=r"--span-s 0\.2: the model pools the last"):
        TimelinePredictor(whole, Timeline(1.0, 0.5, 0.2))
    cropped = replace(bundle, model=bundle.model.replace(max_steps=50, crop="head"))
    with pytest.raises(SettingsError, match=r"at most 0\.5 s"):
        TimelinePredictor(cropped, Timeline(1.0, 0.5))
    untimed = replace(bundle, features=Channels(kind="channels"))
    with pytest.raises(SettingsError, match=r"features\.source_rate_hz"):
        TimelinePredictor(untimed, Timeline(1.0, 0.5))
