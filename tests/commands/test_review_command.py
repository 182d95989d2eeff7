"""Held-out predictions of a comparison: the list of wrong labels, the audit, and the review."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from joined_toys import joined_bundle, write_rows, write_tone

from seqbelt.cli import main
from seqbelt.commands import review as command
from seqbelt.commands.review import items_of_data, items_of_predictions
from seqbelt.data.labels.targets import TARGETS
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.encoding import hash_content
from seqbelt.features.text.text import Character
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.decision import ONE_CLASS, Decision
from seqbelt.review.decisions import Decisions
from seqbelt.tracking.connection import connect
from seqbelt.workflow.prediction_run import predict
from seqbelt.workflow.prepared_data import prepare_data
from seqbelt.workflow.wrong_labels import HeldOut, find_wrong_labels, held_out_path

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
    assert "with data.folds: 5 every row has one" in wrong["sentence"]


def test_a_review_begins_with_them_and_prepare_applies_it(project, compared, capsys):
    experiment = Experiment.load(project / "texts.yaml", [])
    items = items_of_data(experiment)
    first = items.order[:2].tolist()
    assert {items.names[item] for item in first} == {f"t{row}" for row in FLIPPED}
    path = project / "texts.corrections.csv"
    decisions = Decisions(items, path)
    for item in first:
        decisions.decide(item, items.predicted_label(item))
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

    experiment = Experiment.load(project / "texts.yaml", ["training.distillation=0"])
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

    def serve(items, decisions, port, on_start, language):
        on_start("http://127.0.0.1:1/?token=x")
        decisions.decide(0, "early")
        addresses.append((len(items), port, language))

    monkeypatch.setattr(command, "serve", serve)
    arguments = ["review", "texts.yaml", "report.language=ko", "--corrections", "other.csv"]
    arguments += ["--port", "8123"]
    code, result, err = run(capsys, *arguments)
    assert (code, addresses) == (0, [(48, 8123, "ko")])
    assert "open http://127.0.0.1:1/?token=x" in err
    assert (result["num_reviewed"], result["corrections"]) == (1, "other.csv")


def write_table(path, columns):
    frame = pandas.DataFrame(columns)
    if path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False, engine="xlsxwriter")
    else:
        getattr(frame, f"to_{path.suffix[1:]}")(path, index=False)
    return path


def stand_in(monkeypatch, decision):
    """A bundle that decides so, for whatever model a table names."""
    bundle = SimpleNamespace(features=Character(kind="character"), decision=decision)
    monkeypatch.setattr(command, "load_folder", lambda model: (model, model))
    monkeypatch.setattr(command.Bundle, "load", lambda folder: bundle)


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
    path = write_table(project / f"kept.{ending}", columns)
    stand_in(monkeypatch, ONE_CLASS)
    items = items_of_predictions(path)
    assert (items.classes, items.names) == (("early", "late"), ["1", "2", "3"])
    assert items.labels == ["late", "late", ""]
    assert items.is_contradicted.tolist() == [False, True, False]
    assert items.doubt == pytest.approx([0.1, 0.8, 0.4])
    assert items.source(1) == "abab"


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet", "jsonl"])
def test_columns_of_0_and_1_are_the_labels_of_a_table(tmp_path, ending, monkeypatch):
    texts = ["a", "b", "c", "d"]
    columns = {
        "id": [*"1234"],
        "text": texts,
        "dog": ["1", "0", "0", ""],
        "cat": ["1", "0", "1", "1"],
        "labels": ["cat;dog", "", "dog", "cat"],
        "confidence": [0.5, 0.5, 0.5, 0.5],
        "p_cat": [0.9, 0.1, 0.2, 0.7],
        "p_dog": [0.8, 0.1, 0.6, 0.1],
        "content_hash": [hash_content(text) for text in texts],
        "model": ["m"] * 4,
    }
    stand_in(monkeypatch, Decision(TARGETS["several"], np.array([0.5, 0.5]), ";"))
    path = write_table(tmp_path / f"found.{ending}", columns)
    items = items_of_predictions(path)
    assert items.labels == ['["cat", "dog"]', "[]", '["cat"]', ""]
    assert items.is_contradicted.tolist() == [False, False, True, False]
    assert "columns cat, dog" in items.remarks[0]
    stand_in(monkeypatch, ONE_CLASS)
    assert items_of_predictions(path).labels == [""] * 4


def test_a_model_that_is_gone_is_named_and_can_be_given(project, compared, tmp_path, capsys):
    text = "wwxx"
    columns = {
        "id": ["1"], "text": [text], "label": ["late"], "confidence": [0.9], "p_early": [0.1],
        "p_late": [0.9], "content_hash": [hash_content(text)], "model": ["/moved/away/bundle"],
    }  # fmt: skip
    path = write_table(project / "found.csv", columns)
    with pytest.raises(SettingsError, match=r"'/moved/away/bundle' is not found.*--model MODEL"):
        items_of_predictions(path)
    (bundle, *_) = sorted(project.glob("outputs/texts/*/bundle"))
    assert items_of_predictions(path, model=str(bundle)).names == ["1"]
    other = write_table(project / "other.csv", {**columns, "p_lately": [0.9]})
    with pytest.raises(SettingsError, match=r"has the classes early, late, and .*lately"):
        items_of_predictions(other, model=str(bundle))
    code, _, err = run(capsys, "review", "texts.yaml", "--model", "m")
    assert code == 2 and "not for a config" in err


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_several_labels_of_a_table_are_decided_by_the_model_s_thresholds(
    tmp_path, ending, monkeypatch
):
    texts = ["a", "b", "c", "d"]
    columns = {
        "id": [*"1234"],
        "text": texts,
        "input_label": ["dog ; cat", '["cat"]', "", "cat;cow"],
        "labels": [["cat", "dog"], [], ["dog"], ["cat"]],
        "confidence": [0.5, 0.5, 0.5, 0.5],
        "p_cat": [0.9, 0.4, 0.2, 0.7],
        "p_dog": [0.8, 0.1, 0.4, 0.1],
        "content_hash": [hash_content(text) for text in texts],
        "model": ["m"] * 4,
    }
    if ending == "csv":
        columns["labels"] = [";".join(names) for names in columns["labels"]]
    stand_in(monkeypatch, Decision(TARGETS["several"], np.array([0.5, 0.3]), ";"))
    items = items_of_predictions(write_table(tmp_path / f"found.{ending}", columns))
    assert items.labels == ['["cat", "dog"]', '["cat"]', "", '["cat", "cow"]']
    assert [items.predicted_label(item) for item in range(4)] == [
        '["cat", "dog"]', "[]", '["dog"]', '["cat"]',
    ]  # fmt: skip
    assert items.is_contradicted.tolist() == [False, True, False, True]
    # Of the labels that are given, of those predicted, and where one is not known to the model.
    doubts = [1 - 0.9 * 0.8, 1 - 0.4 * 0.9, 1 - 0.8 * 0.4, 1 - 0.7 * 0.9]
    assert items.doubt == pytest.approx(doubts)
    decisions = Decisions(items, tmp_path / "out.csv")
    decisions.decide(2, "[]")
    assert decisions.num_changed == 1 and decisions.labels == {2: "[]"}


@pytest.fixture
def tagged(tmp_path, monkeypatch):
    """A prepared set of texts with several labels, and the predictions of a comparison: at item 5
    the label b is forgotten, item 8 has a by mistake."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    sets = [[], ["a"], ["a", "b"], ["b"]]
    true = [sets[row % 4] for row in range(120)]
    given = [true[row] if row not in (5, 8) else ["a"] for row in range(120)]
    true[5] = ["a", "b"]
    lines = [
        {"id": f"t{row}", "text": "".join(random.choice([*"abcdefgh"], 8)), "label": given[row]}
        for row in range(120)
    ]
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, lines)))
    values = {"name": "tags", "data": {"source": "tags.jsonl", "labels": "several",
              "unlabeled": "negative"}, "features": {"kind": "character"}}  # fmt: skip
    experiment = Experiment.parse(values)
    held_out = {
        "id": [line["id"] for line in lines],
        "content_hash": [hash_content(line["text"]) for line in lines],
        "num_models": [3] * 120,
        **{f"p_{name}": [0.97 if name in names else 0.02 for names in true] for name in "ab"},
    }
    table = pyarrow.table(held_out)
    path = held_out_path(experiment)
    HeldOut(table, ("a", "b"), "lstm", 3, True, "several").save(path)
    return experiment


