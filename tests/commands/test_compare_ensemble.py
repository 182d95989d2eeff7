"""A comparison that registers the average of a cell's networks over the seeds."""

import base64
import json
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from toys import write_tones

from seqbelt.cli import main
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.serving import in_this_process
from seqbelt.models.ensemble import Ensemble

CONFIG = """
name: words
data: {source: words, validation_fraction: 0.2}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 12, bidirectional: false}
training: {num_epochs: 2, batch_size: 16, learning_rate: 3e-3, device: cpu}
comparison: {cells: [lstm], seeds: [0, 1], controls: false, ensemble: true}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    write_tones(folder / "words")
    (folder / "words.yaml").write_text(CONFIG)
    return folder


@pytest.fixture
def run(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert stop.value.code == code, err
        return json.loads(out.strip().splitlines()[-1]) if code == 0 else err

    return run


def test_the_average_is_registered_measured_and_used(run):
    found = run("compare", "words.yaml")
    ensemble, cell = found["ensemble"], found["cells"]["lstm"]
    assert ensemble["num_networks"] == 2 and ensemble["seeds"] == [0, 1]
    assert ensemble["num_parameters"] == 2 * cell["num_parameters"]
    test = ensemble["test_accuracy"]
    assert test["members"] == cell["accuracies"]
    assert test["members_mean"] == pytest.approx(cell["test_accuracy"]["mean"])

    # Every command takes it as it takes one network.
    model = found["model_uri"]
    evaluated = run("evaluate", model, "words.yaml")
    assert evaluated["test"]["accuracy"] == pytest.approx(test["average"])
    certificates = run("certify", model, "words.yaml")
    for kind in ("padding", "determinism", "streaming"):
        assert certificates[kind]["passed"], kind
    assert certificates["export"] is None or certificates["export"]["passed"]
    audio = next(Path("words").rglob("*.wav"))
    explained = run("explain", model, str(audio), "--output", "explained")
    assert explained["completeness_gap"] < 0.01
    run("predict", model, "words", "--output", "table.csv")
    table = pd.read_csv("table.csv").set_index("path")
    assert set(table["model"]) == {model}

    # Its run's page says what it is, and the version how many networks it computes.
    client = MlflowClient()
    page = client.get_run(ensemble["run_id"])
    for text in ("average of 2 LSTM networks (seeds 0, 1)", "about 2 times as long"):
        assert text in page.data.tags["mlflow.note.content"]
    assert page.data.metrics["test/accuracy"] == pytest.approx(test["average"])
    _, name, version = model.replace("models:/", "models:").replace(":", "/").split("/")
    tags = client.get_model_version(name, version).tags
    assert tags["model.num_networks"] == "2" and tags["certificate.padding"] == "passed"
    summary = client.get_run(found["parent_run_id"]).data.tags["mlflow.note.content"]
    assert "mean of its members" in summary

    # The served model computes the same average.
    content = base64.b64encode(audio.read_bytes()).decode()
    with in_this_process():
        served = mlflow.pyfunc.load_model(model).predict(pd.DataFrame({"base64": [content]}))
    row = table.loc[str(audio.relative_to("words"))]
    assert served["label"][0] == row["label"]
    assert served["confidence"][0] == pytest.approx(row["confidence"], abs=1e-5)

    folder = next(Path("outputs/words").glob("*-ensemble/bundle"))
    bundle = Bundle.load(folder)
    assert isinstance(bundle.network, Ensemble) and bundle.about["seeds"] == [0, 1]
    weights = [one.classify.weight.detach().numpy() for one in bundle.network.networks]
    assert not np.allclose(weights[0], weights[1])


def test_models_of_several_networks_are_compared_explained_and_averaged(run):
    found = run(
        "compare", "words.yaml", "training.num_epochs=1",
        "training.num_networks=2", "comparison.controls=true", "model.hidden_size=6",
    )  # fmt: skip
    cell, ensemble = found["cells"]["lstm"], found["ensemble"]
    assert ensemble["num_networks"] == 4 and ensemble["seeds"] == [0, 1]
    assert ensemble["num_parameters"] == 2 * cell["num_parameters"]
    names = [control["name"] for control in found["controls"]]
    assert any("shuffled" in name for name in names) and any("recurrence" in n for n in names)
    model = Bundle.load(next(Path("outputs/words").glob("*-ensemble/bundle")))
    assert len(model.network.networks) == 4


@pytest.mark.slow
def test_without_the_setting_one_network_is_registered(run):
    found = run("compare", "words.yaml", "comparison.ensemble=false")
    assert found["ensemble"] is None


def test_one_seed_has_nothing_to_average(run):
    err = run("compare", "words.yaml", "comparison.seeds=[0]", code=2)
    assert "ensemble: true averages over seeds, but seeds has 1" in err
