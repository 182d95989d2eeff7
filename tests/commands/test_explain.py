"""``seqbelt explain``: what it writes for each kind of input, and what it refuses."""

import csv
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

from seqbelt.cli import main
from seqbelt.data.generated.demo_data import DemoData
from seqbelt.evaluation import attribution
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.text.text import Character, Jamo, Word
from seqbelt.features.video.video import FrameDifferences
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.plots import attributions
from seqbelt.plots.attributed_text import Span, spans
from seqbelt.plots.attributions import choose_frames
from seqbelt.plots.fonts import unwritable, writable
from seqbelt.words import percent

pytestmark = pytest.mark.usefixtures("drawn_figures")

CLASSES = ("no <b>", "yes $\\bad$")
"""Names that a page must escape and that mathematical type would choke on."""
TEXTS = ["a good film, and good fun", "a bad film, and no good", "a bad and dull film", "좋은 영화"]
AUDIO = {"sample_rate": 8000, "hop_ms": 20.0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Generated recordings, signals and clips."""
    folder = tmp_path_factory.mktemp("inputs")
    for kind in ("audio", "signal", "video"):
        DemoData(kind=kind, num_per_class=8).write(folder / kind)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(features, learn_from=(), **settings) -> str:
    """A bundle with random weights in the present folder. Without a stem, whose kinks the line
    must be halved for many times, unless asked for (``tests/evaluation`` has them)."""
    raws = [features.read(source) for source in learn_from]
    learned = features.learn(raws)
    encoder = features.encoder(learned)
    model = Model(**{"hidden_size": 6, "embedding_size": 5, "stem": "none"} | settings)
    torch.manual_seed(0)
    network = build_network(model, encoder.num_features, 2, features.is_tokens)
    if not features.is_tokens and raws:
        steps = torch.from_numpy(np.concatenate(encoder.encode(raws)))
        network.normalize.learn(steps.mean(0), steps.std(0))
    with torch.no_grad():
        network.classify.weight.mul_(5)
    Bundle(
        "t", features, learned, model, CLASSES, encoder.num_features, weights_of(network), {}
    ).save(Path("bundle"))
    return "bundle"


def run(capsys, *arguments):
    """Exit code, the JSON of the last line of standard output, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["explain", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.strip().splitlines()[-1]) if out.strip() else None, err


def read_table(result) -> list[dict[str, str]]:
    (path,) = (path for path in result["files"] if path.endswith(".csv"))
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check(result, source) -> list[dict[str, str]]:
    """The answer is ``predict``'s, the table sums to it, the picture has something to see."""
    (answer,) = Predictor(Bundle.load(Path("bundle")), "cpu").predict([(0, source)])
    place = int(answer.probabilities.argmax())
    assert result["label"] == CLASSES[place]
    assert result["confidence"] == pytest.approx(answer.probabilities[place], abs=1e-5)
    assert result["completeness_gap"] < 0.01 and "arXiv:1703.01365" in result["method"]
    rows = read_table(result)
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    attributions = [float(row["share"]) for row in rows if row["share"]]
    difference = result["log_odds"] - result["baseline_log_odds"]
    assert sum(attributions) == pytest.approx(difference, rel=0.011, abs=1e-3)
    for path in result["files"]:
        if path.endswith(".png"):
            with Image.open(path) as picture:
                assert min(picture.size) > 150 and len(picture.convert("L").getcolors()) > 20
    return rows


class Page(HTMLParser):
    """The tags of a page, and the text under those of one class."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text, self.unread, self._open = "", "", []
        self.feed(Path(path).read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._open.append((tag, dict(attributes).get("class")))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if ("p", "text") in self._open:
            self.text += data
            if ("span", "unread") in self._open:
                self.unread += data


@pytest.mark.parametrize(
    "features",
    [
        LogMel(kind="log_mel", num_bands=12, subtract_mean=True, **AUDIO),
        Mfcc(kind="mfcc", num_bands=12, num_coefficients=8, deltas=1, **AUDIO),
        Waveform(kind="waveform", window_ms=5.0, **AUDIO),
    ],
    ids=lambda features: features.kind,
)
def test_a_recording_gets_seconds_and_a_spectrogram(inputs, capsys, features):
    recordings = sorted((inputs / "audio/test").rglob("*.wav"))
    model = save(features, recordings[:2], max_steps=8, crop="windows")
    code, result, err = run(capsys, model, recordings[2], "--output", "out")
    assert code == 0
    rows = check(result, recordings[2])
    assert list(rows[0]) == ["step", "start_s", "share"]
    assert [float(row["start_s"]) for row in rows] == pytest.approx(0.02 * np.arange(len(rows)))
    assert result["num_steps"] == len(rows) > 8 and result["num_unread"] == 0
    stem = recordings[2].stem
    assert result["files"] == [f"out/{stem}.csv", f"out/{stem}.png"]
    assert f"for {result['label']}" in err and " s (+" in err


def test_rough_attributions_say_so_in_figure_and_table(inputs, capsys, monkeypatch):
    signals = sorted((inputs / "signal/test").rglob("*.csv"))
    model = save(Channels(kind="channels"), signals[:2])
    monkeypatch.setattr(attribution, "TOLERANCE", 1e-12)
    monkeypatch.setattr(attribution, "MOST_POINTS", 36)
    captions = []
    monkeypatch.setattr(attributions, "writable", lambda text: captions.append(text) or text)
    code, result, err = run(capsys, model, signals[2])
    assert code == 0 and "Rough: the attributions miss" in err
    assert {row["rough_gap"] for row in read_table(result)} == {f"{result['completeness_gap']:.3g}"}
    assert any(text.startswith("Rough: ") for text in captions)


def test_a_caption_has_probabilities_before_calibration_only(inputs, capsys, monkeypatch):
    """The attributions sum to the network's own log-odds, not to the calibrated ones."""
    monkeypatch.setattr(attribution, "MOST_POINTS", 36)  # fast, and as good for the caption
    signals = sorted((inputs / "signal/test").rglob("*.csv"))
    model = save(Channels(kind="channels"), signals[:2])
    bundle = Bundle.load(Path(model))
    replace(bundle, temperature=3.0).save(Path("calibrated"))
    _, result, err = run(capsys, "calibrated", signals[2])
    assert f"at the baseline to {percent(expit(result['log_odds']))}; steps for it add" in err
    assert (
        f"Before calibration; the calibrated confidence is {percent(result['confidence'])}." in err
    )
    _, result, err = run(capsys, model, signals[2])
    assert "calibration" not in err and f"to {percent(result['confidence'])}; steps" in err


def test_a_model_at_chance_gives_no_reasons(inputs, capsys, monkeypatch):
    monkeypatch.setattr(attribution, "MOST_POINTS", 36)
    signals = sorted((inputs / "signal/test").rglob("*.csv"))
    bundle = Bundle.load(Path(save(Channels(kind="channels"), signals[:2])))
    for is_above in (False, True):
        replace(bundle, about={**bundle.about, "above_chance": is_above}).save(Path("chance"))
        _, result, err = run(capsys, "chance", signals[2])
        assert result["above_chance"] is is_above
        assert ("no more accurate than the most frequent class" in err) is not is_above
        assert (f"\nfor {result['label']}: " in err) is is_above
    with pytest.raises(SystemExit):
        main(["explain", "chance", str(signals[2])])
    printed = capsys.readouterr().out
    assert "label: " in printed and not re.search("above_chance|completeness_gap", printed)


@pytest.mark.parametrize("frame_rate", [10.0, None])
def test_a_clip_gets_its_frames(inputs, capsys, frame_rate):
    clip = next((inputs / "video/test").rglob("*.mp4"))
    model = save(FrameDifferences(kind="frame_differences", frame_rate=frame_rate), [clip])
    code, result, _ = run(capsys, model, clip)
    assert code == 0
    rows = check(result, clip)
    assert ("start_s" in rows[0]) == (frame_rate is not None)


def test_frames_are_spread_over_the_clip_and_are_the_strongest_of_their_part():
    attributions = np.full(90, 0.1)
    attributions[[17, 44]] = -5, 3
    attributions[80:] = np.nan
    chosen = choose_frames(attributions)
    assert len(chosen) == 9 and {17, 44} <= set(chosen.tolist())
    assert (chosen // 10).tolist() == list(range(9))
    assert choose_frames(attributions[:3]).tolist() == [0, 1, 2]


def test_a_signal_gets_its_channels_and_what_is_not_read_is_empty(inputs, capsys):
    signals = sorted((inputs / "signal/test").rglob("*.csv"))
    features = Channels(kind="channels", sample_rate=50.0)
    model = save(features, signals[:2], max_steps=20, crop="tail", differences=False)
    code, result, _ = run(capsys, model, signals[2])
    assert code == 0
    rows = check(result, signals[2])
    assert [row["share"] for row in rows[:-20]] == [""] * (len(rows) - 20)
    assert result["num_unread"] == len(rows) - 20 > 0
    assert rows[50]["start_s"] == "1.0"


def test_many_features_are_drawn_as_an_image_under_any_name(capsys):
    file = Path("wide \ue000 $x.npy")  # no font has this character
    np.save(file, np.random.default_rng(0).normal(size=(9, 30)))
    model = save(Vectors(kind="vectors"), [file])
    code, result, _ = run(capsys, model, file)
    assert code == 0 and "start_s" not in check(result, file)[0]
    assert Path(result["files"][1]).name == "wide_x.png"


def test_one_item_of_many_is_named_by_its_id(capsys):
    lines = ["@problemName x", "@classLabel true a b", "@data"]
    lines += [f"{','.join(str(i * k % 7) for k in range(12))}:a" for i in (1, 2)]
    Path("two.ts").write_text("\n".join(lines))
    model = save(Channels(kind="channels"), [np.ones((3, 1), np.float32)])
    code, _, err = run(capsys, model, "two.ts")
    assert code == 2 and "'two.ts:4', 'two.ts:5'" in err
    code, result, _ = run(capsys, model, "two.ts", "--id", "two.ts:5")
    assert code == 0 and result["files"][0].endswith("two.ts_5.csv")
    second = np.array([2 * k % 7 for k in range(12)], np.float32)[:, None]
    check(result, second)
    code, _, err = run(capsys, model, "two.ts", "--id", "two.ts:6")
    assert code == 2 and "no such item" in err


def test_a_text_gets_a_page_that_escapes_what_it_shows(capsys):
    model = save(Word(kind="word", min_count=1), TEXTS, pooling="max")
    text = "a good <script>alert('x')</script> & $\\alpha$ film\n\nand   no fun"
    code, result, _ = run(capsys, model, "--text", text)
    assert code == 0
    rows = check(result, text)
    assert [row["token"] for row in rows[:4]] == ["a", "good", "<", "script"]
    assert [Path(path).suffix for path in result["files"]] == [".csv", ".html"]
    page = Page(result["files"][1])
    assert page.text == text and not page.unread
    assert not {"script", "b", "img", "link", "iframe"} & set(page.tags)
    content = Path(result["files"][1]).read_text("utf-8")
    assert "http" not in content.replace("http-equiv", "")  # it needs nothing else
    assert 'name="viewport"' in content and "read as unknown" in content


def test_tokens_that_were_cut_are_shown_as_not_read(capsys):
    model = save(Word(kind="word", min_count=1, max_length=4), TEXTS, max_steps=3)
    Path("review.txt").write_text("a good film and no fun", "utf-8")
    code, result, _ = run(capsys, model, "review.txt")
    assert code == 0
    rows = check(result, Path("review.txt"))
    assert [row["token"] for row in rows] == ["a", "good", "film", "and", "no", "fun"]
    assert [bool(row["share"]) for row in rows] == [True] * 3 + [False] * 3
    assert Page(result["files"][1]).unread == "andnofun"
    assert (result["num_steps"], result["num_unread"]) == (6, 3)


def test_a_korean_text_has_its_page_whatever_fonts_are_installed(capsys):
    model = save(Character(kind="character", min_count=1), TEXTS)
    code, result, _ = run(capsys, model, "--text", "영화 좋은 🙂")
    assert code == 0
    check(result, "영화 좋은 🙂")
    assert Page(result["files"][1]).text == "영화 좋은 🙂"
    assert [Path(path).suffix for path in result["files"]] == [".csv", ".html"]


def test_the_letters_of_a_syllable_are_one_in_what_is_printed(capsys):
    model = save(Jamo(kind="jamo", min_count=1), TEXTS)
    code, _, err = run(capsys, model, "--text", "좋은 각")
    assert code == 0
    printed = re.findall(r"'(.)' \(", err.partition("nats")[2])
    assert printed and len(set(printed)) == len(printed)


def test_fonts_know_what_they_cannot_write():
    rare = "\U0001f9ff\ue000"  # an emoji and a private character
    assert unwritable(f"a é □ {rare}\n") <= set(rare) and "\ue000" in unwritable(rare)
    assert writable("a\ue000b") == "a□b"


def test_tokens_in_one_place_become_one_span():
    unknown = np.array([False, False, False, True])
    text = "각 b!"
    found = spans(text, [(0, 1), (0, 1), (0, 1), (2, 3)], np.array([1.0, -0.25, 0.5, 2]), unknown)
    assert found == [Span("각", 1.25), Span(" ", None), Span("b", 2.0, True), Span("!", None)]
    none = np.array([1.0, np.nan, np.nan])
    cut = spans("각ab", [(0, 1), (0, 1), (0, 2)], none, np.zeros(3, bool))
    assert cut == [Span("각a", 1.0), Span("b", None)]


def test_what_cannot_be_explained_is_refused_with_its_reason(inputs, capsys):
    recording = next((inputs / "audio/test").rglob("*.wav"))
    model = save(LogMel(kind="log_mel", num_bands=8, **AUDIO), [recording])
    Path("broken.wav").write_bytes(b"RIFF but no sound")
    for arguments, code, words in (
        ([model, "broken.wav"], 1, "broken.wav: "),
        ([model, "none.wav"], 2, "none.wav: no such file"),
        ([model, "--text", "good"], 2, "reads files, not texts"),
        ([model], 2, "either FILE or --text"),
        ([model, recording, "--text", "good"], 2, "either FILE or --text"),
        ([model, inputs / "audio"], 2, "has several inputs"),
        ([inputs, recording], 1, "neither a bundle folder"),
        ([model, recording, "--output", "broken.wav/x"], 1, "--output broken.wav/x"),
    ):
        found, result, err = run(capsys, *arguments)
        assert (found, result) == (code, None) and words in err, (arguments, err)
    assert not Path("outputs").exists()


def test_a_bundle_folder_is_explained_without_mlflow(inputs, capsys, monkeypatch):
    signal = next((inputs / "signal/test").rglob("*.csv"))
    model = save(Channels(kind="channels"), [signal])
    for name in [
        name for name in sys.modules if name.startswith(("seqbelt.commands", "seqbelt.workflow"))
    ]:
        monkeypatch.delitem(sys.modules, name)  # what it imports is imported again
    tracked = [name for name in sys.modules if name.startswith(("mlflow", "seqbelt.tracking"))]
    for name in {"mlflow", "seqbelt.tracking", "seqbelt.tracking.publish", *tracked}:
        monkeypatch.setitem(sys.modules, name, None)  # whoever imports it fails
    assert run(capsys, model, signal)[0] == 0
    with pytest.raises(ImportError):
        main(["explain", "models:/t@champion", str(signal)])