def test_a_review_of_several_labels_begins_with_the_wrong_ones_and_prepare_applies_it(tagged):
    items = items_of_data(tagged)
    first = items.order[:2].tolist()
    assert {items.names[item] for item in first} == {"t5", "t8"}
    assert items.is_contradicted.sum() == 2 and "2 of 120 sets of labels" in items.remarks[0]
    assert items.labels[0] == "[]" and items.predicted_label(5) == '["a", "b"]'
    with (tagged.output / "tags" / "wrong_labels.csv").open(encoding="utf-8-sig") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["label"], row["suggested_label"]) for row in rows[:2]] in (
        [('["a"]', '["a", "b"]'), ('["a"]', "[]")], [('["a"]', "[]"), ('["a"]', '["a", "b"]')],
    )  # fmt: skip
    path = Path("tags.corrections.csv")
    decisions = Decisions(items, path)
    decisions.decide(5, '["b", "a"]')
    decisions.decide(8, "[]")
    decisions.decide(0, "[]")
    assert decisions.num_changed == 2
    corrected = tagged.with_data(tagged.data.replace(corrections=path))
    store = prepare_data(corrected).store
    assert store.label_sets(np.array([5, 8, 0])).tolist() == [[1, 1], [0, 0], [0, 0]]
    again = items_of_data(corrected)
    assert not again.is_contradicted.any() and again.labels == items.labels
    assert Decisions(again, path).labels == decisions.labels


