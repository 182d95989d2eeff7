"""Ordered classes: loss, decision, scores and what is refused."""

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from seqbelt.comparison.metric_scores import score_cells
from seqbelt.comparison.metrics import ERROR, KAPPA, RunPredictions
from seqbelt.data.labels.targets import ORDERED, TARGETS, UNLABELLED
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.training.losses import DISTANCE_WEIGHT, MeanCrossEntropy, OrderedCrossEntropy
from seqbelt.training.scoring import score


def test_the_median_class_has_the_least_expected_absolute_error():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    distances = np.abs(np.arange(5)[:, None] - np.arange(5))
    expected = probabilities @ distances
    decided = ORDERED.decide(probabilities)
    assert np.allclose(expected[np.arange(200), decided], expected.min(axis=1))
    assert np.any(decided != probabilities.argmax(1))
    confidence = ORDERED.confidence(probabilities)
    assert np.array_equal(confidence, probabilities[np.arange(200), decided])


def test_the_loss_adds_the_squared_gaps_of_the_cumulative_probabilities():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 2, 2, UNLABELLED])
    plain = MeanCrossEntropy(None, 0.0)(logits, labels)
    cumulative, true = logits.softmax(1).cumsum(1), labels[:, None] <= torch.arange(4)
    gaps = ((cumulative - true.double()) ** 2).sum(1)[:5].sum() / 5
    found = OrderedCrossEntropy(None, 0.0)(logits, labels)
    assert float(found) == pytest.approx(float(plain + DISTANCE_WEIGHT * gaps))
    mixed = torch.nn.functional.one_hot(labels.clamp_min(0), 4).double()
    mixed[5] = 0
    assert float(OrderedCrossEntropy(None, 0.0)(logits, mixed)) == pytest.approx(float(found))


def test_the_loss_is_least_at_the_true_probabilities():
    true = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    logits = true.log().requires_grad_()
    OrderedCrossEntropy(None, 0.0)(logits, true).backward()
    assert float(logits.grad.abs().max()) < 1e-12


def test_scores_have_the_errors_in_classes():
    random = np.random.default_rng(1)
    logits, labels = random.normal(size=(100, 4)), random.integers(0, 4, 100)
    found = score(logits, labels, ORDERED)
    predicted = ORDERED.predict(logits)
    assert found.mean_absolute_error == pytest.approx(np.abs(predicted - labels).mean())
    kappa = cohen_kappa_score(labels, predicted, weights="quadratic")
    assert found.quadratic_kappa == pytest.approx(kappa)
    assert found.accuracy == (predicted == labels).mean()
    assert set(score(logits, labels, TARGETS["per_sequence"]).to_dict()) == {
        "accuracy", "macro_f1", "loss"}  # fmt: skip


def test_metrics_of_a_comparison_are_those_of_scikit_learn():
    random = np.random.default_rng(2)
    labels = random.integers(0, 4, 60)
    predicted = np.clip(labels + random.integers(-1, 2, 60), 0, 3)
    cells = {"lstm": [RunPredictions(labels, predicted)]}
    error = score_cells(ERROR, cells, "abcd").cells["lstm"]
    assert error.mean() == pytest.approx(np.abs(labels - predicted).mean())
    kappa = score_cells(KAPPA, cells, "abcd").cells["lstm"]
    assert kappa.mean() == pytest.approx(cohen_kappa_score(labels, predicted, weights="quadratic"))
    without = cohen_kappa_score(labels[1:], predicted[1:], weights="quadratic")
    whole = cohen_kappa_score(labels, predicted, weights="quadratic")
    # The pseudo-values differ by what each row adds.
    rest = cohen_kappa_score(labels[:-1], predicted[:-1], weights="quadratic")
    assert kappa[0, 0] - kappa[0, -1] == pytest.approx(-59 * (without - rest))
    assert ERROR.lower_is_better and not KAPPA.lower_is_better and whole > 0


@pytest.fixture
def table(tmp_path):
    names = ["low", "middle", "high", "middle"] * 3
    rows = "".join(f"text {row},{name}\n" for row, name in enumerate(names))
    (tmp_path / "m.csv").write_text(f"text,label\n{rows}")
    return str(tmp_path / "m.csv")


def test_a_class_outside_of_the_order_is_named(table):
    data = Data.parse({"source": table, "order": ["low", "high", "top"], "test_fraction": 0})
    with pytest.raises(SettingsError, match=r"data\.order: .* class 'middle' is not in the"):
        data.load()
    data = Data.parse({"source": table, "order": ["low", "middle", "high", "top"]})
    assert "no row has the class 'top'" in data.load().notes[-1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": ["a", "b"]}, "matters from three classes on"),
        ({"order": [1, 2, 1.0]}, "names '1' twice"),
        ({"order": ["a", "b", "c"], "labels": "per_step"}, "order is for labels: per_sequence"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Data.parse({"source": "x", **values})


def test_a_metric_of_ordered_classes_needs_an_order():
    values = {
        "name": "stars",
        "data": {"source": "x"},
        "features": {"kind": "word"},
        "comparison": {"metric": "quadratic_kappa"},
    }
    with pytest.raises(SettingsError, match=r"quadratic_kappa is for ordered classes; set data\.o"):
        Experiment.parse(values)
    ordered = {**values, "data": {"source": "x", "order": [1, 2, 3]}}
    assert Experiment.parse(ordered).comparison.metric == "quadratic_kappa"
