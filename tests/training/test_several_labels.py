"""Several labels for a sequence: loss, weights, scores, thresholds, calibration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score

from seqbelt.comparison.metric_scores import score_cells
from seqbelt.comparison.metrics import (
    ACCURACY,
    AVERAGE_PRECISION,
    MACRO_F1,
    MICRO_F1,
    Metric,
    RunPredictions,
)
from seqbelt.data.class_balance import label_weights
from seqbelt.data.cropped_sequences import average_window_probabilities
from seqbelt.data.labels.targets import TARGETS
from seqbelt.errors import SettingsError
from seqbelt.evaluation.calibration import fit_temperature
from seqbelt.evaluation.several_report import MIN_ROWS, best_threshold, choose_thresholds
from seqbelt.experiment import Experiment
from seqbelt.training.losses import MeanBinaryCrossEntropy
from seqbelt.training.scoring import score

SEVERAL = TARGETS["several"]


def draw(num_rows, num_labels=4, seed=0, rates=None):
    """Logits whose sigmoid is the true chance of each label, and labels drawn from it."""
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((num_rows, num_labels)) + (0 if rates is None else rates)
    return logits, random.random(logits.shape) < expit(logits)


def test_the_loss_is_the_mean_over_rows_and_labels_and_masked_rows_add_nothing():
    logits, labels = (torch.from_numpy(one).double() for one in draw(6))
    loss = MeanBinaryCrossEntropy(None, 0.0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:4], labels[:4])
    labels[4:] = -1
    assert int(loss.count(labels)) == 4
    assert float(loss(logits, labels)) == pytest.approx(float(expected))
    smooth = MeanBinaryCrossEntropy(None, 0.2)(logits, labels)
    targets = 0.8 * labels[:4] + 0.1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:4], targets)
    assert float(smooth) == pytest.approx(float(expected))


def test_balanced_weights_give_rows_with_and_without_a_label_the_same_total():
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 1]], dtype=bool)
    weights = label_weights(labels)
    with_label, without = weights[1] * labels.sum(0), weights[0] * (~labels).sum(0)
    assert np.allclose(with_label[:2], without[:2]) and np.allclose(weights[:, 2], 1)
    logits = torch.zeros(4, 3)
    loss = MeanBinaryCrossEntropy(torch.from_numpy(weights).float(), 0.0)
    assert float(loss(logits, torch.from_numpy(labels).float())) == pytest.approx(np.log(2))


def test_scores_are_those_of_scikit_learn():
    logits, labels = draw(80)
    labels[:, 3] = False
    logits[:, 3] = -5
    found = score(logits, labels, SEVERAL)
    predicted = logits >= 0
    assert found.accuracy == (predicted == labels).all(axis=1).mean()
    assert found.micro_f1 == pytest.approx(f1_score(labels, predicted, average="micro"))
    # The last label neither occurs nor is predicted.
    macro = f1_score(labels[:, :3], predicted[:, :3], average="macro")
    assert found.macro_f1 == pytest.approx(macro)
    precision = average_precision_score(labels[:, :3], logits[:, :3], average="macro")
    assert found.mean_average_precision == pytest.approx(precision)
    chances = np.where(labels, expit(logits), 1 - expit(logits))
    assert found.loss == pytest.approx(-np.log(chances).mean())


def test_a_prediction_is_as_sure_as_all_of_its_labels():
    probabilities = np.array([[0.9, 0.2, 0.5]])
    decided = SEVERAL.decide(probabilities, np.array([0.5, 0.1, 0.6]))
    assert decided.tolist() == [[True, True, False]]
    confidence = SEVERAL.confidence(probabilities, np.array([0.5, 0.1, 0.6]))
    assert confidence == pytest.approx([0.9 * 0.2 * 0.5])


def test_a_threshold_has_the_best_f1_of_its_validation_rows():
    logits, labels = draw(200, seed=1, rates=np.array([0, -2, 1, -9]))
    probabilities = expit(logits).round(2)  # with ties
    for k in range(3):
        found = best_threshold(probabilities[:, k], labels[:, k])
        best = max(
            f1_score(labels[:, k], probabilities[:, k] >= one) for one in np.linspace(0, 1, 201)
        )
        assert f1_score(labels[:, k], probabilities[:, k] >= found) == pytest.approx(best)


def test_few_rows_share_a_threshold_and_fewer_choose_none():
    logits, labels = draw(200, seed=1, rates=np.array([0, -2, 1, -9]))
    probabilities = expit(logits)
    found = choose_thresholds(probabilities, labels)
    shared = best_threshold(probabilities[:, :3].ravel(), labels[:, :3].ravel())
    for k in range(3):
        own = best_threshold(probabilities[:, k], labels[:, k])
        assert min(own, shared) <= found[k] <= max(own, shared)
    many = choose_thresholds(np.tile(probabilities, (100, 1)), np.tile(labels, (100, 1)))
    assert many[1] == pytest.approx(best_threshold(probabilities[:, 1], labels[:, 1]), abs=0.02)
    assert labels[:, 3].sum() < MIN_ROWS and found[3] == 0.5


def test_one_temperature_is_recovered_and_few_rows_change_little():
    logits, labels = draw(4000)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.05)
    assert fit_temperature(10 * np.where(labels, 1.0, -1.0)[:3], labels[:3]) > 0.6


def test_windows_are_averaged_label_by_label():
    logits = np.array([[0.0, 2.0], [1.0, -1.0], [3.0, 0.5]])
    found = average_window_probabilities(logits, np.array([0, 0, 1]), is_several=True)
    assert np.allclose(expit(found[0]), expit(logits[:2]).mean(axis=0))
    assert np.array_equal(found[1], logits[2])


@pytest.fixture
def answers():
    logits, labels = draw(40, num_labels=3, seed=3, rates=np.array([0, -1, -3]))
    logits = logits.round(1)  # with ties
    return RunPredictions(labels, logits >= 0, scores=logits)


METRICS = {
    AVERAGE_PRECISION: lambda one: np.mean([
        average_precision_score(one.labels[:, k], one.scores[:, k])
        for k in np.flatnonzero(one.labels.any(axis=0))
    ]),
    MICRO_F1: lambda one: f1_score(one.labels, one.predicted, average="micro"),
    MACRO_F1: lambda one: np.mean([
        f1_score(one.labels[:, k], one.predicted[:, k])
        for k in np.flatnonzero(one.labels.any(axis=0) | one.predicted.any(axis=0))
    ]),
    ACCURACY: lambda one: one.correct.mean(),
}  # fmt: skip


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("grouped", [False, True])
def test_pseudo_values_are_those_of_leaving_out_one_by_one(answers, metric, grouped):
    if grouped and metric == ACCURACY:
        pytest.skip("accuracy is a mean over rows")
    groups = np.arange(40) // 4 if grouped else None
    members = np.arange(40) if groups is None else groups
    found = score_cells(metric, {"lstm": [answers]}, "abc", groups).cells["lstm"][0]

    def of(rows):
        return METRICS[metric](
            replace(
                answers,
                labels=answers.labels[rows],
                predicted=answers.predicted[rows],
                scores=answers.scores[rows],
            )
        )

    without = np.array([of(members != unit) for unit in range(members.max() + 1)])
    whole, count = of(np.ones(40, dtype=bool)), len(without)
    assert np.allclose(found, whole - (count - 1) * (without - without.mean()))


def test_recall_of_one_label_counts_the_rows_that_have_it(answers):
    found = score_cells(Metric("recall:b"), {"lstm": [answers]}, "abc").cells["lstm"]
    expected = answers.predicted[answers.labels[:, 1], 1]
    assert np.array_equal(found[0], expected)


def config(**changes):
    values = {"name": "x", "data": {"source": "x", "labels": "several"},
              "features": {"kind": "word"}}  # fmt: skip
    return {**values, **changes}


def test_the_verdict_is_about_average_precision_unless_another_metric_is_named():
    assert Experiment.parse(config()).comparison.metric == "mean_average_precision"
    named = Experiment.parse(config(comparison={"metric": "micro_f1"}))
    assert named.comparison.metric == "micro_f1"
    assert named.with_seed(3).comparison.metric == "micro_f1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"comparison": {"metric": "balanced_accuracy"}}, "is not for data.labels: several"),
        ({"comparison": {"metric": "quadratic_kappa"}}, "is for ordered classes"),
        ({"comparison": {"ensemble": True}}, "comparison.ensemble: the average of networks"),
        ({"training": {"num_networks": 2}}, "training.num_networks: the average of networks"),
        ({"data": {"source": "x"}, "comparison": {"metric": "micro_f1"}},
         "micro_f1 is for data.labels: several"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_several_labels_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        Experiment.parse(config(**changes))
