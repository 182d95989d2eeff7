"""Held-out predictions of a comparison: the list of wrong labels, the audit, and the review."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas
import pyarrow.parquet
import pytest

from seqbelt.cli import main
from seqbelt.commands import review as command
from seqbelt.commands.review import items_of_data, items_of_predictions
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.encoding import hash_content
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.review.decisions import Decisions
from seqbelt.tracking.connection import connect

CONFIG = """
name: texts
data: {source: texts.csv, folds: 2}
features: {kind: character, min_count: 1}
model: {hidden_size: 8, embedding_size: 8}
training: {num_epochs: 5, batch_size: 8, learning_rate: 3e-2, device: cpu}
comparison: {cells: [lstm], seeds: [0, 1], controls: false}
"""
FLIPPED = (7, 20)


def run(capsys, *arguments):
    """Exit code, JSON, standard error."""
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--json"])
    out, err = capsys.readouterr()
    return stop.value.code, json.loads(out.strip().splitlines()[-1]) if out else None, err


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Texts of two alphabets, two of them labelled as the other one."""
    folder = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(0)
    lines = ["text,label,id"]
    for row in range(48):
        letters, label = ("abcd", "early") if row % 2 else ("wxyz", "late")
        label = {"early": "late", "late": "early"}[label] if row in FLIPPED else label
        lines.append(f"{''.join(random.choice([*letters], 8))},{label},t{row}")
    (folder / "texts.csv").write_text("\n".join(lines))
    (folder / "texts.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="module")
def compared(project):
    """The JSON of a comparison with folds."""
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda *values, **options: lines.append(values[0]))
        with pytest.raises(SystemExit) as stop:
            main(["compare", "texts.yaml", "--json"])
    assert stop.value.code == 0
    return json.loads(lines[-1])


@pytest.mark.slow
def test_a_comparison_with_folds_ranks_every_label(project, compared):
    wrong = compared["wrong_labels"]
    assert (wrong["num_scored"], wrong["num_not_scored"], wrong["num_seeds"]) == (48, 0, 2)
    with (project / wrong["table"]).open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 48
    assert {row["id"] for row in rows[:2]} == {f"t{row}" for row in FLIPPED}
    assert {row["num_models"] for row in rows} == {"2"}
    assert {one["id"] for one in wrong["first"]} >= {f"t{row}" for row in FLIPPED}
    kept = pyarrow.parquet.read_table(project / "outputs/texts/held_out.parquet")
    assert {"id", "content_hash", "p_early", "p_late"} <= set(kept.column_names)


def test_it_is_in_the_run_and_in_the_audit(project, compared, capsys):
    client, run_id = connect(), compared["parent_run_id"]
    assert {"wrong_labels.csv", "wrong_labels.json"} <= {
        item.path for item in client.list_artifacts(run_id)
    }
    code, audit, _ = run(capsys, "data", "audit", "texts.yaml")
    assert code == 0
    assert "of 48 labels are likely wrong" in audit["findings"]["wrong-labels"]["sentence"]


def test_without_folds_the_rows_without_a_score_are_counted(project, compared, capsys):
    settings = ["data.folds=null", "name=once", "comparison.seeds=[0]", "training.num_epochs=1"]
    code, result, _ = run(capsys, "compare", "texts.yaml", *settings)
    assert code == 0
    wrong = result["wrong_labels"]
    assert wrong["num_scored"] + wrong["num_not_scored"] == 48
    assert 0 < wrong["num_scored"] < 24
    assert "data.folds: 5 scores every row" in wrong["sentence"]


def test_a_review_begins_with_them_and_prepare_applies_it(project, compared, capsys):
    experiment = Experiment.load(project / "texts.yaml", [])
    items = items_of_data(experiment)
    first = items.order[:2].tolist()
    assert {items.names[item] for item in first} == {f"t{row}" for row in FLIPPED}
    path = project / "texts.corrections.csv"
    decisions = Decisions(items, path)
    for item in first:
        decisions.decide(item, items.predicted_name(item))
    before = run(capsys, "prepare", "texts.yaml")[1]
    setting = "data.corrections=texts.corrections.csv"
    code, after, err = run(capsys, "prepare", "texts.yaml", setting)
    assert code == 0 and "2 of 48 labels corrected" in err
    assert not after["skipped"] and "0 encoded" in err
    assert after["num_sequences"] == before["num_sequences"]
    corrected = experiment.with_data(experiment.data.replace(corrections=path))
    again = items_of_data(corrected)
    assert not again.is_contradicted[first].any()
    assert [again.labels[item] for item in first] == [items.labels[item] for item in first]
    assert Decisions(again, path).labels == decisions.labels


