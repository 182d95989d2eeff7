from dataclasses import replace

import numpy as np
import pytest
import scipy
from scipy import stats
from statsmodels.stats import multitest, proportion, weightstats

from seqbelt.comparison.statistics import (
    Component,
    Difference,
    Estimate,
    detectable_difference,
    mean_interval,
    score_difference,
    score_interval,
)
from seqbelt.evaluation.proportions import holm


def test_mean_interval_is_students():
    values = np.array([0.91, 0.94, 0.90, 0.95, 0.93])
    found = mean_interval(values, 0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(0.926)


def test_one_seed_has_no_interval():
    found = mean_interval(np.array([0.9]), 0.95)
    assert found.value == 0.9
    assert np.isnan([found.low, found.high]).all()


def test_holm_on_the_textbook_example():
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).max() == 1.0


def test_holm_is_statsmodels(rng):
    p_values = rng.random(12) ** 3
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_leaves_one_test_alone():
    assert holm(np.array([0.03])) == pytest.approx([0.03])


@pytest.fixture
def cells(rng):
    difficulty = rng.random(500)
    a = rng.random((5, 500)) < 0.6 + 0.4 * difficulty
    b = rng.random((4, 500)) < 0.5 + 0.4 * difficulty
    return a, b


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_groups_of_one_are_examples(cells):
    alone = score_difference(*cells, groups=np.arange(500))
    assert [part.variance for part in alone.components] == pytest.approx(
        [part.variance for part in score_difference(*cells).components]
    )


def test_paired_seeds_cancel_what_they_share(rng):
    """Seeds that lift both cells alike say nothing about their difference."""
    luck = np.linspace(-0.3, 0.3, 5)[:, None]
    a, b = (rng.random((5, 2000)) < 0.6 + luck for _ in range(2))
    unpaired, paired = (
        score_difference(a, b, seeds_paired=is_paired) for is_paired in (False, True)
    )
    assert paired.half_width(0.05) < 0.5 * unpaired.half_width(0.05)


def test_one_component_is_the_t_test(rng):
    values = rng.normal(0.1, 0.2, 6)
    one = Difference(values.mean(), (Component(values.var(ddof=1) / 6, 5),))
    expected = stats.ttest_1samp(values, 0)
    assert one.p_value() == pytest.approx(expected[1], rel=1e-6)
    interval = expected.confidence_interval(0.95)
    found = one.interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_equivalence_is_two_one_sided_t_tests(rng):
    values = rng.normal(0, 0.1, 8)
    values += 0.03 - values.mean()
    one = Difference(values.mean(), (Component(values.var(ddof=1) / 8, 7),))
    for margin in (0.01, 0.05, 0.1):
        below = stats.ttest_1samp(values, margin, alternative="less")[1]
        above = stats.ttest_1samp(values, -margin, alternative="greater")[1]
        assert one.equivalence_p(margin) == pytest.approx(np.maximum(below, above), rel=1e-6)


def test_equivalence_is_statsmodels_on_a_paired_sample(rng):
    before, after = rng.normal(0.90, 0.02, 10), rng.normal(0.905, 0.02, 10)
    expected = weightstats.ttost_paired(before, after, -0.02, 0.02)[0]
    gaps = before - after
    one = Difference(gaps.mean(), (Component(gaps.var(ddof=1) / 10, 9),))
    assert one.equivalence_p(0.02) == pytest.approx(expected, rel=1e-6)


def test_p_value_and_interval_tell_the_same(cells):
    found = score_difference(*cells)
    edge = found.interval(1 - found.p_value())
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_no_difference_of_accuracies_is_beyond_a_hundred_points():
    found = Difference(0.1, (Component(0.2, 1),))
    assert found.half_width(0.05) > 1
    assert found.interval(0.95) == Estimate(0.1, -1.0, 1.0)


def test_luck_of_seeds_is_not_counted_twice(rng):
    """Predictions that are coin flips of each seed say nothing of the examples."""
    a, b = (rng.random((5, 20_000)) < 0.5 for _ in range(2))
    *_, examples = score_difference(a, b).components
    per_example = (a.mean(axis=0) - b.mean(axis=0)).var() / 20_000
    assert examples.variance < 0.1 * per_example


