"""Labels that held-out probabilities contradict."""

import numpy as np
import pytest

from seqbelt.evaluation.confident_learning import (
    DOUBTFUL,
    LIKELY_WRONG,
    UNDISPUTED,
    LabelRanking,
    SeveralRanking,
)


def simulated(count, num_classes, spread, flip_rate, seed=0):
    """True and given labels, and probabilities of a calibrated model: the lower ``spread`` of its
    Dirichlet distribution, the more certain it is."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(num_classes, spread), count)
    drawn = random.random((count, 1)) > probabilities.cumsum(axis=1)
    true = np.minimum(drawn.sum(axis=1), num_classes - 1)
    given = true.copy()
    flipped = random.choice(count, round(flip_rate * count), replace=False)
    given[flipped] = (true[flipped] + random.integers(1, num_classes, len(flipped))) % num_classes
    return true, given, probabilities


def test_flipped_labels_come_first():
    true, given, probabilities = simulated(2000, 5, 0.05, 0.05)
    order = LabelRanking(given, probabilities).order
    is_flipped = given != true
    assert sorted(order) == list(range(2000))
    assert is_flipped[order[:140]].sum() >= 0.8 * is_flipped.sum()  # 7 % of the rows


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("flip_rate", [0.0, 0.05])
def test_at_most_one_in_a_hundred_right_labels_is_likely_wrong(spread, flip_rate):
    alarms = []
    for seed in range(5):
        true, given, probabilities = simulated(1000, 4, spread, flip_rate, seed)
        is_likely = LabelRanking(given, probabilities).grades == LIKELY_WRONG
        alarms.append(is_likely[given == true].mean())
    assert max(alarms) <= 0.01


def test_a_good_model_finds_flips_as_likely_wrong():
    true, given, probabilities = simulated(2000, 5, 0.02, 0.05)
    is_likely = LabelRanking(given, probabilities).grades == LIKELY_WRONG
    is_flipped = given != true
    assert is_likely[is_flipped].mean() > 0.3
    assert is_flipped[is_likely].mean() > 0.9


def test_few_rows_are_not_called_likely_wrong():
    _, given, probabilities = simulated(60, 3, 0.02, 0.1)
    assert LIKELY_WRONG not in LabelRanking(given, probabilities).grades


def test_a_doubtful_label_is_one_whose_other_class_reaches_its_threshold():
    # Class 0 has a mean self-confidence of 0.55, class 1 of 0.65.
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    ranking = LabelRanking(np.array([0, 0, 1, 1]), probabilities)
    assert ranking.thresholds == pytest.approx([0.55, 0.65])
    assert ranking.grades.tolist() == [UNDISPUTED, DOUBTFUL, UNDISPUTED, UNDISPUTED]
    assert ranking.suggested.tolist() == [1, 1, 0, 0]
    assert ranking.order[0] == 1


def test_a_class_that_nobody_labelled_is_suggested_but_disputes_nothing():
    ranking = LabelRanking(np.array([0, 0]), np.array([[0.4, 0.6], [0.3, 0.7]]))
    assert ranking.thresholds[1] == np.inf
    assert set(ranking.grades) == {UNDISPUTED}


def simulated_sets(count, rates, spread, flip_rate, seed=0):
    """As ``simulated`` with labels of these ``rates``; a label is added to, or taken from, a
    fraction ``flip_rate`` of the rows."""
    random = np.random.default_rng(seed)
    rates = np.array(rates)
    probabilities = random.beta(rates * spread, (1 - rates) * spread, (count, len(rates)))
    true = random.random(probabilities.shape) < probabilities
    given = true.copy()
    flipped = random.choice(count, round(flip_rate * count), replace=False)
    given[flipped, random.integers(len(rates), size=len(flipped))] ^= True
    return true, given, probabilities


def test_rows_with_a_label_added_or_forgotten_come_first():
    true, given, probabilities = simulated_sets(2000, [0.5, 0.3, 0.2, 0.1], 0.05, 0.05)
    order = SeveralRanking(given, probabilities).order
    is_flipped = (given != true).any(axis=1)
    assert sorted(order) == list(range(2000))
    assert is_flipped[order[:140]].sum() >= 0.8 * is_flipped.sum()


@pytest.mark.parametrize("spread", [0.05, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("flip_rate", [0.0, 0.05])
def test_at_most_one_in_a_hundred_right_sets_of_labels_is_likely_wrong(spread, flip_rate):
    alarms, found = [], []
    for seed in range(5):
        true, given, p = simulated_sets(1000, [0.5, 0.3, 0.2, 0.1, 0.05], spread, flip_rate, seed)
        is_likely = SeveralRanking(given, p).grades == LIKELY_WRONG
        is_right = (given == true).all(axis=1)
        alarms.append(is_likely[is_right].mean())
        found.append(is_likely[~is_right].mean() if flip_rate else 1.0)
    assert max(alarms) <= 0.01
    assert spread > 0.2 or np.mean(found) > 0.3


def test_the_disputed_label_is_the_one_that_is_suggested_to_change():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.9], [0.9, 0.9]])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], bool)
    ranking = SeveralRanking(labels, probabilities)
    assert ranking.order[0] == 4 and ranking.grades[4] != UNDISPUTED
    assert ranking.suggested.tolist()[4] == [True, True]
    assert ranking.self_confidences == pytest.approx([0.81, 0.64, 0.81, 0.72, 0.09])
    assert ranking.suggested_confidences[4] == pytest.approx(0.81)
    # Of an undisputed row the most doubtful label is.
    assert ranking.grades[1] == UNDISPUTED and ranking.suggested.tolist()[1] == [False, False]


def test_a_label_is_doubtful_if_the_rows_of_the_other_side_are_not_more_certain():
    with_label, without = [0.95, 0.95, 0.95, 0.3], [0.3, 0.3, 0.3, 0.7]
    labels = np.array([[True]] * 4 + [[False]] * 4)
    ranking = SeveralRanking(labels, np.array([with_label + without]).T)
    assert ranking.thresholds.ravel() == pytest.approx([0.6, 0.7875])
    assert np.flatnonzero(ranking.grades == DOUBTFUL).tolist() == [3]