def test_a_journal_does_not_depend_on_a_setting_that_is_not_given(project):
    from seqbelt.workflow.comparison_run import _NOT_TRAINED, _digest

    experiment = Experiment.load(project / "texts.yaml", [])
    assert _digest(experiment, _NOT_TRAINED) == "efda1f21"  # as before data.corrections
    named = experiment.with_data(experiment.data.replace(corrections=project / "x.csv"))
    assert _digest(named, _NOT_TRAINED) != _digest(experiment, _NOT_TRAINED)


def test_predictions_are_reviewed_by_doubt(project, compared, capsys):
    bundle = next((project / "outputs/texts").glob("lstm-*/bundle"))
    inputs = ["predict", str(bundle), "texts.csv", "--output", "found.csv"]
    assert run(capsys, *inputs)[0] == 0
    with pytest.raises(SettingsError, match="add the folder or table that was predicted"):
        items_of_predictions(project / "found.csv")
    items = items_of_predictions(project / "found.csv", ["texts.csv"])
    assert items.classes == Bundle.load(bundle).classes
    assert len(items) == 48 and set(items.labels) == {""}
    confidences = items.probabilities.max(axis=1)[items.order]
    assert (np.diff(confidences[:20]) >= 0).all()
    item = int(items.order[0])
    assert hash_content(items.source(item)) == items.content_hashes[item]


def test_another_table_is_no_table_of_predictions(project):
    with pytest.raises(SettingsError, match="expected a table that 'seqbelt predict' wrote"):
        items_of_predictions(project / "texts.csv")


def test_without_a_comparison_the_order_is_random_and_said(project):
    experiment = Experiment.load(project / "texts.yaml", ["name=fresh"])
    items = items_of_data(experiment)
    assert "No comparison has predicted these items" in items.remarks[0]
    assert not items.is_predicted.any() and len(items) == 48
    assert items.order.tolist() != list(range(48))


def test_the_command_serves_until_it_is_stopped(project, compared, capsys, monkeypatch):
    addresses = []

    def serve(items, decisions, port, on_start):
        on_start("http://127.0.0.1:1/?token=x")
        decisions.decide(0, "early")
        addresses.append((len(items), port))

    monkeypatch.setattr(command, "serve", serve)
    arguments = ["review", "texts.yaml", "--corrections", "other.csv", "--port", "8123"]
    code, result, err = run(capsys, *arguments)
    assert (code, addresses) == (0, [(48, 8123)])
    assert "open http://127.0.0.1:1/?token=x" in err
    assert (result["num_reviewed"], result["corrections"]) == (1, "other.csv")


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet", "jsonl"])
def test_kept_labels_and_texts_are_reviewed_from_any_table(project, ending, monkeypatch):
    columns = {
        "id": ["1", "2", "3"],
        "text": ["wwxx", "abab", "zzzz"],
        "input_label": ["late", "late", ""],
        "p_of_input": ["x", "y", "z"],
        "label": ["late", "early", "late"],
        "confidence": [0.9, 0.8, 0.6],
        "p_early": [0.1, 0.8, 0.4],
        "p_late": [0.9, 0.2, 0.6],
        "content_hash": [hash_content(text) for text in ("wwxx", "abab", "zzzz")],
        "model": ["m"] * 3,
    }
    path = project / f"kept.{ending}"
    frame = pandas.DataFrame(columns)
    if ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif ending == "xlsx":
        frame.to_excel(path, index=False, engine="xlsxwriter")
    else:
        getattr(frame, f"to_{ending}")(path, index=False)
    features = SimpleNamespace(features=Character(kind="character"))
    monkeypatch.setattr(command, "load_folder", lambda model: (model, model))
    monkeypatch.setattr(command.Bundle, "load", lambda folder: features)
    items = items_of_predictions(path)
    assert (items.classes, items.names) == (("early", "late"), ["1", "2", "3"])
    assert items.labels == ["late", "late", ""]
    assert items.is_contradicted.tolist() == [False, True, False]
    assert items.doubt == pytest.approx([0.1, 0.8, 0.4])
    assert items.source(1) == "abab"