def test_predictions_of_one_class_do_not_rank_several_labels(tagged):
    path = held_out_path(tagged)
    replace(HeldOut.load(path), labels="per_sequence").save(path)
    assert find_wrong_labels(tagged, prepare_data(tagged).store) is None


def test_rows_of_one_file_with_other_notes_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    joined_bundle().save(tmp_path / "bundle")
    write_tone(tmp_path / "tone.csv")
    write_tone(tmp_path / "other.csv", seed=2)
    rows = [
        ("tone.csv", "a good film", "61", "x"),
        ("tone.csv", "a bad film", "20", "y"),
        ("", "no film", "", "x"),
        ("other.csv", "", "40", ""),
    ]
    for name, count in (("pair.csv", 2), ("rows.csv", 4)):
        write_rows(tmp_path / name, rows[:count])
        predict(str(tmp_path / "bundle"), [name], tmp_path / f"found_{name}")
    pair = tmp_path / "found_pair.csv"
    # As of a manifest without texts: the paths alone are not the items.
    pair.write_text(pair.read_text().replace('"id"', '"path"', 1))
    with pytest.raises(SettingsError, match="add the folder or table that was predicted"):
        items_of_predictions(pair)
    items = items_of_predictions(tmp_path / "found_rows.csv", ["rows.csv"])
    assert len(items) == 4 and set(items.classes) == {"ja", "nein", "vielleicht"}
    for row, (path, note, age, ward) in enumerate(rows):
        source = items.source(row)
        assert source.inputs == (Path(path) if path else None, note or None)
        assert source.cells == (age, ward)
        assert hash_content(source) == items.content_hashes[row]


def test_several_inputs_of_a_config_are_reviewed_and_corrected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["path,text,age,label"]
    for row in range(24):
        write_tone(tmp_path / f"{row // 2}.csv", seed=row // 2)
        lines.append(f"{row // 2}.csv,note {row},{20 + row},{'xy'[row % 2]}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    experiment = Experiment.parse({
        "name": "rows", "data": {"source": "rows.csv"},
        "features": {"tone": {"kind": "channels"}, "note": {"kind": "character"},
                     "columns": ["age"]},
    })  # fmt: skip
    items = items_of_data(experiment)
    assert len(items) == 24 and items.names[0] == items.names[1] == "0.csv"
    assert items.source(1).inputs == (Path("0.csv"), "note 1") and items.source(1).cells == ("21",)
    decisions = Decisions(items, Path("rows.corrections.csv"))
    decisions.decide(1, "x")
    corrected = experiment.with_data(experiment.data.replace(corrections=decisions.path))
    store = prepare_data(corrected).store
    labels = [store.classes[code] for code in store.index["label"].to_pylist()]
    assert labels == ["x", "x", *["x", "y"] * 11]
    assert Decisions(items_of_data(corrected), decisions.path).labels == {1: "x"}
