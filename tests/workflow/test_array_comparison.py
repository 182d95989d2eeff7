"""``seqbelt.compare``: cells on arrays, with test rows or with folds."""

from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from toys import SMALL_CLASSIFIER as SMALL
from toys import toy_sequences as sequences

import seqbelt
from seqbelt.errors import SettingsError
from seqbelt.estimator import SequenceClassifier

SHORT = SequenceClassifier(**SMALL | {"num_epochs": 2})


def test_compare_judges_cells_on_arrays():
    X, y = sequences(40)
    X_test, y_test = sequences(30, seed=1)
    classifier = SequenceClassifier(**SMALL | {"num_epochs": 2})
    cells = ("lstm", "rnn_relu")
    found = seqbelt.compare(
        X, y, X_test, y_test,
        classifier=classifier, cells=cells, seeds=(3, 4), margin=0.2, controls=False,
    )  # fmt: skip
    model = SequenceClassifier(**SMALL | {"num_epochs": 2, "seed": 4}).fit(X, y)
    correct = found.runs["lstm"][1].predictions.correct
    np.testing.assert_array_equal(correct, model.predict(X_test) == y_test)
    assert found.cells()["lstm"]["accuracies"][1] == model.score(X_test, y_test)
    assert found.verdict is not None and found.verdict.margin == 0.2
    assert (found.verdict.cell, found.verdict.other) == cells
    assert "2 seeds, 30 test examples" in found.sentence and "RNN (ReLU)" in found.markdown()
    assert classifier.get_params() == SHORT.get_params()  # untouched


def test_compare_refuses_what_it_does_not_do():
    X, y = sequences(8)
    with pytest.raises(SettingsError, match="no such setting: num_workers"):
        seqbelt.compare(X, y, X, y, num_workers=2)
    with pytest.raises(SettingsError, match="seeds"):
        seqbelt.compare(X, y, X, y, seeds=(1, 1))
    with pytest.raises(ValueError, match="folds='group': expected a number, 'group' with groups"):
        seqbelt.compare(X, y, folds="group")
    with pytest.raises(ValueError, match="8 test sequences, but 7 test labels"):
        seqbelt.compare(X, y, X, y[:7], classifier=SHORT, seeds=(0,))
    with pytest.raises(ValueError, match="either X_test with y_test, or folds"):
        seqbelt.compare(X, y)
    with pytest.raises(ValueError, match="y_test belong together"):
        seqbelt.compare(X, y, X)
    with pytest.raises(ValueError, match="8 sequences, but 3 groups"):
        seqbelt.compare(X, y, folds=2, groups=[0, 1, 2])
    with pytest.raises(ValueError, match="test part of two folds"):
        seqbelt.compare(X, y, folds=[([0, 1], [2, 3]), ([4, 5], [3, 6])])


def test_folds_test_every_row_once_and_speak_of_new_groups():
    X, y = sequences(24)
    groups = np.arange(24) % 3
    asked: dict[str, Any] = {
        "classifier": SHORT,
        "cells": ("lstm", "rnn"),
        "controls": False,
    }
    found = seqbelt.compare(X, y, folds="group", groups=groups, seeds=(0, 1), **asked)
    assert "24 test examples of 3 groups not trained on" in found.sentence
    first = found.runs["lstm"][0]
    assert sorted(first.predictions.labels) == sorted(np.unique(y, return_inverse=True)[1])
    tested = groups == 2
    model = SequenceClassifier(**SMALL | {"num_epochs": 2})
    model.fit([one for one, is_test in zip(X, tested) if not is_test], y[~tested])
    predicted = model.predict([one for one, is_test in zip(X, tested) if is_test])
    np.testing.assert_array_equal(first.predictions.correct[16:], predicted == y[tested])
    assert set(found.histories) >= {"lstm-s0-f0", "rnn-s1-f2"}
    whole = seqbelt.compare(X, y, folds=2, groups=groups, seeds=(0,), metric="log_loss", **asked)
    assert "nats" in whole.sentence and "3 groups not trained on" in whole.sentence


def test_controls_are_those_of_the_command_and_the_page_shows_them(tmp_path):
    X, y = sequences(24)
    found = seqbelt.compare(
        X, y, *sequences(16, seed=1), classifier=SHORT, cells=("lstm",), seeds=(0,)
    )
    names = [control.baseline.name for control in found.controls]
    assert names[:4] == ["no recurrence", "majority class", "length only", "summary statistics"]
    assert names[-1] == "lstm, shuffled order"
    assert all(control.error is None for control in found.controls)
    found.report(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "summary statistics" in text and text.count("<img") == 2
    assert "Learning curves" in text


def test_an_experiment_is_logged_to_mlflow(tmp_path, monkeypatch, migrated_once):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    X, y = sequences(16)
    found = seqbelt.compare(
        X, y, X, y,
        classifier=SHORT, seeds=(0, 1), cells=("lstm", "rnn"), controls=False, experiment="arrays",
    )  # fmt: skip
    client = MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'arrays'")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(str(run.info.run_name) for run in runs)[-4:] == [
        "lstm-s0",
        "lstm-s1",
        "rnn-s0",
        "rnn-s1",
    ]
    (summary,) = [run for run in runs if run.info.run_name == found.headline]
    difference = summary.data.metrics["verdict/lstm_less_rnn_difference"]
    assert found.verdict is not None
    assert difference == pytest.approx(found.verdict.difference)
    assert summary.data.tags["verdict/lstm_less_rnn_word"] == found.verdict.word
    (run,) = [run for run in runs if run.info.run_name == "rnn-s1"]
    assert run.data.metrics["test/accuracy"] == found.cells()["rnn"]["accuracies"][1]
    assert {run.info.status for run in runs} == {"FINISHED"}
