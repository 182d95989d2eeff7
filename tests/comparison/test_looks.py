"""What each look at a growing comparison may spend of its error."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.looks import POWER, SCHEDULE, Looks, nominal_levels
from seqbelt.texts import in_language


def test_one_look_with_all_seeds_has_all_of_the_error():
    assert Looks(20).level(0.05) == pytest.approx(0.05)
    assert Looks(5, max_seeds=5).level(0.05) == pytest.approx(0.05)
    assert Looks(3).level(0.05) == pytest.approx(0.05 * (3 / 20) ** POWER)


@pytest.mark.parametrize("path", [(3, 5, 8), (5, 20), (2, 3, 4)])
def test_the_looks_spend_what_they_may_of_a_normal_path(path):
    """Against SciPy's multivariate normal: the chance to stay within all bounds."""
    fractions = np.array(path) / 20
    bounds = norm.isf(np.array(nominal_levels(fractions, 0.05)) / 2)
    correlation = np.sqrt(
        np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions)
    )
    inside = multivariate_normal(np.zeros(len(path)), correlation).cdf(bounds, lower_limit=-bounds)
    assert 1 - inside == pytest.approx(0.05 * fractions[-1] ** POWER, abs=2e-4)


def test_random_walks_cross_a_bound_in_one_of_twenty():
    steps = np.random.default_rng(0).standard_normal((40_000, 20))
    sums = steps.cumsum(axis=1)[:, np.array(SCHEDULE) - 1] / np.sqrt(SCHEDULE)
    bounds = norm.isf(np.array(nominal_levels(np.array(SCHEDULE) / 20, 0.05)) / 2)
    assert np.mean((np.abs(sums) > bounds).any(axis=1)) == pytest.approx(0.05, abs=0.004)


def test_looks_are_counted_and_the_coming_ones_named():
    first = Looks(5)
    assert first.words == "look 1 of 4" and first.coming == (8, 13, 20)
    second = first.then(8)
    assert second.words == "look 2 of 4" and second.number_of(20) == "look 4 of 4"
    assert second.level(0.05) < first.level(0.05)
    assert Looks(20, (3,)).words == "look 2 of 2"


def test_a_look_that_adds_no_seeds_may_claim_nothing():
    assert Looks(5, (5,)).level(0.05) == 0
    assert Looks(25, (20,)).level(0.05) == 0
    assert Looks(5, (1,)).level(0.05) == Looks(5).level(0.05)  # one seed decided nothing


def test_other_seeds_are_tested_at_what_is_left():
    grown, other = Looks(8, (3,)), Looks(8, (3,), is_grown=False)
    left = 0.05 * ((8 / 20) ** POWER - (3 / 20) ** POWER)
    assert other.level(0.05) == pytest.approx(left)
    assert grown.level(0.05) > left


def test_one_group_is_not_mended_by_more_seeds():
    said = Comparison().detectable(Looks(2), 36, 1)
    assert "of 1 group can" in said and "data.test_groups" in said and "seeds" not in said
    assert "run at least three" in Comparison().detectable(Looks(1), 36, 6)
    said = Comparison().detectable(Looks(2), 25, 2)  # not of 189 points of a hundred
    assert "can show no difference, however large (power 80 %, look 1 of 6)" in said
    assert "data.folds: group tests on every group in turn" in said
    assert "아무리 큰 차이도 보일 수 없습니다" in in_language(said, "ko")
