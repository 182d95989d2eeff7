"""One small case a kind: places, interrupts, served models, changed bundles, configs."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment

CONFIG = """
name: m
data: {source: t.csv}
features: {kind: word, min_count: 1}
model: {hidden_size: 8}
training: {num_epochs: 2, device: cpu}
"""


def write_project(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"{'good' if i % 2 else 'bad'} film {i % 7},{i % 2}x" for i in range(40)]
    (folder / "t.csv").write_text("text,label\n" + "\n".join(rows))
    (folder / "c.yaml").write_text(CONFIG)
    return folder


def seqbelt(folder: Path, *arguments: str) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-m", "seqbelt", *arguments], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def ended(process: subprocess.Popen, code: int) -> str:
    said = process.communicate(timeout=900)[0]
    assert "Traceback" not in said and process.returncode == code, said
    return said


@pytest.mark.slow
def test_a_moved_project_answers_and_leaves_its_former_place_alone(tmp_path):
    old = write_project(tmp_path / "what now?")
    ended(seqbelt(old, "train", "c.yaml"), 0)
    new = tmp_path / "50%25"
    old.rename(new)
    ended(seqbelt(new, "predict", "models:/m@champion", "t.csv", "--output", "o.csv"), 0)
    ended(seqbelt(new, "train", "c.yaml", "training.seed=1"), 0)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_training_that_is_told_to_stop_closes_its_run_and_gives_one_advice(tmp_path, name):
    folder = write_project(tmp_path / "project")
    process = seqbelt(folder, "train", "c.yaml", "training.num_epochs=100000")
    while not list(folder.glob("outputs/m/*/run.json")):
        assert process.poll() is None
    process.send_signal(signal.Signals[name])
    said = ended(process, 1)
    assert said.count("--resume") == 1
    (record,) = folder.glob("outputs/m/*/run.json")
    assert status_of(folder, json.loads(record.read_text())["run_id"]) == "KILLED"


@pytest.mark.slow
def test_a_killed_training_is_closed_by_the_next_one(tmp_path):
    folder = write_project(tmp_path / "project")
    process = seqbelt(folder, "train", "c.yaml", "training.num_epochs=100000")
    while not (found := list(folder.glob("outputs/m/*/run.json"))):
        assert process.poll() is None
    run_id = json.loads(found[0].read_text())["run_id"]
    process.kill()
    process.communicate()
    assert status_of(folder, run_id) == "RUNNING"
    said = ended(seqbelt(folder, "train", "c.yaml"), 0)
    assert f"run {run_id}: its process has ended" in said
    assert status_of(folder, run_id) == "KILLED"


def status_of(folder: Path, run_id: str) -> str:
    with contextlib.closing(sqlite3.connect(folder / "mlruns/mlflow.db")) as stored:
        asked = "SELECT status FROM runs WHERE run_uuid = ?"
        return stored.execute(asked, (run_id,)).fetchone()[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [("a?b", "'?'"), ("a#b", "'#'"), ("a@b", "'@'"), ("x" * 260, "260 bytes"), ("한" * 90, "270"),
     ("a\nb", "unprintable"), (" a", "white space"), ("..", "dot"), ("", "empty"), ("a/b", "'/'")],
)  # fmt: skip
def test_a_name_that_no_folder_or_address_holds_is_refused_in_words(name, word):
    values = {"name": name, "data": {"source": "x"}, "features": {"kind": "word"}}
    with pytest.raises(SettingsError, match="name: ") as error:
        Experiment.parse(values)
    assert word in str(error.value) and "pattern" not in str(error.value)


@pytest.mark.parametrize("name", ["pets", "한글 이름", "a_b-c.d", "a" * 200])
def test_other_names_are_taken(name):
    values = {"name": name, "data": {"source": "x"}, "features": {"kind": "word"}}
    assert Experiment.parse(values).name == name