def test_agreement_on_few_examples_is_not_certainty():
    """40 of 40 right in both: the rule of three leaves 3 / 40."""
    perfect = np.ones((5, 40), dtype=bool)
    assert 0.03 < score_difference(perfect, perfect).half_width(0.05) < 0.1


def test_one_seed_has_no_p_value(cells):
    a, b = cells
    found = score_difference(a[:1], b)
    assert found.p_value() == 1.0
    assert found.equivalence_p(0.5) >= 0.5
    assert np.isnan(found.interval(0.95).low)


def test_whole_groups_widen_the_interval(rng):
    """Ten copies of one example in each group are one observation, not ten."""
    a, b = (np.tile(np.repeat(rng.random(40) < p, 10), (5, 1)) for p in (0.8, 0.7))
    groups = np.repeat(np.arange(40), 10)
    by_group, by_row = (score_difference(a, b, of).half_width(0.05) for of in (groups, None))
    once = score_difference(a[:, ::10], b[:, ::10]).half_width(0.05)
    assert by_group > 2 * by_row
    assert by_group == pytest.approx(once, rel=0.15)


def test_the_variance_is_that_of_the_two_way_table(rng):
    """Of seeds that differ and examples that differ, against the analysis of variance by hand."""
    table = rng.normal(0, 1, (4, 1)) + rng.normal(0, 2, (1, 50)) + rng.normal(0, 1, (4, 50))
    zero = np.zeros((4, 50))
    found = score_difference(table, zero)
    ms_seeds = 50 * table.mean(axis=1).var(ddof=1)
    ms_examples = 4 * table.mean(axis=0).var(ddof=1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    ms_rest = (rest**2).sum() / (3 * 49)
    expected = (ms_seeds + ms_examples - ms_rest) / 200
    smoothing = 2 * np.mean(table.mean(axis=0) ** 2) / 52**2
    assert found.standard_error**2 == pytest.approx(expected + smoothing)


def test_the_degrees_of_freedom_are_welchs_where_examples_do_not_count(rng):
    """Thousands of coin flips a seed: what is left is the t test of the seeds' accuracies."""
    luck_a, luck_b = rng.normal(0, 0.05, (3, 1)), rng.normal(0, 0.15, (3, 1))
    a, b = (rng.random((3, 100_000)) < 0.5 + luck for luck in (luck_a, luck_b))
    expected = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    found = score_difference(a, b, is_fraction=False)
    assert found.degrees == pytest.approx(expected.df, rel=0.02)
    assert found.p_value() == pytest.approx(expected.pvalue, rel=0.05)


def test_seeds_that_agree_by_chance_vary_no_less_than_their_noise(rng):
    """Two seeds with the same number of right answers to other examples prove no equal seeds."""
    a = np.array([[True, False] * 50, [False, True] * 50])
    b = np.ones((2, 100), dtype=bool)
    assert a.mean(axis=1).var() == 0
    seeds, *_ = score_difference(a, b, is_fraction=False).components
    assert seeds.variance == pytest.approx(0.25 * 100 / 99 * 2 / 200, rel=0.02)


def test_an_interval_of_all_right_is_wilsons_with_students_quantile():
    """20 of 20 right do not show that all will be."""
    found = score_interval(np.ones((3, 20), dtype=bool), 0.95)
    quantile = stats.t.ppf(0.975, 19)
    assert (found.value, found.high) == (1.0, pytest.approx(1.0))
    assert found.low == pytest.approx(20 / (20 + quantile**2))
    wrong = score_interval(np.zeros((3, 20), dtype=bool), 0.95)
    assert (wrong.low, wrong.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_an_interval_of_equal_seeds_is_wilsons_of_the_rows():
    """Seeds that answer alike add nothing: only the rows are new."""
    answers = np.repeat([True, False], [810, 1820])
    found = score_interval(np.tile(answers, (4, 1)), 0.95)
    expected = proportion.proportion_confint(810, 2630, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=2e-4)


def test_an_interval_of_one_seed_is_unknown_and_of_many_is_over_both(rng):
    answers = rng.random((6, 300)) < np.where(rng.random(300) < 0.5, 0.95, 0.1)
    assert np.isnan(score_interval(answers[:1], 0.95).low)
    over_both = score_interval(answers, 0.95)
    over_seeds = mean_interval(answers.mean(axis=1), 0.95)
    assert over_both.high - over_both.low > 1.5 * (over_seeds.high - over_seeds.low)
    losses = score_interval(10 * answers, 0.95, is_fraction=False)
    assert losses.low < 10 * over_both.value < losses.high and losses.high > 1


def test_probabilities_are_of_the_t_distribution_around_the_difference():
    one = Difference(0.03, (Component(0.02**2, 4),))
    better, equivalent, worse = one.probabilities(0.01)
    assert better == pytest.approx(stats.t.sf((0.01 - 0.03) / 0.02, 4))
    assert worse == pytest.approx(stats.t.cdf((-0.01 - 0.03) / 0.02, 4))
    assert better + equivalent + worse == pytest.approx(1)
    assert Difference(0.03, (Component(np.nan, 0),)).probabilities(0.01) is None


def test_a_detectable_difference_is_found_as_often_as_promised():
    """Of normal scores with the assumed spreads, found by the t test at that level."""
    assumed = {"disagreement": 0.1, "seed_spread": 0.01, "group_correlation": 0.1}
    least = detectable_difference(5, 300, level=0.05, power=0.8, **assumed)
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        rows = least + np.sqrt(0.1) * rng.standard_normal(300)
        a, b = (0.01 * rng.standard_normal((5, 1)) for _ in range(2))
        found += score_difference(rows + a, np.zeros(300) + b, is_fraction=False).p_value() <= 0.05
    assert 0.74 <= found / 1000 <= 0.86
    more = detectable_difference(5, 300, 10, level=0.05, power=0.8, **assumed)
    assert more > 1.5 * least  # ten groups of 30 rows that resemble each other
    assert np.isnan(detectable_difference(1, 300, level=0.05, power=0.8, **assumed))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_interval_of_a_perfect_cell_holds_its_mean(value):
    for num_seeds in range(2, 12):
        for num_rows in (2, 3, 7, 18, 20, 97, 120, 300, 1001):
            found = score_interval(np.full((num_seeds, num_rows), value), 0.95)
            assert 0 <= found.low <= found.value <= found.high <= 1, (num_seeds, num_rows)


def test_without_any_variance_a_difference_is_certain():
    certain = Difference(0.1, (Component(0.0, 4), Component(0.0, 9)))
    assert certain.degrees == np.inf and certain.half_width(0.05) == 0
    assert certain.probabilities(0.05) == (1.0, 0.0, 0.0)
    assert replace(certain, value=0.0).probabilities(0.05) == (0.0, 1.0, 0.0)


def test_groups_that_agree_have_the_variance_of_one_that_does_not():
    """Ten groups of four: the example that differs weighs a quarter of a group."""
    perfect, groups = np.ones((5, 40), dtype=bool), np.repeat(np.arange(10), 4)
    *_, examples = score_difference(perfect, perfect, groups).components
    assert examples.variance == pytest.approx(2 * 0.25**2 / 12**2)


def test_seeds_that_were_lucky_near_the_ceiling_do_not_make_a_cell_better(rng):
    """The cells are equally good; only one of them varies from seed to seed."""
    threshold = scipy.special.ndtri(0.95)
    claims = {True: 0, False: 0}
    for _ in range(400):
        difficulty = rng.standard_normal(225)
        a, b = (
            threshold * np.sqrt(2 + spread**2)
            + difficulty
            + spread * rng.standard_normal((5, 1))
            + rng.standard_normal((5, 225))
            > 0
            for spread in (0.1, 0.6)
        )
        for is_fraction in claims:
            found = score_difference(a, b, is_fraction=is_fraction)
            claims[is_fraction] += found.p_value() <= 0.05
    assert claims[True] <= 0.06 * 400 < claims[False]


def test_cells_far_apart_keep_the_spread_of_their_own_seeds(rng):
    a = rng.random((3, 2000)) < 0.999
    b = rng.random((3, 2000)) < 0.3
    own = score_difference(a, b, is_fraction=False).half_width(0.05)
    assert own / 2 < score_difference(a, b).half_width(0.05) < 2 * own
