import numpy as np
import pytest
from scipy.special import softmax

from seqbelt.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    error_interval,
    fit_temperature,
    reliability,
)


def reliability_of(probabilities, labels, *more, **named):
    """Of the likeliest classes."""
    return reliability(probabilities.max(1), probabilities.argmax(1) == labels, *more, **named)


def interval_of(probabilities, labels, units=None):
    return error_interval(probabilities.max(1), probabilities.argmax(1) == labels, units)


@pytest.fixture
def calibrated():
    """Logits whose softmax is the true chance of each class."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 4))
    chances = softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(calibrated, temperature):
    logits, labels = calibrated
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.05)


def test_scaling_lowers_the_error(calibrated):
    logits, labels = calibrated
    before = reliability_of(softmax(3 * logits, axis=1), labels).expected_error
    temperature = fit_temperature(3 * logits[:5000], labels[:5000])
    after = reliability_of(softmax(3 * logits / temperature, axis=1), labels).expected_error
    assert before > 0.1
    assert after < 0.02


def test_few_rows_leave_the_networks_own_confidences():
    """Ten rows that are all right are likeliest at a temperature of zero, but say little."""
    logits = np.tile([3.0, 0.0], (10, 1))
    labels = np.zeros(10, int)
    few, many = (fit_temperature(np.tile(logits, (k, 1)), np.tile(labels, k)) for k in (1, 1000))
    assert 0.95 < few < 1
    assert many < 0.75
    assert MIN_TEMPERATURE < many < MAX_TEMPERATURE


@pytest.mark.parametrize("num_rows", [10, 20, 50])
def test_calibration_on_few_rows_does_not_harm_a_calibrated_model(calibrated, num_rows):
    logits, labels = calibrated
    own = reliability_of(softmax(logits, axis=1), labels).expected_error
    errors = []
    for start in range(0, 20 * num_rows, num_rows):
        rows = slice(start, start + num_rows)
        temperature = fit_temperature(logits[rows], labels[rows])
        errors.append(reliability_of(softmax(logits / temperature, axis=1), labels).expected_error)
    assert np.mean(errors) < own + 0.015
    assert max(errors) < own + 0.06


def test_the_interval_of_the_calibration_error_holds_the_true_one(calibrated):
    """Of models that are overconfident by a known amount, over 40 test parts."""
    logits, labels = calibrated
    probabilities = softmax(3 * logits, axis=1)
    true = reliability_of(probabilities, labels).expected_error
    held = []
    for start in range(0, 40 * 400, 400):
        rows = slice(start, start + 400)
        low, high = interval_of(probabilities[rows], labels[rows])
        held.append(low <= true <= high)
    assert np.mean(held) >= 0.85
    low, high = interval_of(probabilities[:400], labels[:400])
    units = [str(row // 20) for row in range(400)]
    repeated = np.repeat(np.arange(20), 20)
    wide = interval_of(probabilities[repeated], labels[repeated], units)
    assert wide[1] - wide[0] > 1.5 * (high - low)


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_error_by_hand(binning):
    # 0.9 four times, three right: gap 0.15; 0.6 four times, one right: gap 0.35.
    confidence = np.array([0.9] * 4 + [0.6] * 4)
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    found = reliability_of(
        probabilities, labels, num_bins=2 if binning == "mass" else 5, binning=binning
    )
    assert found.expected_error == pytest.approx(0.25)
    assert found.accuracy == pytest.approx([0.25, 0.75])
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.count.tolist() == [4, 4]


def test_equal_mass_bins_hold_equal_shares(calibrated):
    found = reliability_of(softmax(calibrated[0], axis=1), calibrated[1], num_bins=10)
    assert found.count.tolist() == [2000] * 10
    assert (np.diff(found.confidence) > 0).all()


def test_equal_confidences_are_never_parted():
    probabilities = np.tile([0.7, 0.3], (100, 1))
    found = reliability_of(probabilities, np.r_[np.zeros(70, int), np.ones(30, int)])
    assert found.count.tolist() == [100]
    assert found.expected_error == pytest.approx(0)


def test_width_bins_take_the_edges():
    found = reliability_of(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0]), 2, "width")
    assert found.count.tolist() == [1, 1]
