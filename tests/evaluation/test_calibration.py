import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from seqbelt.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    fit_temperature,
    reliability,
    softmax,
)


@pytest.fixture
def calibrated():
    """Logits whose softmax is the true chance of each class."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 4))
    chances = scipy_softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    return logits, labels


def test_softmax_survives_large_logits():
    found = softmax(np.array([[1000.0, 999.0], [-1000.0, -1001.0]]), temperature=2)
    assert found == pytest.approx(scipy_softmax([[0.5, 0.0], [0.5, 0.0]], axis=1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(calibrated, temperature):
    logits, labels = calibrated
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.05)


def test_scaling_lowers_the_error(calibrated):
    logits, labels = calibrated
    before = reliability(softmax(3 * logits), labels).expected_error
    temperature = fit_temperature(3 * logits[:5000], labels[:5000])
    after = reliability(softmax(3 * logits, temperature), labels).expected_error
    assert before > 0.1
    assert after < 0.02


def test_rows_that_are_all_right_leave_a_doubt():
    """n right of n: the next is right with (n + 1) / (n + 2), the rule of succession."""
    logits = np.tile([3.0, 0.0], (8, 1))
    temperature = fit_temperature(logits, np.zeros(8, int))
    assert softmax(logits[:1], temperature)[0, 0] == pytest.approx(9 / 10, abs=1e-3)
    assert MIN_TEMPERATURE < temperature < MAX_TEMPERATURE


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_error_by_hand(binning):
    # 0.9 four times, three right: gap 0.15; 0.6 four times, one right: gap 0.35.
    confidence = np.array([0.9] * 4 + [0.6] * 4)
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    found = reliability(
        probabilities, labels, num_bins=2 if binning == "mass" else 5, binning=binning
    )
    assert found.expected_error == pytest.approx(0.25)
    assert found.accuracy == pytest.approx([0.25, 0.75])
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.count.tolist() == [4, 4]


def test_equal_mass_bins_hold_equal_shares(calibrated):
    found = reliability(softmax(calibrated[0]), calibrated[1], num_bins=10)
    assert found.count.tolist() == [2000] * 10
    assert (np.diff(found.confidence) > 0).all()


def test_equal_confidences_are_never_parted():
    probabilities = np.tile([0.7, 0.3], (100, 1))
    found = reliability(probabilities, np.r_[np.zeros(70, int), np.ones(30, int)])
    assert found.count.tolist() == [100]
    assert found.expected_error == pytest.approx(0)


def test_width_bins_take_the_edges():
    found = reliability(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0]), 2, "width")
    assert found.count.tolist() == [1, 1]
