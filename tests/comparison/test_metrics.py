"""Scores by other metrics: their means are the metric, and they are judged by it."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    recall_score,
)

from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.conclusion_page import RunResult
from seqbelt.comparison.metric_scores import are_skewed, score_cells
from seqbelt.comparison.metrics import Metric, RunPredictions
from seqbelt.comparison.statistics import score_difference
from seqbelt.errors import SettingsError

CLASSES = ("x", "y", "z")


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 200, p=[0.7, 0.2, 0.1])
    of = [np.where(rng.random(200) < 0.7, labels, rng.integers(0, 3, 200)) for _ in range(3)]
    losses = [rng.random(200) for _ in range(3)]
    return [RunPredictions(labels, one, loss) for one, loss in zip(of, losses, strict=True)]


def scores(name, answers, groups=None):
    return score_cells(Metric(name), {"a": answers}, CLASSES, groups).cells["a"]


@pytest.mark.parametrize("grouped", [False, True])
def test_mean_scores_are_scikit_learns(answers, grouped):
    groups = np.arange(200) // 10 if grouped else None
    expected = {
        "accuracy": lambda one: np.mean(one.correct),
        "macro_f1": lambda one: f1_score(one.labels, one.predicted, average="macro"),
        "balanced_accuracy": lambda one: balanced_accuracy_score(one.labels, one.predicted),
        "recall:z": lambda one: recall_score(one.labels, one.predicted, labels=[2], average=None)[
            0
        ],
        "log_loss": lambda one: np.mean(one.losses),
    }
    for name, of in expected.items():
        found = scores(name, answers, groups).mean(axis=1)
        assert found == pytest.approx([of(one) for one in answers]), name


def test_pseudo_values_are_what_a_row_adds(answers):
    """Against the definition: macro-F1 without each row, computed by scikit-learn."""
    one = answers[0]
    rows = np.arange(200)
    without = np.array([
        f1_score(one.labels[rows != row], one.predicted[rows != row], average="macro")
        for row in rows
    ])  # fmt: skip
    value = f1_score(one.labels, one.predicted, average="macro")
    raw = 200 * value - 199 * without
    assert scores("macro_f1", [one])[0] == pytest.approx(raw - raw.mean() + value)


def test_the_jackknife_gives_the_standard_error_of_many_draws():
    """Macro-F1 on skewed classes: the spread over 300 test parts is the one that is estimated."""
    rng = np.random.default_rng(1)
    values, estimated = [], []
    for _ in range(300):
        labels = rng.choice(2, 300, p=[0.9, 0.1])
        predicted = np.where(rng.random(300) < 0.85, labels, 1 - labels)
        found = scores("macro_f1", [RunPredictions(labels, predicted)])[0]
        values.append(found.mean())
        estimated.append(found.std(ddof=1) / np.sqrt(300))
    assert np.mean(estimated) == pytest.approx(np.std(values), rel=0.12)


def test_recall_is_of_the_rows_of_its_class(answers):
    labels = answers[0].labels
    found = score_cells(Metric("recall:z"), {"a": answers}, CLASSES, np.arange(200) // 2)
    assert found.num_examples == (labels == 2).sum()
    assert found.num_units == len(set(np.flatnonzero(labels == 2) // 2))
    with pytest.raises(SettingsError, match="there is no class 'q'; classes: x, y, z"):
        scores("recall:q", answers)


def test_segmental_f1_is_of_recordings():
    segments = np.array([[3, 4, 4], [1, 5, 2], [2, 2, 2]])
    steps = np.zeros(30, dtype=int)
    one = RunPredictions(steps, steps, recordings=np.arange(30) // 10, segments=segments)
    found = scores("segmental_f1", [one])
    assert found.shape == (1, 3) and found.mean() == pytest.approx(2 * 6 / 19)
    grouped = scores("segmental_f1", [one], np.repeat(["p", "q"], [20, 10]))
    assert grouped.shape == (1, 2) and grouped.mean() == pytest.approx(2 * 6 / 19)
    with pytest.raises(SettingsError, match="labelled steps"):
        scores("segmental_f1", [RunPredictions(steps, steps)])


def test_joined_answers_number_the_recordings_of_all_folds():
    parts = [
        RunPredictions(
            np.zeros(4, int), np.zeros(4, int), np.ones(4), np.repeat([0, 1], 2), np.ones((2, 3))
        )
        for _ in range(2)
    ]
    found = RunPredictions.joined(parts)
    assert found.recordings is not None and found.recordings.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.segments is not None and len(found.segments) == 4
    assert found.losses is not None and len(found.losses) == 8
    assert (
        RunPredictions.joined([parts[0], RunPredictions(np.zeros(1, int), np.zeros(1, int))]).losses
        is None
    )


def test_classes_are_skewed_where_one_has_most_rows():
    assert are_skewed(np.repeat([0, 1], [90, 10]), 2)
    assert not are_skewed(np.repeat([0, 1], [60, 40]), 2)
    assert not are_skewed(np.arange(100) % 10, 10)


def runs(hits_of_rare, rows=400, **values):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [rows - rows // 10, rows // 10])
    made = {}
    for cell, hit in zip(("lstm", "rnn"), hits_of_rare, strict=True):
        made[cell] = []
        for seed in range(5):
            right = rng.random(rows) < np.where(labels == 1, hit, 0.99)
            answers = RunPredictions(
                labels, np.where(right, labels, 1 - labels), 1 - right.astype(float)
            )
            test = {"accuracy": float(right.mean()), "macro_f1": 0.0}
            made[cell].append(RunResult(("id",), seed, answers, test, 10, 1.0, 1.0))
    return Comparison(**values), made


def test_macro_f1_stands_beside_accuracy_where_classes_are_skewed():
    rule, made = runs((0.95, 0.6))
    found = rule.conclude(made, ("common", "rare"))
    accuracy, macro = found.verdicts
    assert (accuracy.metric.name, macro.metric.name) == ("accuracy", "macro_f1")
    assert accuracy.num_pairs == macro.num_pairs == 2  # one correction for both
    assert macro.word == "better" and macro.difference > 2 * accuracy.difference
    assert "The classes are skewed. lstm (" in found.sentence and "by macro-F1" in found.sentence
    assert found.verdict is accuracy
    table = found.markdown()
    assert "| LSTM against RNN | macro-F1 | better |" in table


@pytest.mark.parametrize("name", ["balanced_accuracy", "recall:rare", "log_loss", "macro_f1"])
def test_another_metric_is_what_the_verdict_is_about(name):
    rule, made = runs((0.95, 0.6), metric=name, margin=0.001)
    found = rule.conclude(made, ("common", "rare"))
    (verdict,) = found.verdicts
    assert verdict.metric == Metric(name) and verdict.word == "better"
    assert verdict.to_dict()["accuracies"] is None
    assert f"by {verdict.metric.label}" in found.sentence
    assert f"test_{name}" in found.cells()["lstm"]
    assert (verdict.difference > 0) != (name == "log_loss")  # less loss is better
    assert verdict.probabilities is not None and verdict.probabilities[0] > 0.5
    unit = "nats" if name == "log_loss" else "points"
    assert f" {unit}, " in verdict.sentence and unit in found.markdown()


def test_an_unknown_metric_is_refused():
    with pytest.raises(SettingsError, match="'f1' is not a metric; known: accuracy"):
        Comparison.parse({"metric": "f1"})


def test_a_group_of_rows_is_one_observation_of_macro_f1():
    """Ten copies of each row in its group: as wide as the rows once."""
    rng = np.random.default_rng(3)
    labels = rng.choice(2, 60, p=[0.8, 0.2])
    cells = {
        cell: [np.where(rng.random(60) < share, labels, 1 - labels) for _ in range(3)]
        for cell, share in (("a", 0.9), ("b", 0.7))
    }

    def width(times, groups):
        made = {
            cell: [RunPredictions(np.repeat(labels, times), np.repeat(one, times)) for one in of]
            for cell, of in cells.items()
        }
        found = score_cells(Metric("macro_f1"), made, CLASSES, groups).cells
        return score_difference(found["a"], found["b"]).half_width(0.05)

    once = width(1, None)
    assert width(10, np.repeat(np.arange(60), 10)) == pytest.approx(once, rel=0.02)
    assert width(10, None) < 0.8 * once


def several_labels(rng):
    """Predictions to 40 rows with three labels; scores with ties, each label in some rows."""
    labels = rng.random((40, 3)) < (0.5, 0.3, 0.2)
    values = np.round(0.5 * labels + rng.random((40, 3)), 1)
    return RunPredictions(labels, values > 0.7, scores=values)


def scikit_learns(name, one, rows):
    labels, predicted, values = one.labels[rows], one.predicted[rows], one.scores[rows]
    if name == "mean_average_precision":
        there = labels.any(axis=0)
        return average_precision_score(labels[:, there], values[:, there], average="macro")
    return f1_score(labels, predicted, average=name.removesuffix("_f1"), zero_division=0)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "mean_average_precision"])
def test_scores_of_several_labels_are_scikit_learns_without_each_unit(name, grouped):
    one = several_labels(np.random.default_rng(3))
    groups = np.arange(40) // 4 if grouped else None
    units = np.arange(40) if groups is None else groups
    value = scikit_learns(name, one, units >= 0)
    without = np.array([scikit_learns(name, one, units != unit) for unit in np.unique(units)])
    raw = len(without) * value - (len(without) - 1) * without
    found = scores(name, [one], groups)[0]
    assert found == pytest.approx(raw - raw.mean() + value)


def test_kappa_is_scikit_learns_without_each_row():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 40)
    one = RunPredictions(labels, np.clip(labels + rng.integers(-1, 2, 40), 0, 2))

    def kappa(rows):
        return cohen_kappa_score(one.labels[rows], one.predicted[rows], weights="quadratic")

    value, without = (
        kappa(labels >= 0),
        np.array([kappa(np.arange(40) != row) for row in range(40)]),
    )
    raw = 40 * value - 39 * without
    assert scores("quadratic_kappa", [one])[0] == pytest.approx(raw - raw.mean() + value)


def test_a_label_that_does_not_occur_has_no_average_precision():
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], dtype=bool)
    values = np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.5], [0.6, 0.5]])
    found = scores("mean_average_precision", [RunPredictions(labels, values > 0.5, scores=values)])[
        0
    ]
    assert found.mean() == pytest.approx((1 + 2 / 3) / 2)
