"""Intervals of proportions against statsmodels and against simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from seqbelt.evaluation.proportions import proportion_interval, two_proportions_p, wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 5), (20, 20), (500, 1000)])
def test_wilsons_interval_is_statsmodels(hits, count):
    expected = proportion_confint(hits, count, 0.05, "wilson")
    assert wilson(hits, count) == pytest.approx(expected, abs=1e-12)
    answers = np.arange(count) < hits
    assert proportion_interval(answers) == pytest.approx(expected, abs=1e-12)


def test_nothing_counted_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert proportion_interval(np.array([True, True]), np.array(["a", "a"])) == (0.0, 1.0)


def test_answers_of_one_speaker_count_less():
    """20 speakers of whom each is always right or always wrong are 20 answers, not 400."""
    hits = np.repeat(np.arange(20) < 15, 20)
    speakers = np.repeat(np.arange(20), 20)
    low, high = proportion_interval(hits, speakers)
    expected = wilson(15, 20)
    assert low == pytest.approx(expected[0], abs=0.03) and high == pytest.approx(
        expected[1], abs=0.03
    )
    narrow = proportion_interval(hits)
    assert high - low > 3 * (narrow[1] - narrow[0])


def test_intervals_of_speakers_cover_the_truth():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        skill = random.beta(8, 2, 30)
        hits = random.random((30, 10)) < skill[:, None]
        low, high = proportion_interval(hits.ravel(), np.repeat(np.arange(30), 10))
        covered += low <= 0.8 <= high
    assert covered >= 275  # 95 % are 285; 275 is 2.6 standard deviations below


def test_two_proportions_are_fishers():
    expected = stats.fisher_exact([[8, 2], [1, 5]])[1]
    assert two_proportions_p((8, 1), (10, 6)) == pytest.approx(expected)
