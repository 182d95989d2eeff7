"""``seqbelt export`` for models of several inputs, and the program of docs/onnx.md for them."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from joined_toys import CLASSES, joined_bundle, write_rows, write_tone

from seqbelt.cli import main
from seqbelt.commands import export as stage
from seqbelt.features.base import JoinedSource
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Predictor

DOCUMENT = Path(__file__).parents[2] / "docs/onnx.md"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "TIMED_S", 0.0)
    joined_bundle().save(Path("bundle"))


def run(capsys, *arguments):
    """Exit code, the JSON of the last line, standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["export", "bundle", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.splitlines()[-1]) if out else None, err


def test_only_onnx_takes_several_inputs(capsys):
    for options in (
        ["--format", "onnx-int8"], ["--format", "onnx-stream"], ["--format", "onnx", "--raw"],
    ):  # fmt: skip
        code, _, err = run(capsys, "--output", "toy.onnx", *options)
        assert code == 2 and "(tone, note, age, ward); use --format onnx" in err
        assert ("without --raw" in err) == ("--raw" in options)
        assert not Path("toy.onnx").exists()


def test_the_documented_program_needs_onnx_runtime_alone(capsys):
    code, found, err = run(capsys, "--output", "toy.onnx")
    assert code == 0, err
    assert found["passed"] and 0 < found["max_difference"] <= found["tolerance"]
    assert found["num_flips"] == 0 and found["num_sequences"] == 40
    section = DOCUMENT.read_text("utf-8").partition("\n## Several inputs\n")[2]
    program = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    imported = {
        name.name
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported == {"csv", "json", "sys", "numpy", "onnxruntime", "tokenizers"}
    write_tone(Path("0.csv"))
    rows = [
        ("0.csv", "a good film", "30.5", "x"), ("", "no fun", "", "y"), ("0.csv", "", "61", ""),
        ("", "", "20", "unheard of"),
    ]  # fmt: skip
    write_rows(Path("items.csv"), rows)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, "toy.onnx", "items.csv"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shares = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    sources = [
        JoinedSource((Path(path) if path else None, text or None), (age, ward))
        for path, text, age, ward in rows
    ]
    answers = Predictor(Bundle.load(Path("bundle")), "cpu").predict(enumerate(sources))
    for one, answer in zip(shares, answers, strict=True):
        assert list(one) == list(CLASSES)
        np.testing.assert_allclose(list(one.values()), answer.probabilities, atol=1e-5)


def test_a_file_that_answers_otherwise_is_not_written(capsys, monkeypatch):
    from seqbelt.inference import onnx_joined

    encode = onnx_joined._add_cells
    monkeypatch.setattr(
        onnx_joined, "_add_cells", lambda graph, column: graph.add("Neg", encode(graph, column))
    )
    code, _, err = run(capsys, "--output", "toy.onnx")
    assert code == 1 and not Path("toy.onnx").exists(), err
