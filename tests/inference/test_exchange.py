"""A bundle trained on one set of versions answers alike on another.

``SEQBELT_OTHER_PYTHON`` names the Python of the other environment: ``make test-torchtext`` runs
this in both directions.
"""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from seqbelt.data.generated.demo_data import DemoData
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.text.torchtext import import_torchtext
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.models.classifier import build_network
from seqbelt.training.loop import Loop
from seqbelt.workflow.prediction_run import predict
from seqbelt.workflow.prepared_data import prepare_data

OTHER_PYTHON = os.environ.get("SEQBELT_OTHER_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not OTHER_PYTHON, reason="SEQBELT_OTHER_PYTHON names no second environment: make test-torchtext"
)
CONFIG = """
name: exchange
features: {features}
data: {{source: {source}, prepared: {store}, validation_fraction: 0.1}}
model: {{hidden_size: 16, bidirectional: true, pooling: attention}}
training:
  {{num_epochs: 8, batch_size: 16, learning_rate: 1.0e-2, augmentation: none, label_smoothing: 0,
   device: cpu}}
"""
ODD_TEXTS = ['"IT\'S" <br />GREAT!!', "ΟΔΥΣΣΕΥΣ 음식은 😀", ";", "the food was\u3000bad\x00but"]
KINDS = {
    "torchtext": ("text", "{kind: word, torchtext: basic_english}"),
    "subword": ("text", "{kind: subword, vocabulary_size: 300}"),
    "log_mel": ("audio", "{kind: log_mel, sample_rate: 8000}"),
}


def write_data(kind: str, folder: Path) -> tuple[Path, Path]:
    """The source to train on, and what to predict."""
    source = DemoData(kind=kind, num_per_class=16).write(folder / "data")  # type: ignore[arg-type]
    if kind != "text":
        return source, source / "test"
    items = folder / "texts.jsonl"
    with source.open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)] + ODD_TEXTS
    items.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return source, items


def train(config: Path, folder: Path) -> None:
    """Train a bundle, without a tracking store."""
    experiment = Experiment.load(config)
    store, model = prepare_data(experiment).store, experiment.model
    network, _ = Loop(
        experiment.training,
        lambda: build_network(
            model, store.num_features, len(store.classes), experiment.features.is_tokens
        ),
        store.split("train"),
        store.split("validation"),
    ).run()
    learned, classes, features = store.learned, store.classes, experiment.features
    Bundle(
        "exchange",
        features,
        learned,
        network.settings,
        classes,
        store.num_features,
        weights_of(network),
        about={},
    ).save(folder)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_answers_alike_in_the_other_environment(name, tmp_path):
    if name == "torchtext":
        try:
            import_torchtext()
        except SettingsError:
            pytest.skip("torchtext, which learns the words, is not importable here")
    kind, features = KINDS[name]
    source, items = write_data(kind, tmp_path)
    config, bundle = tmp_path / "config.yaml", tmp_path / "bundle"
    config.write_text(
        CONFIG.format(features=features, source=source, store=tmp_path / "store"), "utf-8"
    )
    train(config, bundle)
    predict(str(bundle), [str(items)], tmp_path / "here.csv")
    there = tmp_path / "there.csv"
    done = subprocess.run(
        [OTHER_PYTHON, "-m", "seqbelt", "predict", str(bundle), str(items), "--output", str(there)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_alike(read(tmp_path / "here.csv"), read(there))


def assert_alike(here: list[dict[str, str]], there: list[dict[str, str]]) -> None:
    assert len({row["label"] for row in here}) > 1
    for one, two in zip(here, there, strict=True):
        assert one["label"] == two["label"] and one["num_steps"] == two["num_steps"]
        shares = [column for column in one if column.startswith("p_") and one["label"]]
        for column in shares:
            assert float(one[column]) == pytest.approx(float(two[column]), abs=1e-5)
