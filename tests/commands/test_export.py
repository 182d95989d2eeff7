"""``seqbelt export``: what it reports, what it refuses, and the programs of docs/onnx.md."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from seqbelt.cli import main
from seqbelt.commands import export as stage
from seqbelt.data.generated.demo_data import DemoData
from seqbelt.experiment import Experiment
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.features.text.text import Character, Subword
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.c_library import COMPILERS, find_compiler
from seqbelt.inference.onnx_export import OnnxNetwork
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem
from seqbelt.workflow import export_check, export_formats
from seqbelt.workflow.prepared_data import prepare_data

CLASSES = ("ja", "nein", "vielleicht")
DOCUMENT = Path(__file__).parents[2] / "docs/onnx.md"
CONFIG = """
name: signals
data: {source: signals, validation_fraction: 0.1}
features: {kind: channels}
model: {hidden_size: 8, layout: padded}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(features, learn_from=(), classes=CLASSES, **settings) -> str:
    learned = features.learn([features.read(source) for source in learn_from])
    encoder = features.encoder(learned)
    if not features.is_tokens:
        settings = {"stem": Stem(channels=(8, 8, 8))} | settings
    model = Model(hidden_size=8, layout="padded", **settings)
    torch.manual_seed(0)
    network = build_network(model, encoder.num_features, len(classes), features.is_tokens)
    if isinstance(encoder, TextEncoder) and encoder.parts is not None:
        network.embed.compose(encoder.parts)
    if isinstance(features, LogMel):
        network.normalize.learn(torch.full((features.num_features,), -40.0), torch.tensor(10.0))
    Bundle(
        "t", features, learned, model, classes, encoder.num_features, weights_of(network), {}
    ).save(Path("bundle"))
    return "bundle"


def save_numbers(**settings) -> str:
    return save(Channels(kind="channels"), [np.ones((3, 2), np.float32)], **settings)


def run(capsys, *arguments):
    """Exit code, the JSON of the last line, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["export", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.splitlines()[-1]) if out else None, err


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def test_a_file_that_answers_alike_is_written_and_described(capsys):
    model = save_numbers(cell="gru", bidirectional=True, pooling="attention")
    code, found, err = run(capsys, model, "--output", "deep/toy.onnx")
    assert code == 0 and "export certificate passed" in err
    assert found["output"] == "deep/toy.onnx" and found["model"] == "bundle"
    assert found["passed"] and 0 < found["max_difference"] <= found["tolerance"]
    assert found["num_flips"] == 0 and found["num_sequences"] == (1 + 2 + 7) * 4
    assert found["size_bytes"] == Path("deep/toy.onnx").stat().st_size
    assert found["speed_ratio"] > 0
    assert found["crop"] is found["quantization"] is found["accuracy"] is None
    assert files() == {"bundle/SHA256SUMS", "bundle/bundle.json", "bundle/weights.safetensors",
                       "deep/toy.onnx", "bundle/learned/features.json"}  # fmt: skip


def test_a_file_three_times_as_fast_has_a_speed_ratio_of_three(monkeypatch):
    network, exported = torch.nn.Identity(), torch.nn.Identity()
    seconds = {network: iter([0.9, 0.6, 0.7]), exported: iter([0.3, 0.4, 0.2])}
    monkeypatch.setattr(stage, "_time", lambda engine, batches: next(seconds[engine]))
    drawing = (lambda num_steps, number: np.zeros((num_steps, 1), np.float32), 5, 9)
    assert stage._speed_ratio(network, exported, drawing) == 3.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_steps": 30, "crop": "head"}, "its first max_steps steps"),
        ({"max_steps": 30, "crop": "windows"}, "mean of their probabilities"),
    ],
)
def test_what_the_caller_must_crop_is_said(capsys, settings, words):
    code, found, err = run(capsys, save_numbers(**settings), "--output", "toy.onnx")
    assert code == 0 and words in found["crop"] and words in err


def test_int8_says_what_it_costs(capsys):
    model = save_numbers(pooling="mean")
    code, found, err = run(capsys, model, "--format", "onnx-int8", "--output", "toy.onnx")
    cost = found["quantization"]
    assert code == 0 and cost["operators"] == ["LSTM", "MatMul"] and "int8: the weights of" in err
    assert found["max_difference"] <= found["tolerance"] < cost["max_difference"] < 1
    assert cost["num_flips"] >= 0 and cost["company_difference"] >= 0
    assert found["size_bytes"] == Path("toy.onnx").stat().st_size


def test_accuracy_of_both_on_the_test_rows(capsys):
    DemoData(kind="signal", num_per_class=8).write(Path("signals"))
    Path("signals.yaml").write_text(CONFIG)
    store = prepare_data(Experiment.load(Path("signals.yaml"))).store
    features, model = Channels(kind="channels"), Model(hidden_size=8, layout="padded")
    network = build_network(model, store.num_features, len(store.classes), False)
    width, classes = store.num_features, store.classes
    Bundle("t", features, store.learned, model, classes, width, weights_of(network), {}).save(
        Path("bundle")
    )
    arguments = ["bundle", "--config", "signals.yaml", "--output", "toy.onnx"]
    code, found, err = run(capsys, *arguments, "--format", "onnx-int8")
    assert code == 0 and "test accuracy" in err
    accuracy = found["accuracy"]
    assert accuracy["num_sequences"] == len(store.split("test"))
    assert 0 <= accuracy["file"] <= 1 and 0 <= accuracy["num_flips"] <= accuracy["num_sequences"]
    lost = abs(accuracy["model"] - accuracy["file"]) * accuracy["num_sequences"]
    assert lost <= accuracy["num_flips"] + 1e-9


def test_a_file_of_one_step_is_compared_at_every_cut(capsys):
    model = save_numbers(bidirectional=False, stem=Stem(strides=(1, 2, 1)), max_steps=50)
    code, found, err = run(capsys, model, "--format", "onnx-stream", "--output", "toy.onnx")
    assert code == 0, err
    assert found["passed"] and found["max_difference"] < 1e-5 and found["crop"] is None
    assert found["num_sequences"] > 40 + 32  # the batches of every export, and the cuts


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)), reason="no C compiler on the PATH"
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_executorch_program_is_compared_and_written(capsys):
    pytest.importorskip("executorch", reason="the extra 'executorch' is not installed")
    model = save_numbers(bidirectional=False)
    code, found, err = run(capsys, model, "--format", "executorch", "--output", "toy.pte")
    assert code == 0, err
    assert found["passed"] and found["max_difference"] < 1e-5
    assert Path("toy.pte").stat().st_size == found["size_bytes"]


def test_a_missing_executorch_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(export_formats, "find_spec", lambda name: None)
    code, _, err = run(capsys, save_numbers(), "--format", "executorch", "--output", "toy.pte")
    assert code == 1 and "pip install 'seqbelt[executorch]'" in err


@needs_compiler
@pytest.mark.parametrize("raw", [[], ["--raw"]], ids=["features", "raw"])
@pytest.mark.parametrize("format", ["c", pytest.param("c-int8", marks=pytest.mark.slow)])
def test_c_files_are_compared_and_written_with_their_header(capsys, format, raw):
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=16)
    model = save(features, bidirectional=False)
    code, found, err = run(capsys, model, "--format", format, "--output", "toy.c", *raw)
    assert code == 0, err
    assert found["passed"] and found["max_difference"] < 1e-5
    assert found["header"] == "toy.h" and found["state_bytes"] > 0
    assert bool(found["quantization"]) == (format == "c-int8")
    assert "void toy_init(" in Path("toy.h").read_text()
    assert Path("toy.c").stat().st_size == found["size_bytes"]


@needs_compiler
def test_the_c_program_of_the_document_is_compiled_and_answers(capsys, noise):
    page = (DOCUMENT.parent / "devices.md").read_text("utf-8")
    (program,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    Path("main.c").write_text(program)
    (command,) = re.findall(r"^gcc .*$", page, re.MULTILINE)
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=16)
    model = save(features, bidirectional=False)
    arguments = [model, "--format", "c", "--raw", "--output", "digits.c"]
    code, _, err = run(capsys, *arguments)
    assert code == 0, err
    subprocess.run(command.replace("gcc", find_compiler(), 1), shell=True, check=True)
    sound = noise(5000).astype(np.float32)
    done = subprocess.run(["./digits"], input=sound.tobytes(), capture_output=True, check=True)
    shares = dict(line.rsplit(" ", 1) for line in done.stdout.decode().splitlines())
    (answer,) = Predictor(Bundle.load(Path(model)), "cpu").predict([(0, sound)])
    assert list(shares) == list(CLASSES)
    np.testing.assert_allclose([float(one) for one in shares.values()], answer.probabilities,
                               atol=1e-5)  # fmt: skip


class Wrong(OnnxNetwork):
    """Another engine that forgets the lengths."""

    def forward(self, inputs, lengths):
        return super().forward(inputs, torch.full_like(lengths, inputs.shape[1]))


@pytest.mark.parametrize("before", [None, b"an older file"], ids=["new", "older"])
def test_a_file_that_answers_otherwise_is_not_written(capsys, monkeypatch, before):
    from seqbelt.inference import onnx_export

    model = save_numbers(bidirectional=True)
    if before:
        Path("toy.onnx").write_bytes(before)
    monkeypatch.setattr(onnx_export, "OnnxNetwork", Wrong)
    present = files()
    code, found, err = run(capsys, model, "--output", "toy.onnx")
    assert (code, found) == (1, None) and "was not written" in err and "a batch of" in err
    assert files() == present
    assert not before or Path("toy.onnx").read_bytes() == before


def test_what_cannot_be_exported_says_why_and_leaves_no_file(capsys, monkeypatch):
    model = save_numbers()
    Path("folder.onnx").mkdir()
    Path("file").touch()
    present = files()
    for arguments, expected, words in (
        ([model, "--output", "toy.onnx", "--format", "tflite"], 2, "onnx, onnx-int8"),
        ([model, "--output", "toy.tflite", "--format", "litert"], 2, "--format c"),
        ([model, "--output", "toy-8.c", "--format", "c"], 2, "give toy_8.c"),
        ([model, "--output", "toy.onnx", "--format", "c"], 2, "ends in .c"),
        ([model, "--output", "toy.onnx", "--format", "onnx-stream"], 2, "bidirectional: false"),
        ([model, "--output", "x.onnx", "--format", "onnx-stream", "--raw"], 2, "remove --raw"),
        ([model, "--output", "toy.pb"], 2, "ends in .onnx"),
        ([model, "--output", "folder.onnx"], 2, "is a folder"),
        ([model, "--output", "file/toy.onnx"], 1, "cannot be written"),
        (["nothing", "--output", "toy.onnx"], 1, "neither a bundle folder"),
        ([model, "--output", "toy.onnx", "--config", "none.yaml"], 2, "none.yaml"),
    ):
        code, found, err = run(capsys, *arguments)
        assert (code, found) == (expected, None) and words in err, (arguments, err)
    monkeypatch.setattr(export_check, "find_spec", lambda name: None)
    code, _, err = run(capsys, model, "--output", "toy.onnx")
    assert code == 1 and "pip install 'seqbelt[onnx]'" in err
    assert files() == present


def programs() -> dict[str, str]:
    """The Python programs of the document, by their section."""
    sections = re.split(r"^## ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {
        one.split("\n")[0]: re.findall(r"```python\n(.*?)```", one, re.DOTALL) for one in sections
    }
    return {name: blocks[0] for name, blocks in found.items() if blocks}


def write_sound(noise, wav_bytes) -> tuple[str, Path]:
    Path("x.wav").write_bytes(wav_bytes(noise(5000)))
    return "x.wav", Path("x.wav")


def write_numbers(noise, wav_bytes) -> tuple[str, Path]:
    np.savetxt("x.csv", noise(20).reshape(10, 2), delimiter=",", header="x,y", comments="")
    return "x.csv", Path("x.csv")


@pytest.mark.parametrize("format", ["onnx", "onnx-int8"])
@pytest.mark.parametrize(
    ("features", "settings"),
    [
        (LogMel(kind="log_mel", sample_rate=8000, num_bands=16), {"bidirectional": True}),
        (LogMel(kind="log_mel", sample_rate=8000, num_bands=16), {"max_steps": 30}),
        (Mfcc(kind="mfcc", sample_rate=8000, num_coefficients=9, subtract_mean=True), {}),
        (Waveform(kind="waveform", sample_rate=8000, window_ms=4, hop_ms=3), {"cell": "gru"}),
        (Channels(kind="channels", differences=True), {"pooling": "mean"}),
    ],
    ids=["log-mel", "cropped", "mfcc", "waveform", "channels"],
)
def test_features_can_be_in_the_file(capsys, features, settings, format):
    model = save(features, [b"x,y\n1,2\n3,4\n"] if features.kind == "channels" else [], **settings)
    arguments = ["--raw", "--format", format, "--output", "toy.onnx"]
    code, result, err = run(capsys, model, *arguments)
    assert code == 0, err
    assert result["raw"] and result["passed"] and result["max_difference"] < 1e-5
    assert result["num_sequences"] == 40


@pytest.mark.parametrize(
    ("features", "settings", "words"),
    [
        (LogMel(kind="log_mel", deltas=1), {}, "features.deltas is not supported; 0 can be"),
        (LogMel(kind="log_mel", trim_silence_db=30.0), {}, "features.trim_silence_db"),
        (LogMel(kind="log_mel"), {"max_steps": 9, "crop": "tail"}, "model.crop: tail"),
        (Channels(kind="channels", standardize="sequence"), {}, "features.standardize"),
        (Character(kind="character", min_count=1), {}, "features.kind: character"),
    ],
)
def test_features_that_cannot_be_in_the_file_are_named(capsys, features, settings, words):
    learn_from = {"channels": [b"x,y\n1,2\n3,4\n"], "character": ["abc"]}.get(features.kind, [])
    model = save(features, learn_from, **settings)
    code, _, err = run(capsys, model, "--raw", "--output", "toy.onnx")
    assert code == 2 and words in err and not Path("toy.onnx").exists()


# More words than the smallest vocabulary holds, so that they have several pieces.
WORDS = [
    "".join(letters) for letters in np.random.default_rng(0).choice(list("abcdefghij"), (1500, 12))
] * 6


@pytest.mark.parametrize(
    ("section", "features", "learn_from", "write"),
    [
        pytest.param(
            "Sound", LogMel(kind="log_mel", sample_rate=8000, num_bands=16), [], write_sound,
            marks=pytest.mark.slow,  # librosa takes its time to load
        ),
        ("Raw sound", LogMel(kind="log_mel", sample_rate=8000, num_bands=16), [], write_sound),
        ("Text", Character(kind="character", min_count=1), ["abcd"], lambda *_: ("bad cab",) * 2),
        ("Subwords", Subword(kind="subword"), WORDS, lambda *_: (f"a {WORDS[0]}!",) * 2),
        ("Numbers", Channels(kind="channels"), [b"x,y\n1,2\n3,4\n"], write_numbers),
        pytest.param(
            "One step at a time", Channels(kind="channels"), [b"x,y\n1,2\n3,4\n"], write_numbers,
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_the_documented_program_needs_onnx_runtime_alone(
    capsys, noise, wav_bytes, section, features, learn_from, write
):
    program = programs()[section]
    imported = {
        name.name
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported <= {"json", "sys", "librosa", "numpy", "onnxruntime", "soundfile", "tokenizers"}
    assert len(program.splitlines()) <= (20 if section == "Subwords" else 12)
    argument, source = write(noise, wav_bytes)
    stepwise = section == "One step at a time"
    model = save(features, learn_from, bidirectional=not stepwise, pooling="attention")
    options = ["--raw"] if section.startswith("Raw") else []
    options += ["--format", "onnx-stream"] if stepwise else []
    code, _, err = run(capsys, model, "--output", "toy.onnx", *options)
    assert code == 0, err
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "toy.onnx", argument],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shares = ast.literal_eval(done.stdout)
    (answer,) = Predictor(Bundle.load(Path(model)), "cpu").predict([(0, source)])
    assert list(shares) == list(CLASSES)
    np.testing.assert_allclose(list(shares.values()), answer.probabilities, atol=1e-5)


def test_every_program_of_the_document_is_run():
    assert set(programs()) == {
        "Sound", "Raw sound", "Text", "Subwords", "Numbers", "One step at a time",
        "Several inputs",  # run by test_export_joined.py
    }  # fmt: skip
